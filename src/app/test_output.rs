//! `test output`: can the store be reached, and is it ready? Step by step, as far as it gets.

use std::io::{self, Write as _};

use anyhow::{anyhow, bail};
use serde_json::Value;

use crate::config::Config;
use crate::setup;
use crate::sinks::printable;
use crate::stores::{Call, Cluster, ClusterError, ClusterSettings, Flavour, Method, Namespace};

use super::Outcome;
use super::common::{open_embedded, print_line};

/// The longest text of a server, and most names of indices, on a line.
const SHOWN_CHARACTERS: usize = 80;
const SHOWN_NAMES: usize = 3;
/// All that is ours in a cluster.
const INDICES: &str = "flowsentry-*,logs-flowsentry.flow-*";
/// Tests the store of the settings. Writes nothing into a cluster.
pub(super) fn test_output(config: &Config) -> anyhow::Result<Outcome> {
    let mut steps = Steps::default();
    match config.output.cluster() {
        None => test_embedded(config, &mut steps)?,
        Some((flavour, settings)) => {
            let namespace = config.namespace()?;
            // Each address for itself: one that answers hides none that does not.
            for host in &settings.hosts {
                print_line(&format!("{}: {host}", flavour.name().to_lowercase()))?;
                test_node(flavour, &of_one_node(settings, host), &namespace, &mut steps)?;
            }
        }
    }
    match steps.problems.as_slice() {
        [] => Ok(Outcome::Done),
        [problem] => Err(anyhow!("{problem}")),
        [first, ..] => {
            bail!("{} steps failed, the first one: {first}", steps.problems.len())
        }
    }
}

/// The settings for one address. It is asked once: a person waits.
fn of_one_node(settings: &ClusterSettings, host: &str) -> ClusterSettings {
    ClusterSettings { hosts: vec![host.to_owned()], retry_seconds: 0, ..settings.clone() }
}

fn test_embedded(config: &Config, steps: &mut Steps) -> io::Result<()> {
    print_line(&format!("embedded: {}", config.store_path().display()))?;
    steps.begin("open")?;
    let opened = open_embedded(config);
    steps.end(opened.map(|_| "OK".to_owned()).map_err(|error| format!("{error:#}")))
}

/// Words for a person: what was found, or what is wrong and what to do.
type Test<'a> = &'a dyn Fn(&Cluster) -> Result<String, String>;

fn test_node(
    flavour: Flavour,
    settings: &ClusterSettings,
    namespace: &Namespace,
    steps: &mut Steps,
) -> io::Result<()> {
    steps.begin("connection")?;
    let cluster = match connect(flavour, settings) {
        Ok(cluster) => cluster,
        Err(error) => return refused_at(&error, steps),
    };
    steps.end(Ok("OK".to_owned()))?;
    steps.begin("server")?;
    let server = cluster.server();
    steps.end(Ok(match settings.version {
        Some(version) if version != server.version => format!("{server} (set to {version})"),
        Some(_) | None => server.to_string(),
    }))?;
    let tests: [(&'static str, Test<'_>); 4] = [
        ("credentials", &credentials),
        ("cluster health", &health),
        ("templates", &|cluster| templates(cluster, namespace)),
        ("disk", &disk),
    ];
    for (name, test) in tests {
        steps.begin(name)?;
        steps.end(test(&cluster))?;
    }
    Ok(())
}

/// Asks who answers, even where the settings say it; they are believed where asking is forbidden.
fn connect(flavour: Flavour, settings: &ClusterSettings) -> Result<Cluster, ClusterError> {
    let asking = ClusterSettings { version: None, ..settings.clone() };
    match Cluster::connect(flavour, &asking) {
        Err(ClusterError::Forbidden { .. }) if settings.version.is_some() => {
            Cluster::connect(flavour, settings)
        }
        connected => connected,
    }
}

/// Tells which step it was that a connection failed at.
fn refused_at(error: &ClusterError, steps: &mut Steps) -> io::Result<()> {
    let step = match error {
        ClusterError::Unauthorized { .. } | ClusterError::Forbidden { .. } => "credentials",
        ClusterError::WrongFlavour { .. }
        | ClusterError::NotACluster { .. }
        | ClusterError::Proxy { .. } => "server",
        ClusterError::Setting(_)
        | ClusterError::Client { .. }
        | ClusterError::Certificate { .. }
        | ClusterError::ClientCertificate { .. }
        | ClusterError::Unreachable { .. }
        | ClusterError::Timeout { .. }
        | ClusterError::ReadOnly { .. }
        | ClusterError::TooLarge { .. }
        | ClusterError::Unavailable { .. }
        | ClusterError::Missing { .. }
        | ClusterError::Refused { .. }
        | ClusterError::Answer { .. } => return steps.end(Err(error.to_string())),
    };
    steps.end(Ok("OK".to_owned()))?;
    steps.begin(step)?;
    steps.end(Err(error.to_string()))
}

