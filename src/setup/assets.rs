//! The objects of `index-templates/`, made ready for one server.
//!
//! ```text
//! index-templates/*.json ─ files ─ render(server, capabilities, retention) ─→ Asset
//! Asset + the object as GET gives it back ─ compare ─→ Standing
//! ```

mod compare;
mod files;
mod render;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::stores::{Flavour, Server};

pub use compare::compare;
pub use render::{constant_keyword_probe, render};

/// The schema of all objects: grows with every change to a file of `index-templates/` that an
/// installation must take over.
pub const SCHEMA: u64 = 3;

/// Who manages the objects, under `_meta.managed_by`.
const MANAGER: &str = "flowsentry";
/// What the description begins with, before the schema, where there is no `_meta`.
const DESCRIPTION: &str = "flowsentry managed, schema ";

/// What kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AssetKind {
    /// A lifecycle policy: ILM or ISM.
    Policy,
    /// An ingest pipeline.
    Pipeline,
    /// A component template.
    Component,
    /// An index template.
    Template,
}

impl AssetKind {
    /// The words in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Pipeline => "pipeline",
            Self::Component => "component template",
            Self::Template => "index template",
        }
    }

    /// The path below which a server of `flavour` keeps such objects, each under its name.
    pub const fn path(self, flavour: Flavour) -> &'static str {
        match self {
            Self::Policy => match flavour {
                Flavour::Elasticsearch => "_ilm/policy",
                Flavour::OpenSearch => "_plugins/_ism/policies",
            },
            Self::Pipeline => "_ingest/pipeline",
            Self::Component => "_component_template",
            Self::Template => "_index_template",
        }
    }
}

/// One object, made ready for one server.
#[derive(Clone, Debug, PartialEq)]
pub struct Asset {
    /// What it is.
    pub kind: AssetKind,
    /// Its name on the server.
    pub name: String,
    /// The body of the request that puts it in place.
    pub body: Value,
    /// Whether it belongs to the user: created empty when absent, never touched again.
    pub is_custom: bool,
}

/// What a server can do beyond its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// It has lifecycle policies (ILM, ISM).
    pub lifecycle: bool,
    /// It has ingest pipelines with processors.
    pub ingest: bool,
    /// It has the functions that list and delete data streams.
    pub data_stream_api: bool,
    /// It has the field type `constant_keyword`, which Elasticsearch built from its free parts alone
    /// lacks; see [`constant_keyword_probe`]. Of no meaning on OpenSearch.
    pub constant_keyword: bool,
}

impl Capabilities {
    /// Returns what the ordinary release of `server` can do, for when it cannot be asked.
    pub const fn of_release(server: Server) -> Self {
        Self {
            lifecycle: !server.serverless,
            ingest: true,
            data_stream_api: true,
            constant_keyword: matches!(server.flavour, Flavour::Elasticsearch),
        }
    }
}

/// Days that documents are kept, by kind. Addresses are personal data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Raw flows.
    pub flows: u32,
    /// Window summaries.
    pub windows: u32,
    /// Anomalies and alerts.
    pub anomalies: u32,
    /// Health checks and reports.
    pub reports: u32,
    /// Dead letters.
    pub deadletters: u32,
    /// What learned models said about records.
    pub predictions: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            flows: 14,
            windows: 30,
            anomalies: 180,
            reports: 400,
            deadletters: 30,
            predictions: 30,
        }
    }
}

/// How an object on the server stands to ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The same.
    Same,
    /// Ours, of an older schema.
    Older {
        /// Its schema.
        schema: u64,
    },
    /// Ours, of a schema that this program does not know yet.
    Newer {
        /// Its schema.
        schema: u64,
    },
    /// Ours and of our schema, but not what we would write: changed by hand, or other settings.
    Edited {
        /// The places that differ, for example `template.settings.index.codec`.
        differences: Vec<String>,
    },
    /// Somebody else's.
    Foreign,
}
