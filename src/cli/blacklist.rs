//! `blacklist`: what can be asked about lists of addresses.

use std::net::IpAddr;

use clap::{Args, Subcommand};

/// Arguments of `blacklist`.
#[derive(Debug, Args)]
pub struct BlacklistArgs {
    /// What to do with lists.
    #[command(subcommand)]
    pub what: BlacklistWhat,
}

/// What can be done with lists.
#[derive(Debug, Subcommand)]
pub enum BlacklistWhat {
    /// Fetch the feeds of the settings now.
    ///
    /// A running worker with the same `path.data` takes the new lists over within seconds.
    Refresh(RefreshListsArgs),
    /// Show how large and how old the lists are, or which of them hold an address.
    ///
    /// The exit code is 1 for an address that is not listed.
    Show(ShowListsArgs),
}

/// Arguments of `blacklist refresh`.
#[derive(Debug, Args)]
pub struct RefreshListsArgs {
    /// Only this feed.
    #[arg(value_name = "FEED")]
    pub feed: Option<String>,
    /// Takes a list that is much shorter than the last good one, too.
    #[arg(long)]
    pub anew: bool,
}

/// Arguments of `blacklist show`.
#[derive(Debug, Args)]
pub struct ShowListsArgs {
    /// The address that is looked up.
    #[arg(value_name = "IP")]
    pub ip: Option<IpAddr>,
}
