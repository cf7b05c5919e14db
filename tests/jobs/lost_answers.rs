//! A store that does what it is told, and whose answer never arrives.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flowsentry::jobs::{Claim, Election, Ended, Owner};
use flowsentry::model::Timestamp;
use flowsentry::stores::{
    BulkOutcome, Document, DocumentId, Family, IndexName, Moment, Namespace, SearchRequest,
    SearchResponse, Store, StoreError, Stored, UpdateOutcome, Version,
};
use serde_json::Value;

use crate::sites::Site;

const DUE: Timestamp = Timestamp::from_seconds(1_795_000_000);

/// Loses the answer of the next write, when told so.
struct Forgetful {
    store: Arc<dyn Store>,
    forgets: AtomicBool,
}

impl Forgetful {
    fn answer<T>(&self, answer: T) -> Result<T, StoreError> {
        if self.forgets.swap(false, Ordering::Relaxed) {
            let (action, reason) = ("writing".to_owned(), "the connection broke".to_owned());
            return Err(StoreError::Engine { action, reason });
        }
        Ok(answer)
    }
}

impl Store for Forgetful {
    fn bulk(&self, documents: Vec<Document>) -> Result<BulkOutcome, StoreError> {
        self.answer(self.store.bulk(documents)?)
    }

    fn update(
        &self,
        index: &IndexName,
        id: &DocumentId,
        partial: Value,
        expected: Version,
    ) -> Result<UpdateOutcome, StoreError> {
        self.answer(self.store.update(index, id, partial, expected)?)
    }

    fn get(&self, index: &IndexName, id: &DocumentId) -> Result<Option<Stored>, StoreError> {
        self.store.get(index, id)
    }

    fn search(&self, request: &SearchRequest) -> Result<SearchResponse, StoreError> {
        self.store.search(request)
    }

    fn moment(
        &self,
        family: Family,
        namespace: &Namespace,
    ) -> Result<Box<dyn Moment + '_>, StoreError> {
        self.store.moment(family, namespace)
    }

    fn drop_before(&self, family: Family, cutoff: Timestamp) -> Result<Vec<IndexName>, StoreError> {
        self.store.drop_before(family, cutoff)
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.store.flush()
    }
}

pub fn a_worker_goes_on_with_what_got_no_answer(site: &Site) {
    let store = Forgetful { store: Arc::clone(&site.store), forgets: AtomicBool::new(true) };
    let store = Arc::new(store);
    let forget = || store.forgets.store(true, Ordering::Relaxed);
    let anna = Election::new(store.clone(), &site.namespace, Owner::named("anna"));
    let claim = |seconds| anna.claim("report", "2026-11-21", DUE, DUE.plus_seconds(seconds));

    claim(0).unwrap_err();
    let Claim::Won(mut lease) = claim(1).unwrap() else { panic!("it is ours") };
    assert_eq!(lease.attempt(), 1, "nothing was begun before");
    forget();
    lease.renew(DUE.plus_seconds(40)).unwrap_err();
    assert!(lease.renew(DUE.plus_seconds(41)).unwrap());
    forget();
    lease.finish(DUE.plus_seconds(50), Some("no disk")).unwrap_err();
    let ended = lease.finish(DUE.plus_seconds(51), Some("no disk")).unwrap();
    assert_eq!(ended, Ended::Failed { retry_at: DUE.plus_seconds(51 + 60) });
    forget();
    claim(200).unwrap_err();
    let Claim::Won(mut lease) = claim(201).unwrap() else { panic!("it is ours again") };
    assert_eq!(lease.attempt(), 2);
    assert_eq!(lease.finish(DUE.plus_seconds(202), None).unwrap(), Ended::Done);
    assert!(matches!(claim(10_000).unwrap(), Claim::Over));
}
