//! Why setup did not do it, and who may do it.

use std::fmt::Write as _;

use super::AssetKind;
use crate::stores::{ClusterError, Flavour};

/// Why setup ended.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The cluster could not be read.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// It may not be read with these credentials.
    #[error("{source}; setup needs {privileges}")]
    Privileges {
        /// What was refused.
        source: ClusterError,
        /// What the user or key must be allowed.
        privileges: &'static str,
    },
    /// Objects are in the way that must not be touched.
    #[error("nothing was written: {}; `flowsentry setup --force` overwrites them", listed(objects))]
    Refused {
        /// Objects with the reason.
        objects: Vec<(String, String)>,
    },
    /// A step failed.
    #[error("{}{}", source, what_became(privileges, rolled_back, left))]
    Failed {
        /// What went wrong.
        source: Box<ClusterError>,
        /// What the user or key must be allowed, when that is it.
        privileges: Option<&'static str>,
        /// What had been written and was taken back.
        rolled_back: Vec<String>,
        /// What had been written and could not be taken back, with the reason.
        left: Vec<(String, String)>,
    },
    /// The namespace is the one of the probe.
    #[error("the namespace `{0}` is that of the probe documents of `setup`: choose another")]
    Namespace(String),
}

impl SetupError {
    /// Names the privileges when these are what was missing.
    pub(super) fn reading(source: ClusterError, flavour: Flavour) -> Self {
        match source {
            ClusterError::Forbidden { .. } => {
                Self::Privileges { source, privileges: privileges(flavour) }
            }
            source => Self::Cluster(source),
        }
    }
}

/// What a user or key must be allowed for setup.
pub(super) const fn privileges(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::Elasticsearch => {
            "the cluster privileges `manage_index_templates`, `manage_ilm` and `manage_pipeline`, \
             and the index privilege `manage`, for the probe also `create`, `read` and `delete`, \
             on `flowsentry-*` and `logs-flowsentry.flow-*`"
        }
        Flavour::OpenSearch => {
            "the cluster permissions `cluster_manage_index_templates`, \
             `cluster:admin/opendistro/ism/*` and `cluster_manage_pipelines`, and the index \
             permissions `manage`, `crud` and `create_index` on `flowsentry-*` and \
             `logs-flowsentry.flow-*`"
        }
    }
}

/// What stands in the way of a feature that is missing, and the way out.
pub(super) fn missing_feature(kind: AssetKind, flavour: Flavour, serverless: bool) -> &'static str {
    match (kind, flavour) {
        (AssetKind::Policy, _) if serverless => {
            "a serverless project has no lifecycle policies: raw flows age by the life of their data \
             stream, and `flowsentry run` drops the other old indices itself"
        }
        (AssetKind::Policy, Flavour::Elasticsearch) => {
            "this Elasticsearch has no lifecycle management (ILM): use the default distribution; \
             until then `flowsentry run` drops old indices itself"
        }
        (AssetKind::Policy, Flavour::OpenSearch) => {
            "this OpenSearch has no index management (ISM): install the plugin \
             `opensearch-index-management` and run `flowsentry setup` again; until then \
             `flowsentry run` drops old indices itself"
        }
        (AssetKind::Pipeline | AssetKind::Component | AssetKind::Template, _) => {
            "this server has no ingest processors: raw flows are stored as they come; install the \
             module `ingest-common` and run `flowsentry setup` again"
        }
    }
}

fn listed(objects: &[(String, String)]) -> String {
    let objects = objects.iter().map(|(object, reason)| format!("{object}: {reason}"));
    objects.collect::<Vec<_>>().join("; ")
}

fn what_became(
    privileges: &Option<&'static str>,
    rolled_back: &[String],
    left: &[(String, String)],
) -> String {
    let mut text = String::new();
    if let Some(privileges) = privileges {
        let _ = write!(text, "; setup needs {privileges}");
    }
    match rolled_back {
        [] if left.is_empty() => text.push_str("; nothing had been written"),
        [] => {}
        names => {
            let _ = write!(text, "; rolled back what had been written: {}", names.join(", "));
        }
    }
    if !left.is_empty() {
        let _ = write!(text, "; still there: {}", listed(left));
    }
    text
}
