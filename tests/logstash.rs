//! The Logstash pipeline without a Logstash: its syntax and options are read by a parser, its ruby
//! filter runs under plain Ruby, and what it makes of every recorded message is compared with
//! `logstash/mapping.yml`, with our own decoder, and with what real servers take.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "a test that lacks something says so")]

#[path = "logstash/flows.rs"]
mod flows;
#[path = "logstash/ingest.rs"]
mod ingest;
#[path = "logstash/mapping.rs"]
mod mapping;
#[path = "logstash/names.rs"]
mod names;
#[path = "logstash/options.rs"]
mod options;
#[path = "logstash/ruby.rs"]
mod ruby;
#[path = "logstash/rules.rs"]
mod rules;
#[path = "logstash/samples.rs"]
mod samples;
#[path = "logstash/traps.rs"]
mod traps;
