//! A worker's part of a topic of records: read, judge, store, commit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{debug, error, info, warn};

use super::super::common::{now, open_dead_letters};
use super::super::models::{Opened, key, registry_on};
use super::{BATCH, reject_of, write_out};
use crate::classify::{Classifier, ClassifySettings, Place};
use crate::config::Config;
use crate::jobs::Owner;
use crate::jobs::health::{ModelState, tell_models};
use crate::model::Timestamp;
use crate::pipeline::Stop;
use crate::sinks::{DeadLetters, SinkError, until_done};
use crate::sources::kafka::{RawRecord, RawTopics};
use crate::sources::{MessageFacts, Place as LinePlace, Rejected};
use crate::stores::{Namespace, Store};
use crate::testkit::crash;

/// The longest wait for messages.
const PATIENCE: Duration = Duration::from_secs(1);
/// Pause before something that failed is tried again.
const PAUSE: Duration = Duration::from_secs(5);
/// How often the health check is told how the model is.
const TELL_PAUSE: Duration = Duration::from_secs(60);
/// A worker that was not heard of for so long is gone.
const GONE_SECONDS: i64 = 3_600;
/// Message times further back, or ahead, are not believed: they would make indices of their own.
const CREDIBLE_SECONDS: (i64, i64) = (30 * 86_400, 3_600);

/// What a worker does for one entry of the settings.
pub(in super::super) struct Classifying {
    config: Config,
    entry: ClassifySettings,
    store: Arc<dyn Store>,
}

impl Classifying {
    /// One for each entry.
    pub(in super::super) fn all(config: &Config, store: &Arc<dyn Store>) -> Vec<Self> {
        let entries = config.models.classify.iter().cloned();
        let one = |entry| Self { config: config.clone(), entry, store: Arc::clone(store) };
        entries.map(one).collect()
    }

    /// Judges until it is stopped. What fails is tried again.
    pub(in super::super) fn run(&self, stop: &Stop) {
        while !stop.is_asked() {
            if let Err(problem) = self.judge(stop)
                && !stop.is_asked()
            {
                let name = &self.entry.name;
                error!(%name, error = %format!("{problem:#}"), "records are not judged; trying again");
                stop.wait(PAUSE);
            }
        }
    }

    fn judge(&self, stop: &Stop) -> anyhow::Result<()> {
        let namespace = self.config.namespace()?;
        let mut model = InUse::open(self)?;
        let topics = RawTopics::join(&self.entry.kafka)?;
        let store = || Ok(Arc::clone(&self.store));
        let letters =
            open_dead_letters(&self.config, &self.config.dead_letters, &store, Some(stop))?;
        let (mut told, mut total) = (Instant::now(), 0);
        while !stop.is_asked() {
            let batch = topics.next_batch(BATCH, PATIENCE)?;
            model.refresh(self);
            if !batch.is_empty() {
                self.store_batch(&batch, &mut model.classifier, &namespace, &letters, stop)?;
                crash::point("predictions");
                // Only now: what is not stored is read again.
                topics.commit(&batch);
                total += batch.len();
                debug!(total, name = %self.entry.name, "records are judged and stored");
            }
            if told.elapsed() >= TELL_PAUSE {
                told = Instant::now();
                self.tell(&model.classifier, &namespace);
            }
        }
        self.tell(&model.classifier, &namespace);
        Ok(())
    }

    fn store_batch(
        &self,
        batch: &[RawRecord],
        classifier: &mut Classifier,
        namespace: &Namespace,
        letters: &DeadLetters,
        stop: &Stop,
    ) -> anyhow::Result<()> {
        let mut documents = Vec::with_capacity(batch.len());
        for message in batch {
            let source = format!("{}/{}", message.topic, message.partition);
            let number = u64::try_from(message.offset).unwrap_or_default();
            match classifier.read(&message.payload) {
                Ok(record) => {
                    let place = Place { source: &source, number, bytes: &message.payload };
                    let time = credible(message.time);
                    documents.push(classifier.document(&record, &place, time, namespace));
                }
                Err(bad) => {
                    let place = LinePlace { offset: number, line: 1 };
                    let rejected = Rejected::new(place, reject_of(&bad), &message.payload);
                    let facts = MessageFacts { index: 0, time: message.time, taken: 0 };
                    letters.write(&source, &Rejected { message: Some(facts), ..rejected })?;
                }
            }
        }
        let passes =
            |error: &SinkError| matches!(error, SinkError::Store(_) | SinkError::Busy { .. });
        until_done(&|pause| stop.wait(pause), passes, || {
            write_out(&*self.store, &mut documents, letters)
        })?;
        Ok(letters.flush()?)
    }

    /// Leaves word for the health check.
    fn tell(&self, classifier: &Classifier, namespace: &Namespace) {
        let state = ModelState {
            name: self.entry.name.clone(),
            version: classifier.version().to_owned(),
            drift: classifier.drift(),
        };
        let worker = format!("{}:{}", Owner::host(), self.entry.name);
        let (at, expires) = (now(), now().plus_seconds(GONE_SECONDS));
        let told = tell_models(&*self.store, namespace, &worker, &[state], at, expires);
        if let Err(error) = told {
            warn!(%error, "the health check does not learn how a model is");
        }
    }
}

/// The time of a message, if that can be believed; else the present.
fn credible(time: Option<Timestamp>) -> Timestamp {
    let now = now();
    let (back, ahead) = CREDIBLE_SECONDS;
    time.filter(|time| now.plus_seconds(-back) <= *time && *time <= now.plus_seconds(ahead))
        .unwrap_or(now)
}

/// The model in use, and by what it is known whether it still is.
struct InUse {
    classifier: Classifier,
    key: String,
    looked: Instant,
}

impl InUse {
    fn open(of: &Classifying) -> anyhow::Result<Self> {
        let key = key(&of.config, &of.entry.model, &of.store)?;
        let name = &of.entry.model;
        let opened = Opened::open(name, || registry_on(&of.config, &of.store))?;
        let version = &opened.sha256[..16];
        info!(name = %of.entry.name, model = %name, version, "a model is in use");
        let classifier = Classifier::new(&of.entry.name, opened.model, &opened.sha256);
        Ok(Self { classifier, key, looked: Instant::now() })
    }

    /// Follows a promotion, or a file that has changed. Where that fails, the model stays.
    fn refresh(&mut self, of: &Classifying) {
        let pause = Duration::from_secs(of.config.models.refresh_seconds.into());
        if self.looked.elapsed() < pause {
            return;
        }
        self.looked = Instant::now();
        let changed = key(&of.config, &of.entry.model, &of.store)
            .and_then(|key| if key == self.key { Ok(None) } else { Self::open(of).map(Some) });
        match changed {
            Ok(None) => {}
            Ok(Some(new)) => *self = new,
            Err(error) => {
                warn!(name = %of.entry.name, error = %format!("{error:#}"), "another model cannot be used; the one in use stays");
            }
        }
    }
}
