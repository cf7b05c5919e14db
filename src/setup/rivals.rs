//! Templates and policies of others that would take our indices.

use serde_json::Value;

use super::finding::Finding;
use super::objects::text;
use super::{AssetKind, Installer};
use crate::stores::{Call, Cluster, ClusterError, Family, Flavour, Method, bounded};

/// A template or policy with what it matches.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    pub name: String,
    patterns: Vec<String>,
    pub priority: u64,
}

/// The one that a server takes for an index of this name.
pub(super) fn winner<'a>(patterns: &'a [Pattern], index: &str) -> Option<&'a Pattern> {
    let matching = patterns
        .iter()
        .filter(|one| one.patterns.iter().any(|pattern| matches_pattern(pattern, index)));
    matching.max_by_key(|one| one.priority)
}

/// Whether `*` for any text makes `pattern` to `name`.
fn matches_pattern(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// All index templates of the cluster.
pub(super) fn read_template_patterns(cluster: &Cluster) -> Result<Vec<Pattern>, ClusterError> {
    let parts = ["name", "index_template.index_patterns", "index_template.priority"];
    let filter = parts.map(|part| format!("index_templates.{part}")).join(",");
    let call = Call::new("reading the index templates", Method::Get, "/_index_template")
        .query("filter_path", filter);
    let answer = cluster.find(&call)?.unwrap_or_default();
    let entries = answer["index_templates"].as_array().cloned().unwrap_or_default();
    let pattern = |entry: &Value| {
        let template = &entry["index_template"];
        Some(Pattern {
            name: text(&entry["name"])?,
            patterns: texts(&template["index_patterns"]),
            priority: template["priority"].as_u64().unwrap_or(0),
        })
    };
    Ok(entries.iter().filter_map(pattern).collect())
}

impl Installer {
    /// Finds policies of others that take our indices (ISM alone: ILM goes by the template).
    pub(super) fn check_policies(&self, findings: &mut Vec<Finding>) -> Result<(), ClusterError> {
        if !self.capabilities.lifecycle || self.cluster.server().flavour != Flavour::OpenSearch {
            return Ok(());
        }
        let call =
            Call::new("reading the lifecycle policies", Method::Get, "/_plugins/_ism/policies")
                .query("size", "1000");
        let answer = self.cluster.find(&call)?.unwrap_or_default();
        let mut patterns = Vec::new();
        for entry in answer["policies"].as_array().into_iter().flatten() {
            let Some(name) = text(&entry["_id"]) else { continue };
            for template in entry["policy"]["ism_template"].as_array().into_iter().flatten() {
                patterns.push(Pattern {
                    name: name.clone(),
                    patterns: texts(&template["index_patterns"]),
                    priority: template["priority"].as_u64().unwrap_or(0),
                });
            }
        }
        for asset in self.assets.iter().filter(|asset| asset.kind == AssetKind::Policy) {
            let family = Family::ALL
                .into_iter()
                .find(|family| asset.name == format!("flowsentry-{}", family.name()));
            let Some(name) = family.map(|family| self.written_name(family, &self.scope.namespace))
            else {
                continue;
            };
            if let Some(winner) = winner(&patterns, &name)
                && winner.name != asset.name
            {
                findings.push(Finding {
                    object: asset.title(),
                    cause: format!(
                        "the lifecycle policy `{}` (priority {}) wins for `{name}`",
                        bounded(&winner.name),
                        winner.priority
                    ),
                    remedy: "lower its priority or narrow its patterns".to_owned(),
                });
            }
        }
        Ok(())
    }
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(values) => values.iter().filter_map(text).collect(),
        one => text(one).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_like_those_of_the_servers() {
        for (pattern, matches) in [
            ("flowsentry-*", true),
            ("*", true),
            ("*-default-*", true),
            ("flowsentry-windows-default", true),
            ("flowsentry-windows", false),
            ("flowsentry-*-lab", false),
            ("", false),
            ("*windows*windows*", false),
        ] {
            let name = match pattern {
                "*-default-*" => "flowsentry-windows-default-2026.11.21",
                _ => "flowsentry-windows-default",
            };
            assert_eq!(matches_pattern(pattern, name), matches, "{pattern}");
        }
        assert!(!matches_pattern("aba*aba", "aba"));
    }

    #[test]
    fn the_highest_priority_wins() {
        let pattern = |name: &str, patterns: &[&str], priority| Pattern {
            name: name.to_owned(),
            patterns: patterns.iter().map(|&text| text.to_owned()).collect(),
            priority,
        };
        let all = [
            pattern("logs", &["logs-*-*"], 100),
            pattern("ours", &["logs-flowsentry.flow-*"], 500),
            pattern("other", &["metrics-*"], 900),
        ];
        assert_eq!(
            winner(&all, "logs-flowsentry.flow-x").map(|one| one.name.as_str()),
            Some("ours")
        );
        assert!(winner(&all, "x").is_none());
    }
}
