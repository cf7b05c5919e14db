//! Settings of the source of indexed flows.

use serde::{Deserialize, Serialize};

use crate::model::SettingError;
use crate::sources::kafka::Start;
use crate::stores::SearchRequest;

/// Settings under `input.search:`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SearchInput {
    /// Name under which the position is kept. One worker of a group reads, others stand by.
    pub group_id: String,
    /// Where a group without a position begins; a time means the first flow with this event time
    /// or a later one.
    pub start: Start,
    /// Seconds between two looks for new flows.
    pub poll_seconds: u32,
    /// Seconds after their arrival in the index at which flows are read.
    pub settle_seconds: u32,
    /// Seconds without a new flow after which a partition is not waited for any more.
    pub idle_seconds: u32,
    /// Least seconds between two snapshots; 0: one per window.
    pub snapshot_seconds: u32,
    /// Seconds after a worker's last sign of life at which another one takes over.
    pub lease_seconds: u32,
    /// Documents that are read at a time.
    pub page_documents: usize,
}

impl Default for SearchInput {
    fn default() -> Self {
        Self {
            group_id: "flowsentry".to_owned(),
            start: Start::default(),
            poll_seconds: 5,
            // Bulk requests that overlap and the refresh of the index (5 s) are over by then.
            settle_seconds: 30,
            idle_seconds: 60,
            snapshot_seconds: 10,
            lease_seconds: 30,
            // A page that is not in one piece on the disk is unpacked document by document.
            page_documents: 1_000,
        }
    }
}

impl SearchInput {
    /// Checks what types cannot.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self) -> Result<(), SettingError> {
        let key = |name: &str| format!("input.search.{name}");
        if self.group_id.trim().is_empty() {
            return Err(SettingError::new(key("group_id"), "must not be empty"));
        }
        let ranges = [
            ("poll_seconds", self.poll_seconds, 1, 3_600),
            ("settle_seconds", self.settle_seconds, 1, 3_600),
            ("idle_seconds", self.idle_seconds, 1, 86_400),
            ("snapshot_seconds", self.snapshot_seconds, 0, 3_600),
            ("lease_seconds", self.lease_seconds, 5, 3_600),
        ];
        for (name, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                let problem = format!("must lie between {least} and {most}, got {value}");
                return Err(SettingError::new(key(name), problem));
            }
        }
        let (least, most) = (100, SearchRequest::MAX_HITS);
        if !(least..=most).contains(&self.page_documents) {
            let problem =
                format!("must lie between {least} and {most}, got {}", self.page_documents);
            return Err(SettingError::new(key("page_documents"), problem));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_values_name_their_key() {
        let problem = |change: fn(&mut SearchInput)| {
            let mut input = SearchInput::default();
            change(&mut input);
            input.check().unwrap_err().to_string()
        };
        assert!(SearchInput::default().check().is_ok());
        for (text, key) in [
            (problem(|input| input.group_id.clear()), "input.search.group_id"),
            (problem(|input| input.poll_seconds = 0), "input.search.poll_seconds"),
            (problem(|input| input.settle_seconds = 0), "input.search.settle_seconds"),
            (problem(|input| input.idle_seconds = 0), "input.search.idle_seconds"),
            (problem(|input| input.snapshot_seconds = 4_000), "input.search.snapshot_seconds"),
            (problem(|input| input.lease_seconds = 1), "input.search.lease_seconds"),
            (problem(|input| input.page_documents = 10_001), "input.search.page_documents"),
        ] {
            assert!(text.contains(key), "{text}");
        }
    }
}
