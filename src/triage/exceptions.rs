//! Exceptions as documents: one per scope, changed by compare-and-set, never deleted.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ATTEMPTS, Desk, MOST_ENTRIES, Signed, TriageError, document_id, shown};
use crate::alerts::Exception;
use crate::model::{self, Timestamp};
use crate::stores::{BulkItem, StoreError};

/// `event.dataset` of these documents.
pub(super) const DATASET: &str = "flowsentry.exception";
/// Characters of an id: enough for a namespace, short enough to type.
const ID_CHARACTERS: usize = 12;
/// Changes that a document remembers.
const HISTORY: usize = 20;

/// An exception in the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredException {
    /// A function of its scope.
    pub id: String,
    /// Grows with every change.
    pub version: u64,
    /// Whether it is in force; a removed one is not.
    pub enabled: bool,
    /// The exception.
    pub exception: Exception,
    /// When it was added first.
    pub created: Timestamp,
    /// The account that added it first.
    pub created_by: String,
    /// When it was changed last.
    pub changed: Timestamp,
    /// The account that changed it last.
    pub changed_by: String,
    /// Its last changes, oldest first.
    #[serde(default)]
    pub history: Vec<Change>,
}

/// One change of an exception.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The version that it made.
    pub version: u64,
    /// `added`, `changed` or `removed`.
    pub what: String,
    /// When.
    pub at: Timestamp,
    /// By which account.
    pub by: String,
}

/// The id of the exception with this scope: a second one of the same scope is the first one, changed.
pub fn scope_id(exception: &Exception) -> String {
    let text = |net: Option<ipnet::IpNet>| {
        net.map_or_else(String::new, |net| model::canonical_net(net).to_string())
    };
    let Exception { kind, source, destination, exporter, .. } = exception;
    let parts =
        [kind.map_or("", model::Kind::name), &text(*source), &text(*destination), &text(*exporter)];
    let mut id = model::document_id(&["exception", parts[0], parts[1], parts[2], parts[3]]);
    id.truncate(ID_CHARACTERS);
    id
}

impl StoredException {
    fn new(exception: Exception, by: &str, at: Timestamp) -> Self {
        Self {
            id: scope_id(&exception),
            version: 0,
            enabled: true,
            exception,
            created: at,
            created_by: by.to_owned(),
            changed: at,
            changed_by: by.to_owned(),
            history: Vec::new(),
        }
    }

    /// Reads what [`Self::document`] wrote. Others may write into the index: an id that is none of
    /// ours would end up in every alert.
    pub(super) fn read(value: &Value) -> Option<Self> {
        let stored: Self = serde_json::from_value(value.clone()).ok()?;
        (stored.id == scope_id(&stored.exception)).then_some(stored)
    }

    fn document(&self) -> Value {
        let mut body = serde_json::to_value(self).unwrap_or_default();
        // What documents are searched by.
        body["owner"] = json!(self.exception.owner);
        body["expires"] = json!(self.exception.expires);
        json!({
            "@timestamp": self.created,
            "event": {
                "id": format!("exception-{}", self.id), "kind": "state", "module": "flowsentry",
                "dataset": DATASET, "created": self.created,
            },
            "flowsentry": {"exception": body},
        })
    }

    fn note(&mut self, what: &str, by: &str, at: Timestamp) {
        self.version += 1;
        (self.changed, self.changed_by) = (at, by.to_owned());
        let change = Change { version: self.version, what: what.to_owned(), at, by: by.to_owned() };
        self.history.push(change);
        let too_many = self.history.len().saturating_sub(HISTORY);
        self.history.drain(..too_many);
    }
}

impl Desk {
    /// All exceptions, removed ones too, by id.
    ///
    /// # Errors
    /// When the store fails.
    pub fn exceptions(&self) -> Result<Vec<StoredException>, StoreError> {
        Ok(self.entries()?.0)
    }

    /// Adds an exception, or changes the one with the same scope. Its owner and comment are those of
    /// `signed`.
    ///
    /// # Errors
    /// When it would hide everything, or the store fails or refuses it.
    pub fn add_exception(
        &self,
        exception: Exception,
        signed: Signed,
    ) -> Result<StoredException, TriageError> {
        let Signed { owner, comment, by, at } = signed.cleaned();
        if exception.hides_everything() {
            let problem = "an exception needs a kind, a source, a destination or an exporter: \
                           this one would hide every alert";
            return Err(TriageError::Refused(problem.to_owned()));
        }
        let exception = Exception { owner: Some(owner), comment: Some(comment), ..exception };
        let fresh = StoredException::new(exception.clone(), &by, at);
        let id = document_id(&format!("exception-{}", fresh.id), "exception")?;
        for _ in 0..ATTEMPTS {
            let known = self.store.get(&self.index_of_entries(), &id)?;
            let Some(known) = known else {
                if self.entries()?.0.len() >= MOST_ENTRIES / 2 {
                    let problem = format!("there are {} exceptions already", MOST_ENTRIES / 2);
                    return Err(TriageError::Refused(problem));
                }
                let mut stored = fresh.clone();
                stored.note("added", &by, at);
                match self.store.create(self.entry_document(id.clone(), stored.document()))? {
                    BulkItem::Created => return Ok(stored),
                    BulkItem::Duplicate => continue,
                    BulkItem::Rejected { reason, .. } => return Err(TriageError::Refused(reason)),
                }
            };
            let read = StoredException::read(&known.source["flowsentry"]["exception"]);
            let mut stored = read.unwrap_or_else(|| fresh.clone());
            stored.exception = exception.clone();
            let what = if stored.enabled { "changed" } else { "added" };
            stored.enabled = true;
            stored.note(what, &by, at);
            if self.try_update(&self.index_of_entries(), &id, stored.document(), known.version)? {
                return Ok(stored);
            }
        }
        Err(TriageError::Busy(fresh.id))
    }

    /// Takes an exception out of force; it stays in the list.
    ///
    /// # Errors
    /// When there is none in force with this id, or the store fails.
    pub fn remove_exception(
        &self,
        id: &str,
        by: &str,
        at: Timestamp,
    ) -> Result<StoredException, TriageError> {
        let document = document_id(&format!("exception-{id}"), "exception")?;
        let mut removed = None;
        self.change(&self.index_of_entries(), &document, "exception", |source| {
            let stored = StoredException::read(&source["flowsentry"]["exception"]);
            let Some(mut stored) = stored else {
                return Err(TriageError::Unknown { what: "exception", id: shown(id) });
            };
            if !stored.enabled {
                let problem =
                    format!("the exception `{}` was removed at {}", shown(id), stored.changed);
                return Err(TriageError::Refused(problem));
            }
            stored.enabled = false;
            stored.note("removed", &model::one_line(by, super::OWNER_CHARACTERS), at);
            let document = stored.document();
            removed = Some(stored);
            Ok(Some(document))
        })?;
        removed.ok_or_else(|| TriageError::Busy(shown(id)))
    }
}
