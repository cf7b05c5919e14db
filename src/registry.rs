//! Learned models in the store, and which of them an alias stands for.
//!
//! ```text
//! flowsentry-models: blob-<sha256>-<part>          a file: a model, or rows to evaluate models on
//!                    promotion-<alias>-<revision>  from here on the alias stands for this model
//! ```
//!
//! Documents are only ever created: the promotion with the highest revision holds, the earlier ones are
//! the history, and of two people who promote at once the second is told.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::model::{ECS_VERSION, Timestamp, dataset, hex};
use crate::stores::{
    BulkItem, Document, DocumentId, Family, Filter, IndexName, Namespace, SearchRequest, Sort,
    Store, StoreError,
};

/// Bytes of a part, before base64: far below what a cluster takes in one request.
const PART_BYTES: usize = 2 << 20;
/// Parts of the largest file: 128 MiB.
const MOST_PARTS: usize = 64;
/// Promotions that are looked at.
const MOST_PROMOTIONS: usize = 1_000;

/// Why a model is not stored, found or promoted.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It would not fit.
    #[error("a file of {0} bytes is too large to be stored")]
    TooLarge(usize),
    /// The store does not take it.
    #[error("the store refuses it: {0}")]
    Refused(String),
    /// Parts are missing, or changed.
    #[error("what is stored under {0} is incomplete or damaged")]
    Damaged(String),
    /// Somebody else was faster.
    #[error("`{0}` was promoted by somebody else just now: look again")]
    Conflict(String),
    /// It cannot be an alias.
    #[error("`{0}` is no alias (lower-case letters, digits, `-` and `_`, at most 60 characters)")]
    NoAlias(String),
}

/// That an alias stands for a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Promotion {
    /// The alias.
    pub alias: String,
    /// Counts the promotions of the alias, from 1.
    pub revision: u64,
    /// SHA-256 of the model file.
    pub sha256: String,
    /// When.
    pub at: Timestamp,
    /// By which account.
    pub by: String,
    /// Why, in words; with the figures of the gate, or what was rolled back.
    pub comment: String,
    /// The revision that a rollback went back to.
    #[serde(default)]
    pub back_to: Option<u64>,
    /// SHA-256 of the rows that models of this alias are evaluated on, as CSV.
    #[serde(default)]
    pub evaluation: Option<String>,
}

/// The models of a namespace.
pub struct Registry {
    store: Arc<dyn Store>,
    namespace: Namespace,
}

impl Registry {
    /// The models of `namespace` in `store`.
    pub fn new(store: Arc<dyn Store>, namespace: Namespace) -> Self {
        Self { store, namespace }
    }

    /// What holds for each alias, by alias.
    ///
    /// # Errors
    /// When the store fails.
    pub fn aliases(&self) -> Result<Vec<Promotion>, RegistryError> {
        let mut all = self.promotions(None)?;
        all.sort_by(|a, b| (&a.alias, b.revision).cmp(&(&b.alias, a.revision)));
        all.dedup_by(|later, earlier| later.alias == earlier.alias);
        Ok(all)
    }

    /// The promotions of an alias, the last first.
    ///
    /// # Errors
    /// When the store fails.
    pub fn history(&self, alias: &str) -> Result<Vec<Promotion>, RegistryError> {
        self.promotions(Some(alias))
    }

    /// What an alias stands for.
    ///
    /// # Errors
    /// When the store fails.
    pub fn current(&self, alias: &str) -> Result<Option<Promotion>, RegistryError> {
        Ok(self.promotions(Some(alias))?.into_iter().next())
    }

    /// Lets an alias stand for the model that `promotion` names, whose file is stored already. Its
    /// revision must follow on the last one.
    ///
    /// # Errors
    /// [`RegistryError::Conflict`] when somebody else has promoted meanwhile.
    pub fn promote(&self, promotion: &Promotion) -> Result<(), RegistryError> {
        check_alias(&promotion.alias)?;
        let id = format!("promotion-{}-{}", promotion.alias, promotion.revision);
        let mut body = serde_json::to_value(promotion).unwrap_or_default();
        body["kind"] = json!("promotion");
        match self.store.create(self.document(id, promotion.at, body))? {
            BulkItem::Created => Ok(()),
            BulkItem::Duplicate => Err(RegistryError::Conflict(promotion.alias.clone())),
            BulkItem::Rejected { reason, .. } => Err(RegistryError::Refused(reason)),
        }
    }

    /// Stores a file, in parts; returns its SHA-256. One that is there already stays.
    ///
    /// # Errors
    /// When it is too large, or the store fails.
    pub fn put(&self, bytes: &[u8], at: Timestamp) -> Result<String, RegistryError> {
        let sha256 = hex(&Sha256::digest(bytes));
        let parts = bytes.len().div_ceil(PART_BYTES).max(1);
        if parts > MOST_PARTS {
            return Err(RegistryError::TooLarge(bytes.len()));
        }
        for part in 0..parts {
            let from = part * PART_BYTES;
            let piece = &bytes[from..(from + PART_BYTES).min(bytes.len())];
            let body = json!({
                "kind": "part", "sha256": sha256, "part": part, "parts": parts,
                "bytes": STANDARD.encode(piece),
            });
            let document = self.document(part_id(&sha256, part), at, body);
            if let BulkItem::Rejected { reason, .. } = self.store.create(document)? {
                return Err(RegistryError::Refused(reason));
            }
        }
        Ok(sha256)
    }

