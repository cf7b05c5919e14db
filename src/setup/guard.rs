//! Nothing is written into a cluster whose templates are missing or older than this program: a
//! document would make an index with guessed types, which it keeps for life.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Finding, Installer, SCHEMA, Scope, SetupError};
use crate::stores::{Call, Cluster, ClusterError, Family, Method, Namespace};

/// Settings under `setup:`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Sets the cluster up before the first write when its templates are missing or old. Needs the
    /// privileges of `flowsentry setup`.
    pub automatic: bool,
}

/// Why nothing may be written.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// The cluster is not ready.
    #[error(
        "the cluster is not ready for documents: {}; run `flowsentry setup`, or set \
         `setup.automatic: true`", problems.join(", ")
    )]
    NotReady {
        /// What is missing, old or not ours.
        problems: Vec<String>,
    },
    /// It could not be set up.
    #[error("the cluster is not ready for documents, and could not be set up: {0}")]
    Setup(#[from] SetupError),
    /// It was set up and does not work.
    #[error("the cluster was set up and does not work: {}", listed(findings))]
    NotProven {
        /// What is off.
        findings: Vec<Finding>,
    },
    /// It could not be asked.
    #[error("the index templates cannot be checked before the first write: {0}")]
    Cluster(#[from] ClusterError),
}

/// Makes sure that the templates of all that a worker writes are there and new enough; sets the
/// cluster up when the settings say so. One request when all is well.
///
/// # Errors
/// When the cluster is not ready; names what is missing and the way out.
pub fn guard(cluster: &Cluster, settings: Settings, scope: Scope) -> Result<(), GuardError> {
    let problems = find_problems(cluster, &scope.namespace)?;
    if problems.is_empty() {
        return Ok(());
    }
    if !settings.automatic {
        return Err(GuardError::NotReady { problems });
    }
    let installer = Installer::new(cluster, scope)?;
    installer.apply(&installer.plan()?, false)?;
    let findings = installer.verify()?.findings;
    if findings.is_empty() { Ok(()) } else { Err(GuardError::NotProven { findings }) }
}

/// Names the templates of what a worker writes that are missing, older than this program or not
/// ours. One request; a user who may not read templates is told by the index of the state, which
/// `setup` makes from them.
///
/// # Errors
/// When the cluster does not answer, or forbids both.
pub fn find_problems(
    cluster: &Cluster,
    namespace: &Namespace,
) -> Result<Vec<String>, ClusterError> {
    let path = "/_index_template/flowsentry-*";
    let call = Call::new("reading the index templates", Method::Get, path)
        .query("filter_path", "index_templates.name,index_templates.index_template._meta");
    let answer = match cluster.find(&call) {
        Err(ClusterError::Forbidden { .. }) => return find_problem_of_state(cluster, namespace),
        answer => answer?.unwrap_or_default(),
    };
    let entries = answer["index_templates"].as_array().map(Vec::as_slice).unwrap_or_default();
    let families = Family::ALL.into_iter().filter(|family| *family != Family::Flows);
    Ok(families.filter_map(|family| find_problem(family, entries)).collect())
}

fn find_problem_of_state(
    cluster: &Cluster,
    namespace: &Namespace,
) -> Result<Vec<String>, ClusterError> {
    let index = format!("flowsentry-state-{namespace}");
    let path = format!("/{index}/_mapping");
    let Some(answer) = cluster.find(&Call::new("reading a mapping", Method::Get, path))? else {
        return Ok(vec![format!("the index `{index}` is missing")]);
    };
    let meta = &answer[&index]["mappings"]["_meta"];
    Ok(judge_mark(meta, &format!("the index `{index}`")).into_iter().collect())
}

fn find_problem(family: Family, entries: &[Value]) -> Option<String> {
    let name = format!("flowsentry-{}", family.name());
    let Some(entry) = entries.iter().find(|entry| entry["name"] == name.as_str()) else {
        return Some(format!("the index template `{name}` is missing"));
    };
    judge_mark(&entry["index_template"]["_meta"], &format!("the index template `{name}`"))
}

/// What is wrong with `object` by the mark that setup left on it.
fn judge_mark(meta: &Value, object: &str) -> Option<String> {
    if meta["managed_by"] != "flowsentry" {
        return Some(format!("{object} was not made by flowsentry"));
    }
    match meta["schema"].as_u64() {
        Some(schema) if schema >= SCHEMA => None,
        schema => {
            let schema = schema.unwrap_or_default();
            Some(format!("{object} is of schema {schema}, older than {SCHEMA}"))
        }
    }
}

fn listed(findings: &[Finding]) -> String {
    let findings = findings.iter().map(|one| format!("{}: {}", one.object, one.cause));
    findings.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn missing_foreign_and_old_templates_are_named() {
        let entries = [
            json!({"name": "flowsentry-windows", "index_template":
                {"_meta": {"managed_by": "flowsentry", "schema": SCHEMA}}}),
            json!({"name": "flowsentry-alerts", "index_template": {}}),
            json!({"name": "flowsentry-health", "index_template":
                {"_meta": {"managed_by": "flowsentry", "schema": 0}}}),
            json!({"name": "flowsentry-state", "index_template":
                {"_meta": {"managed_by": "flowsentry", "schema": SCHEMA + 1}}}),
        ];
        let problem = |family| find_problem(family, &entries);
        assert_eq!(problem(Family::Windows), None);
        assert_eq!(problem(Family::State), None);
        assert!(problem(Family::Anomalies).expect("missing").ends_with("is missing"));
        assert!(problem(Family::Alerts).expect("foreign").ends_with("not made by flowsentry"));
        let old = problem(Family::Health).expect("old");
        assert!(old.contains(&format!("schema 0, older than {SCHEMA}")));
    }
}
