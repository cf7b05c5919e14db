//! `simulate`: seeded traffic to standard output.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::Context;

use crate::cli::{SimulateArgs, SimulatedFormat, Target};
use crate::config::Config as Settings;
use crate::pipeline::Progress;
use crate::simulate::{AttackKind, Config, Extent, Simulation, write_goflow2};

use super::progress::Bar;
use super::{Outcome, produce};

/// Bytes that are written at a time.
const CHUNK_BYTES: usize = 1 << 18;

/// Writes simulated records to standard output, or sends them to a topic.
pub(super) fn simulate(settings: &Settings, args: &SimulateArgs) -> anyhow::Result<Outcome> {
    let SimulatedFormat::Goflow2 = args.format;
    let defaults = Config::default();
    let extent = match (args.flows, args.hours) {
        (Some(flows), _) => Extent::Flows(flows),
        (None, Some(hours)) => Extent::Hours(hours),
        (None, None) => defaults.extent,
    };
    let simulation = Simulation::new(Config {
        seed: args.seed,
        start: args.start.unwrap_or(defaults.start),
        extent,
        attacks: AttackKind::parse_list(&args.attacks)?,
        ..defaults
    })?;
    if let Some(path) = &args.truth {
        write_file(path, |file| Ok(serde_json::to_writer_pretty(file, simulation.truth())?))?;
    }
    if let Some(path) = &args.blacklist {
        let addresses = simulation.blacklist();
        write_file(path, |file| {
            addresses.iter().try_for_each(|ip| writeln!(file, "{ip}"))?;
            Ok(())
        })?;
    }
    if let Some(Target::Kafka) = args.to {
        return produce::simulate(settings, &args.produce, simulation);
    }
    let progress = Bar::new("simulating", Some(simulation.expected_flows()));
    write_records(simulation, &mut io::stdout().lock(), &progress)?;
    progress.clear();
    Ok(Outcome::Done)
}

/// Writes all records of a simulation.
pub(super) fn write_records(
    simulation: Simulation,
    writer: &mut dyn Write,
    progress: &dyn Progress,
) -> io::Result<()> {
    let mut chunk = Vec::with_capacity(CHUNK_BYTES + 2_048);
    let mut flows = 0;
    for flow in simulation {
        write_goflow2(&flow, &mut chunk);
        flows += 1;
        if chunk.len() >= CHUNK_BYTES {
            writer.write_all(&chunk)?;
            chunk.clear();
            progress.scored(flows);
            flows = 0;
        }
    }
    writer.write_all(&chunk)?;
    writer.flush()
}

fn write_file(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let context = || format!("writing `{}`", path.display());
    let mut file = BufWriter::new(File::create(path).with_context(context)?);
    write(&mut file).with_context(context)?;
    file.flush().with_context(context)
}
