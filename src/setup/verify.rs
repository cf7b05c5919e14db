//! Proves that a set-up works: compares, resolves, tries.

use std::collections::BTreeSet;

use serde_json::Value;

use super::error::SetupError;
use super::finding::{Finding, SETUP, pending};
use super::indices::wanted_mapping;
use super::mapping::difference;
use super::objects::read_one;
use super::plan::Plan;
use super::probe::{document, namespace};
use super::rivals::{Pattern, read_template_patterns, winner};
use super::{AssetKind, Installer};
use crate::stores::{Call, ClusterError, Family, Method, bounded};

/// What a verification came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verified {
    /// What is off; nothing when all is well.
    pub findings: Vec<Finding>,
    /// How many templates resolve as they shall.
    pub resolved: usize,
    /// How many probe documents were stored, found and removed.
    pub proven: usize,
    /// What could not be tried, and why.
    pub notes: Vec<String>,
}

/// A namespace of which nothing exists.
const UNUSED_NAMESPACE: &str = "setupcheck-resolved";
const NO_STREAM_PROBE: &str = "no probe document of raw flows was tried: this server has no \
    function to remove a data stream";

impl Installer {
    /// Compares every object and resolves every template, and writes nothing.
    ///
    /// # Errors
    /// When the cluster cannot be read.
    pub fn check(&self) -> Result<Vec<Finding>, SetupError> {
        let plan = self.plan()?;
        let mut findings = pending(&plan);
        self.check_resolved(&plan, &mut findings).map_err(|error| self.reading(error))?;
        let leftovers = self.probe_leftovers().map_err(|error| self.reading(error))?;
        findings.extend(leftovers.into_iter().map(|index| Finding {
            object: format!("index {index}"),
            cause: "a probe was interrupted and left it behind".to_owned(),
            remedy: format!("{SETUP}, which removes it"),
        }));
        Ok(findings)
    }

    /// As [`Self::check`], and proves it by documents in indices of their own, which are removed
    /// again.
    ///
    /// # Errors
    /// When the cluster cannot be read or takes no probe.
    pub fn verify(&self) -> Result<Verified, SetupError> {
        let reading = |error| self.reading(error);
        self.clean_probe().map_err(reading)?;
        let plan = self.plan()?;
        let mut verified = Verified { findings: pending(&plan), ..Verified::default() };
        verified.resolved = self.check_resolved(&plan, &mut verified.findings).map_err(reading)?;
        // Through templates that are not ours, a probe would prove nothing.
        if self.scope.selection.index_management && verified.findings.is_empty() {
            let probed = self.probe().map_err(reading)?;
            verified.proven = probed.proven;
            verified.findings.extend(probed.findings);
            if !self.capabilities.data_stream_api {
                verified.notes.push(NO_STREAM_PROBE.to_owned());
            }
        }
        Ok(verified)
    }

    /// Looks at what the server makes of templates and pipelines; returns how many templates
    /// resolve as they shall.
    fn check_resolved(
        &self,
        plan: &Plan,
        findings: &mut Vec<Finding>,
    ) -> Result<usize, ClusterError> {
        let mut resolved = 0;
        let present: BTreeSet<&str> = plan
            .steps
            .iter()
            .filter(|step| step.previous.is_some())
            .map(|step| step.asset.name.as_str())
            .collect();
        if self.scope.selection.index_management {
            let others = read_template_patterns(&self.cluster)?;
            for family in Family::ALL {
                let template = format!("flowsentry-{}", family.name());
                // One that is missing is a finding already.
                if present.contains(template.as_str()) {
                    let before = findings.len();
                    self.check_template(family, &template, &others, findings)?;
                    resolved += usize::from(findings.len() == before);
                }
            }
            self.check_policies(findings)?;
        }
        for step in plan.steps.iter().filter(|step| step.asset.kind == AssetKind::Pipeline) {
            if step.previous.is_some() {
                self.check_pipeline(&step.asset.name, findings)?;
            }
        }
        Ok(resolved)
    }

    fn check_template(
        &self,
        family: Family,
        template: &str,
        others: &[Pattern],
        findings: &mut Vec<Finding>,
    ) -> Result<(), ClusterError> {
        let object = format!("index template {template}");
        let live = self.written_name(family, &self.scope.namespace);
        if let Some(winner) = winner(others, &live)
            && winner.name != template
        {
            findings.push(Finding {
                object,
                cause: format!(
                    "the index template `{}` (priority {}) wins for `{live}`",
                    bounded(&winner.name),
                    winner.priority
                ),
                remedy: "lower its priority or narrow its patterns".to_owned(),
            });
            return Ok(());
        }
        // For a data stream that exists, OpenSearch fails to resolve templates (500).
        let name = self.written_name(family, &namespace(UNUSED_NAMESPACE));
        let action = format!("resolving the index template {template}");
        let path = format!("/_index_template/_simulate_index/{name}");
        let answer = self.cluster.demand(&Call::new(action, Method::Post, path))?;
        let custom = format!("flowsentry-{}@custom", family.name());
        let found = answer.pointer("/template/mappings").unwrap_or(&Value::Null);
        if let Some(wanted) = wanted_mapping(&self.assets, family) {
            let difference = difference(wanted, found);
            let conflicts = difference.conflicts.iter().map(ToString::to_string);
            let missing = difference.added.iter().map(|field| format!("`{field}` is missing"));
            let wrong: Vec<String> = conflicts.chain(missing).collect();
            if !wrong.is_empty() {
                findings.push(Finding {
                    object: object.clone(),
                    cause: bounded(&format!(
                        "`{name}` would be mapped wrongly: {}",
                        wrong.join(", ")
                    )),
                    remedy: format!("take these fields out of the component template `{custom}`"),
                });
            }
        }
        for setting in ["index.lifecycle.name", "index.default_pipeline"] {
            let Some(wanted) = self.wanted_setting(family, setting) else { continue };
            let found = answer.pointer("/template/settings").and_then(|all| look_up(all, setting));
            if found.as_deref() != Some(wanted.as_str()) && !self.is_customised(&custom, setting)? {
                findings.push(Finding {
                    object: object.clone(),
                    cause: format!(
                        "`{name}` would have `{}` as `{setting}` instead of `{wanted}`",
                        bounded(found.as_deref().unwrap_or("nothing"))
                    ),
                    remedy: SETUP.to_owned(),
                });
            }
        }
        self.check_attached_pipeline(&answer, &object, findings)
    }

