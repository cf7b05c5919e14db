//! The `flowsentry` program: parses the command line, calls the library, returns its exit code.

use std::process::ExitCode;

use clap::Parser;
use flowsentry::{app, cli::Cli};

fn main() -> ExitCode {
    app::main(Cli::parse())
}
