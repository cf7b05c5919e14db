//! A store by the rules of the real one.

use std::collections::BTreeMap;

use flowsentry::scorer::Output;
use flowsentry::sinks::{Dataset, Document};
use serde_json::Value;

/// A store by the rules of the real one: facts are created once, alerts never go back.
#[derive(Default, PartialEq, Debug)]
pub struct Stored {
    pub facts: BTreeMap<String, Value>,
    pub alerts: BTreeMap<String, Value>,
}

impl Stored {
    pub fn assert_is(&self, found: &Self, case: &str) {
        for (id, fact) in &self.facts {
            assert_eq!(found.facts.get(id), Some(fact), "{case}: {id}");
        }
        for (id, alert) in &self.alerts {
            assert_eq!(found.alerts.get(id), Some(alert), "{case}: {id}");
        }
        assert!(self == found, "{case}: something is there that should not");
    }

    pub fn write(&mut self, output: &Output) {
        let document = Document::of(output);
        let id = document.id().to_owned();
        if document.dataset != Dataset::Alert {
            let known = self.facts.entry(id).or_insert_with(|| document.body.clone());
            assert_eq!(*known, document.body, "a repeated fact is the same fact");
            return;
        }
        let progress = |alert: &Value| {
            let alert = &alert["flowsentry"]["alert"];
            let closed = alert["status"] == "closed";
            (alert["last"].to_string(), alert["count"].as_u64(), closed)
        };
        let known = self.alerts.entry(id).or_insert_with(|| document.body.clone());
        if progress(known) <= progress(&document.body) {
            *known = document.body;
        }
    }
}
