//! The configurations as a parser of Logstash's own language sees them, and the options that every
//! plugin knows, by version.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::Value;

use crate::samples;

/// The configurations that belong together: what Logstash joins to one pipeline.
pub const PIPELINES: [(&str, &[&str]); 5] = [
    ("elasticsearch", &["flows.conf", "output-elasticsearch.conf"]),
    ("opensearch", &["flows.conf", "output-opensearch.conf"]),
    ("enriched", &["flows.conf", "geoip.conf", "names.conf", "output-elasticsearch.conf"]),
    ("replay to elasticsearch", &["replay/dead-letters.conf", "output-elasticsearch.conf"]),
    ("replay to opensearch", &["replay/dead-letters.conf", "output-opensearch.conf"]),
];

/// The text of a file of `logstash/`.
pub fn file(name: &str) -> String {
    std::fs::read_to_string(samples::root().join("logstash").join(name)).unwrap()
}

/// The text of a pipeline of [`PIPELINES`].
pub fn text(pipeline: &str) -> String {
    let (_, files) = PIPELINES.iter().find(|(name, _)| *name == pipeline).unwrap();
    files.iter().map(|name| file(name)).collect()
}

/// A plugin with its options, those in comments too.
#[derive(Debug, Deserialize)]
pub struct Plugin {
    pub section: String,
    pub name: String,
    pub options: BTreeMap<String, Value>,
    pub codec: Option<Box<Plugin>>,
}

impl Plugin {
    pub fn title(&self) -> String {
        format!("{} {}", self.section, self.name)
    }

    /// The value of an option as text, `""` when it is not set.
    pub fn text(&self, option: &str) -> String {
        match self.options.get(option) {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }
}

/// What the parser makes of one configuration.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Parsed {
    Plugins(Vec<Plugin>),
    Error(String),
}

/// Parses configurations; `None`, said aloud, where the parser is not there.
pub fn parse(texts: &[String]) -> Option<Vec<Parsed>> {
    let python = samples::root().join("target/logstash/bin/python");
    if !python.exists() {
        println!(
            "skipped: the syntax of the Logstash pipeline (`make pipelines` prepares its parser)"
        );
        return None;
    }
    let mut child = Command::new(python)
        .arg(samples::root().join("tests/logstash/parse.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let input = serde_json::to_vec(texts).unwrap();
    child.stdin.take().unwrap().write_all(&input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let parsed: Vec<Parsed> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(parsed.len(), texts.len());
    Some(parsed)
}

#[derive(Debug, Deserialize)]
struct Known {
    common: BTreeMap<String, Vec<String>>,
    plugins: Vec<KnownPlugin>,
}

#[derive(Debug, Deserialize)]
struct KnownPlugin {
    plugin: String,
    options: Vec<String>,
    /// What only this version knows.
    versions: BTreeMap<String, Vec<String>>,
}

/// The options that some version of a plugin does not know.
pub fn unknown_options(plugins: &[Plugin]) -> Vec<String> {
    let text = include_str!("options.yml");
    let known: Known = serde_yaml_ng::from_str(text).unwrap();
    let mut problems = Vec::new();
    for plugin in plugins.iter().flat_map(|one| std::iter::once(one).chain(one.codec.as_deref())) {
        let title = plugin.title();
        let Some(list) = known.plugins.iter().find(|one| one.plugin == title) else {
            problems.push(format!("`{title}` is a plugin that nobody has looked at"));
            continue;
        };
        let common = known.common.get(&plugin.section).map_or(&[][..], Vec::as_slice);
        for option in plugin.options.keys() {
            for (version, more) in &list.versions {
                if ![common, &list.options, more].iter().any(|names| names.contains(option)) {
                    problems.push(format!("`{title}` {version} has no option `{option}`"));
                }
            }
        }
    }
    problems
}

/// Logstash joins the files of a folder in the order of their names.
#[test]
fn the_files_of_a_pipeline_are_in_the_order_of_their_names() {
    let in_one_folder = PIPELINES.iter().filter(|(_, files)| !files[0].contains('/'));
    for (name, files) in in_one_folder {
        assert!(files.is_sorted(), "{name}");
    }
}

#[test]
fn every_plugin_knows_its_options_in_every_version() {
    let texts: Vec<String> = PIPELINES.iter().map(|(name, _)| text(name)).collect();
    let Some(parsed) = parse(&texts) else { return };
    for (one, (name, _)) in parsed.iter().zip(PIPELINES) {
        let Parsed::Plugins(plugins) = one else { panic!("{name}: {one:?}") };
        assert!(plugins.len() >= 2, "{name}");
        assert_eq!(unknown_options(plugins), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn broken_syntax_and_options_of_other_versions_are_found() {
    let usual = text("elasticsearch");
    let texts = [
        usual.replace("data_stream => false", "data_stream = false"),
        usual.replace("ilm_enabled => false", "ssl => true"),
        usual.replace("ilm_enabled => false", "drop_error_types => []"),
        usual.replace("consumer_threads => 1", "consumer_treads => 1"),
        usual.replace("json { ecs_", "jsonl { ecs_"),
        text("opensearch").replace("http_compression => true", "data_stream => true"),
        // An apostrophe ends the code of a ruby filter.
        usual.replace("# NetFlow hides type", "# NetFlow's port hides type"),
    ];
    let Some(parsed) = parse(&texts) else { return };
    let problems: Vec<String> = parsed
        .into_iter()
        .map(|one| match one {
            Parsed::Plugins(plugins) => unknown_options(&plugins).join("; "),
            // Where strings are folded, the parser counts other characters than we do.
            Parsed::Error(error) => {
                let line = error.lines().find(|line| line.starts_with("ParseException"));
                line.unwrap().split(" (at").next().unwrap().trim_end().to_owned()
            }
        })
        .collect();
    assert_eq!(
        problems,
        [
            "ParseException: Expected end of text, found 'output'",
            "`output elasticsearch` 11.22.17 has no option `ssl`; `output elasticsearch` 12.1.6 has no option `ssl`",
            "`output elasticsearch` 11.22.17 has no option `drop_error_types`",
            "`input kafka` 11.8.10 has no option `consumer_treads`; `input kafka` 12.1.4 has no option `consumer_treads`",
            "`codec jsonl` is a plugin that nobody has looked at",
            "`output opensearch` 2.1.0 has no option `data_stream`",
            "ParseException: Expected end of text, found 'filter'",
        ]
    );
}
