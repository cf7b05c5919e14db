//! A simulation through the ordinary path of a stream, without files.

use std::sync::{Arc, Mutex};
use std::thread;

use anyhow::Context;

use crate::cli::Mode;
use crate::config::Config;
use crate::detect::{Blacklist, SharedList};
use crate::pipeline::{DeadLetters, Input, NamedReader, Quiet, Stream, Summary, score_stream};
use crate::simulate::Simulation;
use crate::sinks::Sink;

use super::common::{self, ScorerFactory};
use super::models::learned_model;
use super::progress::Bar;
use super::simulate::write_records;

/// Sends the simulated records as bytes through a pipe into the ordinary path of a stream. The
/// addresses of the blacklist episodes are listed.
pub(super) fn score_simulation(
    config: &Config,
    simulation: Simulation,
    sink: &mut dyn Sink,
) -> anyhow::Result<Summary> {
    let context =
        common::detect_context(config, SharedList::default(), learned_model(config, None)?);
    let listed: Vec<String> = simulation.blacklist().iter().map(ToString::to_string).collect();
    context.blacklist.set(Arc::new(Blacklist::parse(listed.join("\n").as_bytes())));
    let factory = ScorerFactory { config, context, mode: Mode::Detect, rules: None };
    let progress = Bar::new("scoring", Some(simulation.expected_flows()));
    let (reader, mut writer) = std::io::pipe().context("opening a pipe")?;
    let source: NamedReader = ("simulation".into(), Box::new(reader));
    let input = Input { readers: Mutex::new(vec![source]), ..Input::default() };
    let stream =
        Stream { input: &input, leap_seconds: config.windows.leap_seconds, progress: &progress };
    let summary = thread::scope(|scope| -> anyhow::Result<Summary> {
        let simulating = scope.spawn(move || write_records(simulation, &mut writer, &Quiet));
        let summary =
            score_stream(&stream, &mut factory.make(), sink, &mut DeadLetters::discarded())?;
        simulating.join().expect("the simulation does not panic").context("simulating")?;
        Ok(summary)
    })?;
    progress.clear();
    Ok(summary)
}
