//! What setup would do, as a person reads it: a diff of the cluster.

use std::fmt;

use super::indices::{Stuck, Upgrade};
use super::objects::Present;
use super::{Asset, SCHEMA};
use crate::stores::{IndexName, Server};

/// What setup would do.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Where.
    pub server: Server,
    /// One per object, in the order in which they are put in place.
    pub steps: Vec<Step>,
    /// Indices that are made beforehand.
    pub indices: Vec<IndexName>,
    /// What existing indices need.
    pub upgrades: Vec<Upgrade>,
    /// Indices that cannot be brought up to date.
    pub stuck: Vec<Stuck>,
    /// What the cluster cannot do, and what to do about it.
    pub notes: Vec<String>,
    /// How many indices are there that are made beforehand.
    pub(super) indices_present: usize,
}

/// What is done with one object.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The object as it shall be.
    pub asset: Asset,
    /// What is done.
    pub action: Action,
    /// The object as it is.
    pub previous: Option<Present>,
}

/// What is done with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is not there and is made.
    Create,
    /// It is ours, of an older schema, and replaced.
    Update {
        /// The older schema.
        from: u64,
    },
    /// It is ours but was changed, or its settings were; it is replaced.
    Repair {
        /// The places that differ.
        differences: Vec<String>,
    },
    /// It is as it shall be.
    Keep,
    /// It must not be touched, unless forced.
    Refuse {
        /// Why.
        reason: String,
    },
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.upgrades.is_empty()
            && self.indices.is_empty()
            && self.steps.iter().all(|step| step.action == Action::Keep)
    }

    /// How many objects are as they shall be.
    pub fn up_to_date(&self) -> usize {
        let kept = self.steps.iter().filter(|step| step.action == Action::Keep).count();
        kept + self.indices_present
    }

    /// The objects that must not be touched, with the reason.
    pub fn refused(&self) -> Vec<(String, String)> {
        let refused = self.steps.iter().filter_map(|step| match &step.action {
            Action::Refuse { reason } => Some((step.asset.title(), reason.clone())),
            Action::Create | Action::Update { .. } | Action::Repair { .. } | Action::Keep => None,
        });
        refused.collect()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            let title = step.asset.title();
            match &step.action {
                Action::Create => writeln!(f, "+ {title}")?,
                Action::Update { from } => writeln!(f, "~ {title} (schema {from} -> {SCHEMA})")?,
                Action::Repair { differences } => {
                    writeln!(f, "! {title} (differs in {})", differences.join(", "))?;
                }
                Action::Refuse { reason } => writeln!(f, "x {title} ({reason})")?,
                Action::Keep => {}
            }
        }
        for index in &self.indices {
            writeln!(f, "+ index {index}")?;
        }
        for upgrade in &self.upgrades {
            writeln!(f, "~ {upgrade}")?;
        }
        for stuck in &self.stuck {
            writeln!(f, "? index {}: {} ({})", stuck.index, stuck.cause, stuck.remedy)?;
        }
        let kept = self.up_to_date();
        if kept > 0 {
            let (s, are) = if kept == 1 { ("", "is") } else { ("s", "are") };
            writeln!(f, "= {kept} object{s} {are} up to date")?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))
    }
}

impl Upgrade {
    /// The index or data stream, for a person.
    pub fn object(&self) -> String {
        match self {
            Self::Extend { index, .. }
            | Self::Attach { index, .. }
            | Self::Follow { index, .. } => {
                format!("index {index}")
            }
            Self::RollOver { stream, .. } => format!("data stream {stream}"),
        }
    }
}

/// How many fields are named one by one.
const NAMED_FIELDS: usize = 5;

impl fmt::Display for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Extend { index, fields, .. } => {
                let named = fields[..fields.len().min(NAMED_FIELDS)].join(", ");
                write!(f, "index {index}: the mapping gets {named}")?;
                match fields.len().saturating_sub(NAMED_FIELDS) {
                    0 => Ok(()),
                    more => write!(f, " and {more} more"),
                }
            }
            Self::RollOver { stream, reason } => {
                write!(f, "data stream {stream}: rolled over, {reason}")
            }
            Self::Attach { index, policy } => write!(f, "index {index}: gets the policy {policy}"),
            Self::Follow { index, policy } => {
                write!(f, "index {index}: goes over to the new version of the policy {policy}")
            }
        }
    }
}