    /// Returns a stored file.
    ///
    /// # Errors
    /// When it is not there as a whole, or the store fails.
    pub fn get(&self, sha256: &str) -> Result<Vec<u8>, RegistryError> {
        let damaged = || RegistryError::Damaged(sha256.chars().take(64).collect());
        let (mut bytes, mut part) = (Vec::new(), 0);
        loop {
            let id = DocumentId::new(part_id(sha256, part)).map_err(|_| damaged())?;
            let stored = self.store.get(&self.index(), &id)?.ok_or_else(damaged)?;
            let body = &stored.source["flowsentry"]["model"];
            let piece = body["bytes"].as_str().and_then(|text| STANDARD.decode(text).ok());
            bytes.extend(piece.ok_or_else(damaged)?);
            part += 1;
            let parts = body["parts"].as_u64().and_then(|parts| usize::try_from(parts).ok());
            if parts.is_none_or(|parts| part >= parts.min(MOST_PARTS)) {
                break;
            }
        }
        if hex(&Sha256::digest(&bytes)) == sha256 { Ok(bytes) } else { Err(damaged()) }
    }

    fn promotions(&self, alias: Option<&str>) -> Result<Vec<Promotion>, RegistryError> {
        let mut request = SearchRequest::new(Family::Models, self.namespace.clone())
            .filter(Filter::term("flowsentry.model.kind", "promotion"))
            .sort(Sort::descending("flowsentry.model.revision"))
            .size(MOST_PROMOTIONS);
        if let Some(alias) = alias {
            check_alias(alias)?;
            request = request.filter(Filter::term("flowsentry.model.alias", alias));
        }
        let hits = self.store.search(&request)?.hits.into_iter();
        // Others may write into the index: what cannot be read is none of ours.
        let read = |source: &Value| {
            serde_json::from_value::<Promotion>(source["flowsentry"]["model"].clone()).ok()
        };
        Ok(hits.filter_map(|hit| read(&hit.source)).collect())
    }

    fn index(&self) -> IndexName {
        IndexName::for_event(Family::Models, &self.namespace, Timestamp::default())
    }

    fn document(&self, id: String, at: Timestamp, body: Value) -> Document {
        let source = json!({
            "@timestamp": at,
            "ecs": { "version": ECS_VERSION },
            "event": {
                "id": id, "kind": "state", "module": "flowsentry", "dataset": dataset::MODEL,
                "created": at,
            },
            "flowsentry": { "model": body },
        });
        let id = DocumentId::new(id).expect("aliases and hashes are short");
        Document { index: self.index(), id, source }
    }
}

fn part_id(sha256: &str, part: usize) -> String {
    format!("blob-{sha256}-{part}")
}

/// Aliases are written like namespaces.
fn check_alias(alias: &str) -> Result<(), RegistryError> {
    Namespace::new(alias)
        .map(drop)
        .map_err(|_| RegistryError::NoAlias(alias.chars().take(64).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::{EmbeddedConfig, EmbeddedStore};

    fn registry(folder: &tempfile::TempDir) -> Registry {
        let store = EmbeddedStore::open(EmbeddedConfig::at(folder.path())).unwrap();
        Registry::new(Arc::new(store), Namespace::default())
    }

    fn promotion(alias: &str, revision: u64, sha256: &str) -> Promotion {
        Promotion {
            alias: alias.to_owned(),
            revision,
            sha256: sha256.to_owned(),
            at: "2026-03-01T00:00:00Z".parse().unwrap(),
            by: "somebody".to_owned(),
            comment: String::new(),
            back_to: None,
            evaluation: None,
        }
    }

    #[test]
    fn the_last_promotion_of_an_alias_holds_and_a_second_one_of_the_same_revision_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let registry = registry(&folder);
        assert_eq!(registry.current("kdd").unwrap(), None);
        for (alias, revision, sha256) in [("kdd", 1, "aa"), ("kdd", 2, "bb"), ("flow", 1, "cc")] {
            registry.promote(&promotion(alias, revision, sha256)).unwrap();
        }
        assert_eq!(registry.current("kdd").unwrap().unwrap().sha256, "bb");
        let history: Vec<_> = registry.history("kdd").unwrap().iter().map(|p| p.revision).collect();
        assert_eq!(history, [2, 1]);
        let aliases: Vec<_> =
            registry.aliases().unwrap().into_iter().map(|p| (p.alias, p.revision)).collect();
        assert_eq!(aliases, [("flow".to_owned(), 1), ("kdd".to_owned(), 2)]);
        let second = registry.promote(&promotion("kdd", 2, "dd"));
        assert!(matches!(second, Err(RegistryError::Conflict(_))), "{second:?}");
        assert!(matches!(registry.current("K D"), Err(RegistryError::NoAlias(_))));
    }

    #[test]
    fn a_file_comes_back_as_it_was_and_a_damaged_one_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let registry = registry(&folder);
        let at = Timestamp::default();
        for length in [0, 5, PART_BYTES, PART_BYTES * 2 + 7] {
            let bytes: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            let sha256 = registry.put(&bytes, at).unwrap();
            assert_eq!(registry.put(&bytes, at).unwrap(), sha256, "again is the same");
            assert!(registry.get(&sha256).unwrap() == bytes);
        }
        let missing = registry.get(&"0".repeat(64));
        assert!(matches!(missing, Err(RegistryError::Damaged(_))), "{missing:?}");
        let body = json!({"kind": "part", "parts": 1, "bytes": STANDARD.encode("other")});
        let id = part_id(&"1".repeat(64), 0);
        registry.store.create(registry.document(id, at, body)).unwrap();
        assert!(matches!(registry.get(&"1".repeat(64)), Err(RegistryError::Damaged(_))));
    }
}
