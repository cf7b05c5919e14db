//! flowsentry finds, explains and reports abnormal network flows beside Elasticsearch and
//! OpenSearch. `ARCHITECTURE.md` shows the paths of the data and the module table.

pub mod alerts;
pub mod app;
pub mod capture;
pub mod charts;
pub mod classify;
pub mod cli;
pub mod config;
pub mod detect;
pub mod enrich;
pub mod evaluate;
pub mod features;
pub mod feeds;
pub mod formats;
pub mod fuse;
pub mod jobs;
pub mod learn;
pub mod model;
pub mod models;
pub mod notify;
pub mod pipeline;
pub mod registry;
pub mod reports;
pub mod scorer;
pub mod setup;
pub mod simulate;
pub mod sinks;
pub mod sources;
pub mod stores;
#[doc(hidden)]
pub mod testkit;
pub mod triage;
