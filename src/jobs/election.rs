//! One run of a job happens once over all workers of a namespace.
//!
//! ```text
//! claim ─→ Won(Lease) ─renew … renew→ finish      nobody else may begin it
//!       └→ Held, Paused, Over                      somebody else's, or nobody's any more
//! ```
//!
//! Each run has one document among the states, named by job and time, so that all workers mean the
//! same one. Whoever creates it holds the run, for the length of a lease; all later changes are made
//! by compare-and-set, so that who was taken over cannot write any more. The store alone decides:
//! workers never speak with each other, and their clocks may differ by 30 s.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::lease::Lease;
use super::run_record::{Decision, RunRecord};
use crate::model::Timestamp;
use crate::stores::{
    BulkItem, Document, DocumentId, Family, IndexName, Namespace, Store, StoreError, UpdateOutcome,
    Version,
};

/// How often a race for a run is tried to be settled at once.
pub(super) const MOST_ROUNDS: usize = 4;
/// When to look again at a run that stays contended, in seconds.
const CONTENDED_SECONDS: i64 = 1;
/// The id of the document that holds the namespace's first start.
const FIRST_START: &str = "first-start";

/// Who holds a run: a name that no other process has, nor this one after a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner(String);

impl Owner {
    /// Returns the owner of this name. It must be the only one of its name.
    pub fn named(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// Returns a new name, made of host, process and chance.
    pub fn of_this_process() -> Self {
        let host = Self::host();
        // The keys of the standard library's hasher are random: containers share host and process.
        let chance = RandomState::new().hash_one(());
        Self(format!("{host}-{}-{chance:016x}", std::process::id()))
    }

    /// The name of this machine, at most 64 printable signs.
    pub fn host() -> String {
        let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
        let host: String = host.trim().chars().filter(|sign| !sign.is_control()).take(64).collect();
        if host.is_empty() { "host".to_owned() } else { host }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why the store could not be asked who holds a run.
#[derive(Debug, thiserror::Error)]
pub enum ElectionError {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store did not take the document.
    #[error("the store refused the document `{id}`: {reason}")]
    Refused {
        /// Its id.
        id: DocumentId,
        /// Why, for a person.
        reason: String,
    },
    /// The document is not one of ours, or of a later version.
    #[error("the document `{id}` cannot be read: {reason}")]
    Unreadable {
        /// Its id.
        id: DocumentId,
        /// What is wrong with it.
        reason: String,
    },
}

/// A worker that stands for election.
#[derive(Clone)]
pub struct Election {
    store: Arc<dyn Store>,
    index: IndexName,
    owner: Owner,
}

/// What came of a claim.
#[derive(Debug)]
pub enum Claim {
    /// The run is this worker's.
    Won(Box<Lease>),
    /// Another worker holds it; it may be free then.
    Held {
        /// When to look again.
        until: Timestamp,
    },
    /// It failed and rests.
    Paused {
        /// When to look again.
        until: Timestamp,
    },
    /// It was given up just now: its last holder died with the last attempt.
    GivenUp,
    /// It is done, or was given up before.
    Over,
}

impl fmt::Debug for Election {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Election({} in {})", self.owner, self.index)
    }
}

impl Election {
    /// Returns a candidate for the runs of `namespace`.
    pub fn new(store: Arc<dyn Store>, namespace: &Namespace, owner: Owner) -> Self {
        let index = IndexName::for_event(Family::State, namespace, Timestamp::default());
        Self { store, index, owner }
    }

    /// Tries to become the holder of the run `label` of `job`. Blocks; usually takes two requests.
    ///
    /// # Errors
    /// When the store fails; the run may be this worker's then, and the next claim says so.
    pub fn claim(
        &self,
        job: &str,
        label: &str,
        due: Timestamp,
        now: Timestamp,
    ) -> Result<Claim, ElectionError> {
        let now = whole_millis(now);
        let id = DocumentId::new(format!("{job}-{label}")).expect("jobs have short names");
        for _ in 0..MOST_ROUNDS {
            let known = self.read(&id)?;
            let decision = match &known {
                None => Decision::Write(RunRecord::begun(job, &self.owner.0, 1, now)),
                Some((record, _)) => record.decide(&self.owner.0, now),
            };
            let record = match decision {
                Decision::Write(record) => record,
                Decision::Held { until } => return Ok(Claim::Held { until }),
                Decision::Paused { until } => return Ok(Claim::Paused { until }),
                Decision::Over => return Ok(Claim::Over),
            };
            let written = match known {
                None => self.create(&id, due, &record)?,
                Some((_, version)) => self.update(&id, &record, version)?,
            };
            // Without a version somebody was faster, or our own answer was lost: look again.
            match written {
                Some(_) if record.is_given_up() => return Ok(Claim::GivenUp),
                Some(version) => {
                    let lease = Lease::new(self.clone(), id, due, record, version);
                    return Ok(Claim::Won(Box::new(lease)));
                }
                None => {}
            }
        }
        Ok(Claim::Held { until: now.plus_seconds(CONTENDED_SECONDS) })
    }

    /// Returns when the namespace was first worked on: `now` for the first worker that asks.
    ///
    /// # Errors
    /// When the store fails.
    pub fn first_start(&self, now: Timestamp) -> Result<Timestamp, ElectionError> {
        let id = DocumentId::new(FIRST_START).expect("it is short");
        for _ in 0..MOST_ROUNDS {
            if let Some(stored) = self.store.get(&self.index, &id)? {
                let time = stored.source.get("@timestamp").unwrap_or(&Value::Null);
                return Timestamp::deserialize(time)
                    .map_err(|error| ElectionError::Unreadable { id, reason: error.to_string() });
            }
            let state = json!({"kind": "first_start", "owner": self.owner.0});
            self.create_document(&id, document(now, &state))?;
        }
        Err(ElectionError::Refused { id, reason: "it is neither there nor new".to_owned() })
    }

    pub(super) fn read(
        &self,
        id: &DocumentId,
    ) -> Result<Option<(RunRecord, Version)>, ElectionError> {
        let Some(stored) = self.store.get(&self.index, id)? else { return Ok(None) };
        let state = stored.source.pointer("/flowsentry/state").unwrap_or(&Value::Null);
        let record = RunRecord::deserialize(state).map_err(|error| ElectionError::Unreadable {
            id: id.clone(),
            reason: error.to_string(),
        })?;
        Ok(Some((record, stored.version)))
    }

    /// Returns the version of the new document; `None` when there was one before.
    fn create(
        &self,
        id: &DocumentId,
        due: Timestamp,
        record: &RunRecord,
    ) -> Result<Option<Version>, ElectionError> {
        if !self.create_document(id, document(due, &json!(record)))? {
            return Ok(None);
        }
        let found = self.read(id)?.filter(|(found, _)| found == record);
        Ok(found.map(|(_, version)| version))
    }

    /// Returns whether there was none before.
    fn create_document(&self, id: &DocumentId, source: Value) -> Result<bool, ElectionError> {
        let document = Document { index: self.index.clone(), id: id.clone(), source };
        match self.store.create(document)? {
            BulkItem::Created => Ok(true),
            BulkItem::Duplicate => Ok(false),
            BulkItem::Rejected { reason, .. } => {
                Err(ElectionError::Refused { id: id.clone(), reason })
            }
        }
    }

    /// Returns the new version; `None` when somebody has changed it since `version`.
    pub(super) fn update(
        &self,
        id: &DocumentId,
        record: &RunRecord,
        version: Version,
    ) -> Result<Option<Version>, ElectionError> {
        let partial = json!({"flowsentry": {"state": record}});
        match self.store.update(&self.index, id, partial, version)? {
            UpdateOutcome::Updated(version) => Ok(Some(version)),
            UpdateOutcome::Conflict | UpdateOutcome::Missing => Ok(None),
            UpdateOutcome::Rejected { reason } => {
                Err(ElectionError::Refused { id: id.clone(), reason })
            }
        }
    }
}

fn document(time: Timestamp, state: &Value) -> Value {
    json!({
        "@timestamp": time,
        "event": { "kind": "state", "module": "flowsentry" },
        "flowsentry": { "state": state },
    })
}

/// Documents hold milliseconds: what is read back must be what was written.
pub(super) fn whole_millis(time: Timestamp) -> Timestamp {
    Timestamp::from_millis(time.millis())
}
