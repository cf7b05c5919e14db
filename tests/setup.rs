//! `setup` on real servers, one test after the other, and on a played one for what these lack:
//! lifecycle policies, refused privileges, the serverless offer.
#![allow(clippy::print_stdout, reason = "a skipped test says so")]

#[path = "setup/fake.rs"]
mod fake;
#[path = "setup/features.rs"]
mod features;
#[path = "setup/program.rs"]
mod program;
#[path = "setup/real.rs"]
mod real;
#[path = "scripted/mod.rs"]
mod scripted;
#[path = "setup/server.rs"]
mod server;
#[path = "setup/upgrade.rs"]
mod upgrade;
