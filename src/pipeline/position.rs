//! Where a group stands: the snapshot in the store, and who may write it.
//!
//! One document per group holds the lease and names the snapshot. Every write to it is a
//! compare-and-set on what this worker wrote last: a worker that was thought dead, and whose group
//! another one has taken over, finds out with its next write and stops ([`PositionError::Fenced`]).
//! The snapshot itself lies in parts beside it, in two sets that are written in turn, so that the
//! document always names a whole one.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::features::Position;
use crate::model::{Timestamp, hex};
use crate::scorer::State;
use crate::sources::{Lag, PartitionName, Partitions};
use crate::stores::{
    BulkItem, Document, DocumentId, Family, IndexName, Namespace, Store, StoreError, UpdateOutcome,
    Version,
};

/// Characters of one part: far below what any server takes as one document.
const PART_CHARACTERS: usize = 1 << 20;
/// The largest snapshot that is read back, in bytes.
const MOST_BYTES: u64 = 1 << 30;
/// The form of the snapshot; another one is not understood.
const FORM: u32 = 1;

/// Why a position cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum PositionError {
    /// The store failed.
    #[error("cannot keep the position")]
    Store(#[from] StoreError),
    /// Another worker has taken over.
    #[error("another worker has taken over; this one was silent for too long")]
    Fenced,
    /// What is there cannot be read.
    #[error(
        "the snapshot of `{group}` is damaged ({reason}); remove the document `{id}` from \
         `{index}` to begin anew, from where the group's offsets stand"
    )]
    Damaged {
        /// The group.
        group: String,
        /// The document that names it.
        id: String,
        /// Where it lies.
        index: String,
        /// What is wrong.
        reason: String,
    },
    /// The store does not take it.
    #[error("the store refuses the position: {0}")]
    Refused(String),
}

/// A scorer's state with the names of its partitions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    form: u32,
    /// The names of the partitions, by their numbers in the state.
    pub partitions: Vec<(u32, PartitionName)>,
    /// The state.
    pub state: State,
}

impl Snapshot {
    /// Puts a state and the names of its partitions together.
    pub fn new(state: State, partitions: &Partitions) -> Self {
        let positions = state.positions.iter().map(|(id, _)| *id);
        let sources = state.log.iter().flat_map(|log| log.sources.iter().map(|(id, _)| *id));
        let name_of = |id| partitions.get(id).map(|known| (id, known.name.clone()));
        let partitions = positions.chain(sources).filter_map(name_of).collect();
        Self { form: FORM, partitions, state }
    }

    /// Returns the state with the numbers that its partitions have in `partitions`, each set to begin
    /// where it is read from.
    pub fn state_for(&self, partitions: &Partitions) -> State {
        let mut state = self.state.clone();
        let begun = self.positions();
        state.positions = begun
            .map(|(name, position)| (partitions.begin_at(name, position.offset), position))
            .collect();
        if let Some(log) = &mut state.log {
            let named = log.sources.iter().filter_map(|(id, progress)| {
                let (_, name) = self.partitions.iter().find(|(known, _)| known == id)?;
                Some((partitions.named(name).id, *progress))
            });
            log.sources = named.collect();
        }
        state
    }

    /// Where each partition is read from.
    pub fn positions(&self) -> impl Iterator<Item = (&PartitionName, Position)> {
        self.state.positions.iter().filter_map(|(id, position)| {
            let named = self.partitions.iter().find(|(known, _)| known == id);
            named.map(|(_, name)| (name, *position))
        })
    }

    fn encode(&self) -> String {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let json = serde_json::to_vec(self).expect("a snapshot is plain data");
        encoder.write_all(&json).expect("memory takes everything");
        BASE64_STANDARD.encode(encoder.finish().expect("memory takes everything"))
    }

    fn decode(text: &str) -> Result<Self, String> {
        let compressed = BASE64_STANDARD.decode(text).map_err(|error| error.to_string())?;
        let mut json = Vec::new();
        GzDecoder::new(compressed.as_slice())
            .take(MOST_BYTES)
            .read_to_end(&mut json)
            .map_err(|error| error.to_string())?;
        let snapshot: Self = serde_json::from_slice(&json).map_err(|error| error.to_string())?;
        match snapshot.form {
            FORM => Ok(snapshot),
            other => Err(format!("it has form {other}, this program reads {FORM}")),
        }
    }
}