/// Who the server takes us for. A wrong password would not have come so far.
fn credentials(cluster: &Cluster) -> Result<String, String> {
    let (path, name) = match cluster.server().flavour {
        Flavour::Elasticsearch => ("/_security/_authenticate", "username"),
        Flavour::OpenSearch => ("/_plugins/_security/authinfo", "user_name"),
    };
    match cluster.find(&Call::new("asking who we are", Method::Get, path)) {
        Ok(Some(answer)) => Ok(match answer.get(name).and_then(Value::as_str) {
            Some(user) => format!("OK (user {})", shown(user)),
            None => "OK".to_owned(),
        }),
        Ok(None) | Err(ClusterError::Missing { .. }) => {
            Ok("OK (the server is not secured: everybody may do everything)".to_owned())
        }
        // Then the answer is that there are credentials, and that they are right.
        Err(ClusterError::Forbidden { .. }) => Ok("OK".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn health(cluster: &Cluster) -> Result<String, String> {
    let call = Call::new("asking for the health", Method::Get, "/_cluster/health");
    let answer = match cluster.demand(&call) {
        Ok(answer) => answer,
        Err(ClusterError::Forbidden { .. } | ClusterError::Missing { .. }) => {
            return Ok("OK (not told to this user)".to_owned());
        }
        Err(error) => return Err(error.to_string()),
    };
    match answer.get("status").and_then(Value::as_str) {
        Some("green") => Ok("green".to_owned()),
        Some("yellow") => Ok("yellow (some replicas have no node)".to_owned()),
        Some("red") => {
            Err("red: primary shards are missing, what belongs there cannot be written \
                            or found; `GET _cluster/allocation/explain` says why"
                .to_owned())
        }
        Some(other) => Err(format!("unknown: {}", shown(other))),
        None => Err("the answer has no status".to_owned()),
    }
}

/// What the guard of the first write will say, without its offer to set up.
fn templates(cluster: &Cluster, namespace: &Namespace) -> Result<String, String> {
    match setup::find_problems(cluster, namespace) {
        Ok(problems) if problems.is_empty() => Ok("OK".to_owned()),
        Ok(problems) => {
            let problems: Vec<&str> = problems.iter().map(String::as_str).collect();
            Err(format!("{}; run `flowsentry setup`", list(&problems)))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Servers make indices read-only when their disks are nearly full.
fn disk(cluster: &Cluster) -> Result<String, String> {
    let path = format!("/{INDICES}/_settings/index.blocks.*");
    let call = Call::new("looking for read-only indices", Method::Get, path)
        .query("flat_settings", "true")
        .query("expand_wildcards", "open,hidden");
    let answer = match cluster.find(&call) {
        Ok(answer) => answer.unwrap_or(Value::Null),
        Err(ClusterError::Forbidden { .. }) => return Ok("OK (not told to this user)".to_owned()),
        Err(error) => return Err(error.to_string()),
    };
    let is_blocked = |entry: &Value| {
        let settings = entry.get("settings").and_then(Value::as_object);
        let mut blocks = settings.into_iter().flatten();
        blocks.any(|(name, value)| {
            name == "index.blocks.read_only_allow_delete" && (*value == "true" || *value == true)
        })
    };
    let indices = answer.as_object().into_iter().flatten();
    let blocked: Vec<&str> =
        indices.filter_map(|(name, entry)| is_blocked(entry).then_some(name.as_str())).collect();
    match blocked.is_empty() {
        true => Ok("OK".to_owned()),
        false => Err(format!(
            "the server made indices read-only because a disk is nearly full: {}; free disk space, \
             then set `index.blocks.read_only_allow_delete` of these indices to null",
            list(&blocked)
        )),
    }
}

/// The first names, and how many more there are.
fn list(names: &[&str]) -> String {
    let first: Vec<String> = names.iter().take(SHOWN_NAMES).map(|name| shown(name)).collect();
    match names.len().saturating_sub(SHOWN_NAMES) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// Text of a server for a line: bounded, and harmless to a terminal.
fn shown(text: &str) -> String {
    printable(&text.chars().take(SHOWN_CHARACTERS).collect::<String>())
}

/// Prints steps; remembers which failed.
#[derive(Default)]
struct Steps {
    name: &'static str,
    problems: Vec<String>,
}

impl Steps {
    /// Says what is tried before it is: it may take long.
    fn begin(&mut self, name: &'static str) -> io::Result<()> {
        self.name = name;
        let mut stdout = io::stdout().lock();
        write!(stdout, "  {name}... ")?;
        stdout.flush()
    }

    fn end(&mut self, result: Result<String, String>) -> io::Result<()> {
        match result {
            Ok(words) => print_line(&words),
            Err(problem) => {
                print_line(&format!("ERROR {problem}"))?;
                self.problems.push(format!("{}: {problem}", self.name));
                Ok(())
            }
        }
    }
}
