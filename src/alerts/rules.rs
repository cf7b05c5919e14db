//! What people decided, in force for one window: exceptions and feedback.

use std::sync::{Arc, PoisonError, RwLock};

use super::{Exception, Feedback, Settings, Shift, Thresholds};
use crate::model::{Kind, Subject, Timestamp};

/// How the words of an exception that is kept in the store begin.
const STORED: &str = "exception ";

/// Exceptions and thresholds. Whether an alert is hidden is a function of this, its kind, its subject
/// and its beginning: the same for open alerts and for those of the past.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    exceptions: Vec<Named>,
    thresholds: Thresholds,
}

/// An exception with what alerts call it.
#[derive(Clone, Debug, PartialEq)]
struct Named {
    exception: Exception,
    words: String,
}

impl Rules {
    /// Returns those of the settings, those of the store by id, and the feedback that counts.
    pub fn new<'a>(
        settings: &Settings,
        stored: impl IntoIterator<Item = (&'a str, &'a Exception)>,
        feedback: &[Feedback],
    ) -> Self {
        let of_settings = settings
            .exceptions
            .iter()
            .map(|exception| Named { words: exception.to_string(), exception: exception.clone() });
        let of_store = stored.into_iter().map(|(id, exception)| Named {
            words: format!("{STORED}{id}: {exception}"),
            exception: exception.clone(),
        });
        Self {
            exceptions: of_settings.chain(of_store).collect(),
            thresholds: Thresholds::new(feedback, settings.minimum_score),
        }
    }

    /// The exception that covers such an alert, in words.
    pub fn suppressed_by(&self, kind: Kind, subject: Subject, first: Timestamp) -> Option<&str> {
        let mut covering =
            self.exceptions.iter().filter(|named| named.exception.covers(kind, subject, first));
        covering.next().map(|named| named.words.as_str())
    }

    /// The exceptions, with what alerts call them.
    pub fn exceptions(&self) -> impl Iterator<Item = (&str, &Exception)> {
        self.exceptions.iter().map(|named| (named.words.as_str(), &named.exception))
    }

    /// What feedback makes of the threshold of a kind and subject.
    pub fn shift(&self, kind: Kind, subject: Subject) -> Option<Shift> {
        self.thresholds.of(kind, subject)
    }

    /// Whether an alert with these words is hidden by an exception of the store, not by one of the
    /// settings.
    pub fn is_of_store(words: &str) -> bool {
        words.starts_with(STORED)
    }
}

/// A handle on the current [`Rules`]: whoever holds a clone may swap them; windows that are judged
/// from then on follow the new ones.
#[derive(Clone, Debug, Default)]
pub struct SharedRules(Arc<RwLock<Arc<Rules>>>);

impl SharedRules {
    /// Returns a handle on `rules`.
    pub fn new(rules: Rules) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(rules))))
    }

    /// Puts `rules` in the place of the current ones.
    pub fn set(&self, rules: Rules) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }

    /// Returns the current rules.
    pub fn get(&self) -> Arc<Rules> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}