/// What came of asking for a group.
pub enum Claim {
    /// It is ours; the snapshot to go on from, `None` on the first start.
    Ours(Keeper, Option<Box<Snapshot>>),
    /// Another worker has it.
    Held {
        /// By whom.
        owner: String,
        /// Until when, unless it renews.
        until: Timestamp,
        /// Everything that ended here or before is judged, as far as is known.
        judged_through: Option<Timestamp>,
    },
}

impl Claim {
    /// Somebody was faster.
    fn by_somebody(now: Timestamp) -> Self {
        Self::Held { owner: "another".to_owned(), until: now, judged_through: None }
    }
}

/// Keeps the position of a group that is ours. Clones share.
#[derive(Clone)]
pub struct Keeper {
    place: Arc<Place>,
    held: Arc<Mutex<Held>>,
}

struct Place {
    store: Arc<dyn Store>,
    index: IndexName,
    group: String,
    owner: String,
    lease_seconds: u32,
}

struct Held {
    version: Version,
    epoch: u64,
    generation: u64,
    lag: Option<Lag>,
    /// Another worker has taken over, as a renewal found out.
    is_fenced: bool,
}

impl Held {
    /// What every write to the document says: whose it is, until when, how far behind.
    fn sign_of_life(&self, place: &Place, now: Timestamp) -> Value {
        let mut body = place.lease(now, self.epoch);
        if let Some(lag) = self.lag {
            body["flowsentry"]["state"]["lag"] =
                json!({"messages": lag.messages, "seconds": lag.seconds});
        }
        body
    }
}

/// Who asks for which group, and where.
#[derive(Clone)]
pub struct Claimant {
    /// Where positions are kept.
    pub store: Arc<dyn Store>,
    /// Whose.
    pub namespace: Namespace,
    /// The consumer group.
    pub group: String,
    /// A name that no other worker has.
    pub owner: String,
    /// Seconds after the last sign of life at which others may take over. More than clocks differ.
    pub lease_seconds: u32,
}

impl Claimant {
    fn place(&self, now: Timestamp) -> Place {
        Place {
            store: Arc::clone(&self.store),
            index: IndexName::for_event(Family::State, &self.namespace, now),
            group: self.group.clone(),
            owner: self.owner.clone(),
            lease_seconds: self.lease_seconds,
        }
    }

    /// Returns the snapshot of the group without asking for the group; `None` when there is none.
    ///
    /// # Errors
    /// When the store fails, or the snapshot cannot be read.
    pub fn look(&self, now: Timestamp) -> Result<Option<Snapshot>, PositionError> {
        let place = self.place(now);
        match place.store.get(&place.index, &place.head())? {
            Some(stored) => place.read(&stored.source["flowsentry"]["state"]),
            None => Ok(None),
        }
    }

    /// Asks for the group at `now`.
    ///
    /// # Errors
    /// When the store fails, or the snapshot cannot be read.
    pub fn claim(&self, now: Timestamp) -> Result<Claim, PositionError> {
        let place = self.place(now);
        let id = place.head();
        let Some(stored) = place.store.get(&place.index, &id)? else {
            let mut body = place.lease(now, 1);
            body["flowsentry"]["state"]["kind"] = json!("position");
            body["flowsentry"]["state"]["group"] = json!(self.group);
            let document = Document { index: place.index.clone(), id: id.clone(), source: body };
            return match place.store.create(document)? {
                BulkItem::Created => {
                    let created = place.store.get(&place.index, &id)?;
                    let version = created.ok_or(PositionError::Fenced)?.version;
                    let held =
                        Held { version, epoch: 1, generation: 0, lag: None, is_fenced: false };
                    Ok(Claim::Ours(Keeper::new(place, held), None))
                }
                BulkItem::Duplicate => Ok(Claim::by_somebody(now)),
                BulkItem::Rejected { reason, .. } => Err(PositionError::Refused(reason)),
            };
        };
        let state = &stored.source["flowsentry"]["state"];
        let owner = state["owner"].as_str().unwrap_or_default();
        let time_of = |key: &str| -> Option<Timestamp> { state[key].as_str()?.parse().ok() };
        let until = time_of("expires").unwrap_or_default();
        if until > now && owner != self.owner {
            let judged_through = time_of("closed_through");
            return Ok(Claim::Held { owner: owner.to_owned(), until, judged_through });
        }
        let epoch = state["epoch"].as_u64().unwrap_or_default() + 1;
        let generation = state["generation"].as_u64().unwrap_or_default();
        let lease = place.lease(now, epoch);
        match place.store.update(&place.index, &id, lease, stored.version)? {
            UpdateOutcome::Updated(version) => {
                let snapshot = place.read(state)?;
                let held = Held { version, epoch, generation, lag: None, is_fenced: false };
                Ok(Claim::Ours(Keeper::new(place, held), snapshot.map(Box::new)))
            }
            UpdateOutcome::Conflict | UpdateOutcome::Missing => Ok(Claim::by_somebody(now)),
            UpdateOutcome::Rejected { reason } => Err(PositionError::Refused(reason)),
        }
    }
}

