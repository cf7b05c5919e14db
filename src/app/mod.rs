//! Wiring: from the command line to the modules and back to an exit code.

mod backfill;
mod backtest;
mod classify;
mod collected;
mod common;
mod deadletter;
mod demo;
mod evaluate;
mod exception;
mod export;
mod feedback;
mod feeds;
mod health;
mod kafka;
mod logged;
mod logging;
mod models;
mod produce;
mod progress;
mod reload;
mod report;
mod retention;
mod retrain;
mod rules;
mod run;
mod score;
mod search;
mod setup;
mod shared;
mod simulate;
mod simulated;
mod test_output;

use std::io::{self, ErrorKind};
use std::process::ExitCode;

use crate::cli::{Cli, Command, DeadLetterWhat, TestWhat};
use crate::config::Config;

/// What a command ends with when nothing failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Done.
    Done,
    /// Done, and the answer is this exit code (`health`).
    Code(u8),
}

/// Does what the command line asks for and returns the exit code: 0 when done, 1 when it failed;
/// `health` answers with 0, 1 or 2.
pub fn main(cli: Cli) -> ExitCode {
    match run_command(&cli) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Code(code)) => ExitCode::from(code),
        // Whoever reads our output (`head`) has had enough: no reason to complain.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Exiting: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_command(cli: &Cli) -> anyhow::Result<Outcome> {
    if let Command::Demo(args) = &cli.command {
        return demo::demo(args);
    }
    if let Command::Export(args) = &cli.command {
        return export::export(&args.what);
    }
    let config =
        Config::load(cli.config.as_deref(), &cli.overrides, &|name| std::env::var(name).ok())?;
    match &cli.command {
        Command::Score(args) => score::score(&config, args),
        Command::Run(args) => run::run(&config, args),
        Command::Backfill(args) => backfill::backfill(&config, args),
        Command::Evaluate(args) => evaluate::evaluate(&config, args),
        Command::Backtest(args) => backtest::backtest(&config, args),
        Command::Explore(args) => models::explore(args),
        Command::Train(args) => models::train(args),
        Command::Predict(args) => models::predict(&config, args),
        Command::Compare(args) => models::compare(args),
        Command::Split(args) => models::split(args),
        Command::Models(args) => models::models(&config, &args.what),
        Command::Classify(args) => classify::classify(&config, args),
        Command::Retrain(args) => retrain::retrain(&config, args),
        Command::Health(args) => health::health(&config, args),
        Command::Report(args) => report::report(&config, args),
        Command::Setup(args) => setup::setup(&config, args),
        Command::Test(args) => match args.what {
            TestWhat::Config => {
                common::print_line("Config OK")?;
                Ok(Outcome::Done)
            }
            TestWhat::Output => test_output::test_output(&config),
        },
        Command::Simulate(args) => simulate::simulate(&config, args),
        Command::Replay(args) => produce::replay(&config, args),
        Command::DeadLetter(args) => match &args.what {
            DeadLetterWhat::List(args) => deadletter::list(&config, args),
            DeadLetterWhat::Replay(args) => deadletter::replay(&config, args),
        },
        Command::Exception(args) => exception::exception(&config, &args.what),
        Command::Blacklist(args) => feeds::blacklist(&config, args),
        Command::Feedback(args) => feedback::feedback(&config, args),
        Command::Demo(_) | Command::Export(_) => Ok(Outcome::Done),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<io::Error>();
        io.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
    })
}