    /// A pipeline that is named and missing refuses every document.
    fn check_attached_pipeline(
        &self,
        answer: &Value,
        object: &str,
        findings: &mut Vec<Finding>,
    ) -> Result<(), ClusterError> {
        let settings = answer.pointer("/template/settings").unwrap_or(&Value::Null);
        let Some(pipeline) = look_up(settings, "index.default_pipeline") else { return Ok(()) };
        if !self
            .assets
            .iter()
            .any(|asset| asset.name == pipeline && asset.kind == AssetKind::Pipeline)
        {
            return Ok(());
        }
        if read_one(&self.cluster, AssetKind::Pipeline, &pipeline)?.is_none() {
            findings.push(Finding {
                object: object.to_owned(),
                cause: format!("it names the ingest pipeline `{pipeline}`, which is not there"),
                remedy: "run `flowsentry setup --pipelines`".to_owned(),
            });
        }
        Ok(())
    }

    /// The value of a setting as our templates have it.
    fn wanted_setting(&self, family: Family, setting: &str) -> Option<String> {
        let name = format!("flowsentry-{}", family.name());
        let parts = [format!("{name}@settings"), name];
        let ours = self.assets.iter().filter(|asset| parts.contains(&asset.name));
        let mut settings = ours.filter_map(|asset| asset.body.pointer("/template/settings"));
        settings.find_map(|settings| look_up(settings, setting))
    }

    /// Whether the user's own component has the setting: then it is meant so.
    fn is_customised(&self, custom: &str, setting: &str) -> Result<bool, ClusterError> {
        let present = read_one(&self.cluster, AssetKind::Component, custom)?;
        let settings = present.as_ref().and_then(|own| own.body.pointer("/template/settings"));
        Ok(settings.is_some_and(|settings| look_up(settings, setting).is_some()))
    }

    fn check_pipeline(&self, name: &str, findings: &mut Vec<Finding>) -> Result<(), ClusterError> {
        let action = format!("trying the ingest pipeline {name}");
        let index = self.written_name(Family::Flows, &self.scope.namespace);
        let source = document(Family::Flows, self.scope.now);
        let call = Call::new(action, Method::Post, format!("/_ingest/pipeline/{name}/_simulate"))
            .json(serde_json::json!({"docs": [{"_index": index, "_id": "1", "_source": source}]}));
        let cause = match self.cluster.demand(&call) {
            Ok(answer) => {
                // A pipeline that catches its failures leaves them in the document.
                let places = ["/docs/0/error/reason", "/docs/0/doc/_source/error/message"];
                let error = places.iter().find_map(|place| answer.pointer(place)?.as_str());
                error.map(|reason| format!("a flow fails in it: {}", bounded(reason)))
            }
            Err(ClusterError::Refused { reason, .. }) => Some(format!("it cannot run: {reason}")),
            Err(error) => return Err(error),
        };
        findings.extend(cause.map(|cause| Finding {
            object: format!("ingest pipeline {name}"),
            cause,
            remedy: SETUP.to_owned(),
        }));
        Ok(())
    }
}

/// Looks a dotted setting up, however deep or flat it was given.
fn look_up(settings: &Value, name: &str) -> Option<String> {
    match settings.get(name) {
        Some(Value::String(text)) => return Some(text.clone()),
        Some(Value::Object(_)) | None => {}
        Some(value) => return Some(value.to_string()),
    }
    let object = settings.as_object()?;
    object.iter().find_map(|(key, below)| {
        let rest = name.strip_prefix(key.as_str())?.strip_prefix('.')?;
        look_up(below, rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn settings_are_found_deep_and_flat() {
        for settings in [
            json!({"index": {"lifecycle": {"name": "p"}}}),
            json!({"index.lifecycle.name": "p"}),
            json!({"index": {"lifecycle.name": "p"}}),
        ] {
            assert_eq!(look_up(&settings, "index.lifecycle.name").as_deref(), Some("p"));
        }
        assert_eq!(look_up(&json!({"index": 1}), "index.lifecycle.name"), None);
        assert_eq!(look_up(&json!({"index": {"n": 1}}), "index.n").as_deref(), Some("1"));
    }
}