impl Place {
    fn head(&self) -> DocumentId {
        self.id("")
    }

    /// Group names may hold anything: the id is made of their hash.
    fn id(&self, suffix: &str) -> DocumentId {
        let digest = hex(&Sha256::digest(self.group.as_bytes())[..12]);
        DocumentId::new(format!("position-{digest}{suffix}")).expect("short and plain")
    }

    fn lease(&self, now: Timestamp, epoch: u64) -> Value {
        let expires = now.plus_seconds(i64::from(self.lease_seconds));
        json!({
            "@timestamp": now,
            "flowsentry": {"state": {"owner": self.owner, "epoch": epoch, "expires": expires}},
        })
    }

    /// Reads the snapshot that the document names.
    fn read(&self, state: &Value) -> Result<Option<Snapshot>, PositionError> {
        let damaged = |reason: String| PositionError::Damaged {
            group: self.group.clone(),
            id: self.head().to_string(),
            index: self.index.to_string(),
            reason,
        };
        let Some(parts) = state["parts"].as_array() else { return Ok(None) };
        let mut text = String::new();
        for part in parts {
            let name = part.as_str().unwrap_or_default();
            let id = DocumentId::new(name).map_err(|error| damaged(error.to_string()))?;
            let stored = self.store.get(&self.index, &id)?;
            let stored = stored.ok_or_else(|| damaged(format!("part `{name}` is missing")))?;
            text += stored.source["flowsentry"]["state"]["part"].as_str().unwrap_or_default();
        }
        if state["digest"] != digest_of(&text).as_str() {
            return Err(damaged("its parts are not those that were written".to_owned()));
        }
        Snapshot::decode(&text).map(Some).map_err(damaged)
    }

    /// Writes a part over whatever is there under its id, which only this epoch uses.
    fn write_part(&self, id: &DocumentId, body: &Value) -> Result<(), PositionError> {
        let document = Document { index: self.index.clone(), id: id.clone(), source: body.clone() };
        match self.store.create(document)? {
            BulkItem::Created => return Ok(()),
            BulkItem::Duplicate => {}
            BulkItem::Rejected { reason, .. } => return Err(PositionError::Refused(reason)),
        }
        let stored = self.store.get(&self.index, id)?.ok_or(PositionError::Fenced)?;
        match self.store.update(&self.index, id, body.clone(), stored.version)? {
            UpdateOutcome::Updated(_) => Ok(()),
            UpdateOutcome::Conflict | UpdateOutcome::Missing => Err(PositionError::Fenced),
            UpdateOutcome::Rejected { reason } => Err(PositionError::Refused(reason)),
        }
    }
}

impl Keeper {
    fn new(place: Place, held: Held) -> Self {
        Self { place: Arc::new(place), held: Arc::new(Mutex::new(held)) }
    }

    /// Keeps a snapshot. When this returns, a restart goes on from it.
    ///
    /// # Errors
    /// [`PositionError::Fenced`] when another worker has taken over; the store's otherwise: then
    /// the snapshot may or may not be kept, and the call can be repeated.
    pub fn save(&self, snapshot: &Snapshot, now: Timestamp) -> Result<(), PositionError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let text = snapshot.encode();
        let generation = held.generation + 1;
        let mut names = Vec::new();
        // Base64: any cut is a cut between characters.
        for (number, part) in text.as_bytes().chunks(PART_CHARACTERS).enumerate() {
            let id = self.place.id(&format!("-{}-{}-{number}", held.epoch, generation % 2));
            let part = String::from_utf8_lossy(part);
            let body = json!({
                "@timestamp": now, "flowsentry": {"state": {"kind": "snapshot", "part": part}}
            });
            self.place.write_part(&id, &body)?;
            names.push(id.to_string());
        }
        crate::testkit::crash::point("parts");
        let mut body = held.sign_of_life(&self.place, now);
        let state = &mut body["flowsentry"]["state"];
        state["parts"] = json!(names);
        state["digest"] = json!(digest_of(&text));
        state["generation"] = json!(generation);
        state["closed_through"] = json!(snapshot.state.closed_through);
        self.write_head(&mut held, body)?;
        held.generation = generation;
        Ok(())
    }

    /// The next sign of life says how far behind this worker is.
    pub fn note_lag(&self, lag: Lag) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).lag = Some(lag);
    }

    /// Says that this worker lives.
    ///
    /// # Errors
    /// As [`Keeper::save`].
    pub fn renew(&self, now: Timestamp) -> Result<(), PositionError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let body = held.sign_of_life(&self.place, now);
        let renewed = self.write_head(&mut held, body);
        held.is_fenced |= matches!(renewed, Err(PositionError::Fenced));
        renewed
    }

    /// Ends the work of a worker that was taken over: one with nothing to save would not find out.
    ///
    /// # Errors
    /// [`PositionError::Fenced`] when a renewal has found another worker in its place.
    pub fn check(&self) -> Result<(), PositionError> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.is_fenced { Err(PositionError::Fenced) } else { Ok(()) }
    }

    /// Leaves the group to the next worker.
    ///
    /// # Errors
    /// As [`Keeper::save`].
    pub fn release(&self, now: Timestamp) -> Result<(), PositionError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let mut body = held.sign_of_life(&self.place, now);
        body["flowsentry"]["state"]["expires"] = json!(now);
        self.write_head(&mut held, body)
    }

    /// Forgets the snapshot and leaves the group: everything is done, and whoever takes it begins
    /// anew.
    ///
    /// # Errors
    /// As [`Keeper::save`].
    pub fn finish(&self, now: Timestamp) -> Result<(), PositionError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let mut body = self.place.lease(now, held.epoch);
        let state = &mut body["flowsentry"]["state"];
        (state["expires"], state["parts"]) = (json!(now), Value::Null);
        self.write_head(&mut held, body)
    }

    fn write_head(&self, held: &mut Held, body: Value) -> Result<(), PositionError> {
        let place = &self.place;
        let id = place.head();
        let outcome = place.store.update(&place.index, &id, body.clone(), held.version)?;
        match outcome {
            UpdateOutcome::Updated(version) => {
                held.version = version;
                Ok(())
            }
            UpdateOutcome::Conflict => self.judge_conflict(held, &body),
            UpdateOutcome::Missing => Err(PositionError::Fenced),
            UpdateOutcome::Rejected { reason } => Err(PositionError::Refused(reason)),
        }
    }

    /// An answer that was lost on its way makes a repeated write conflict with itself: the document
    /// says whether it is still ours.
    fn judge_conflict(&self, held: &mut Held, body: &Value) -> Result<(), PositionError> {
        let place = &self.place;
        let id = place.head();
        let stored = place.store.get(&place.index, &id)?.ok_or(PositionError::Fenced)?;
        let state = &stored.source["flowsentry"]["state"];
        if state["owner"] != place.owner.as_str() || state["epoch"] != held.epoch {
            return Err(PositionError::Fenced);
        }
        match place.store.update(&place.index, &id, body.clone(), stored.version)? {
            UpdateOutcome::Updated(version) => {
                held.version = version;
                Ok(())
            }
            _ => Err(PositionError::Fenced),
        }
    }
}

fn digest_of(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}
