//! What a real Logstash was seen to do wrong without a word, or with one that nobody reads: a check
//! for each, and for each a configuration that falls into it.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use crate::options::{self, Parsed, Plugin};
use crate::ruby;

/// A setting of `pipelines.yml` that matters here.
#[derive(Debug, Deserialize)]
struct PipelineSettings {
    #[serde(rename = "queue.type")]
    queue: Option<String>,
    #[serde(rename = "dead_letter_queue.enable")]
    dead_letters: Option<bool>,
    #[serde(rename = "pipeline.ecs_compatibility")]
    ecs: Option<String>,
}

/// What is wrong with a pipeline and its settings, in words.
fn problems(plugins: &[Plugin], settings: &str) -> Vec<String> {
    let mut problems = ids(plugins);
    for plugin in plugins {
        let found = match plugin.title().as_str() {
            "input kafka" => kafka(plugin),
            "filter ruby" => ruby_filter(plugin),
            "filter geoip" => geoip(plugin),
            "filter date" if plugin.text("match").contains("UNIX_MS") => {
                vec!["`date` takes nanoseconds for milliseconds and says nothing"]
            }
            "filter mutate" if plugin.options.contains_key("copy") && plugin.options.len() > 2 => {
                vec!["`copy` runs after all other changes of the same `mutate`"]
            }
            "output elasticsearch" => elasticsearch(plugin),
            "output opensearch" => opensearch(plugin),
            _ => Vec::new(),
        };
        problems.extend(found.into_iter().map(|problem| format!("{}: {problem}", plugin.title())));
        problems.extend(one_element(plugin));
        problems.extend(secrets(plugin));
    }
    problems.extend(pipeline_settings(settings));
    problems
}

fn ids(plugins: &[Plugin]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut problems = Vec::new();
    for plugin in plugins {
        match plugin.text("id") {
            id if id.is_empty() => problems.push(format!("{}: no `id`", plugin.title())),
            id if !seen.insert(id.clone()) => {
                problems.push(format!("`{id}` is the id of two plugins"))
            }
            _ => {}
        }
    }
    problems
}

fn kafka(plugin: &Plugin) -> Vec<&'static str> {
    let mut problems = Vec::new();
    if plugin.text("decorate_events") != "basic" {
        problems.push("without `decorate_events` there are no ids");
    }
    if plugin.text("enable_auto_commit") != "false" {
        problems.push("positions are committed by the clock");
    }
    let codec = plugin.codec.as_deref();
    if codec.is_none_or(|codec| codec.name != "json") {
        problems.push("the default codec reads no JSON");
    } else if codec.is_none_or(|codec| codec.text("ecs_compatibility") != "disabled") {
        problems.push("the codec keeps every message a second time in `event.original`");
    }
    problems
}

fn elasticsearch(plugin: &Plugin) -> Vec<&'static str> {
    let mut problems = output(plugin);
    if plugin.text("data_stream") == "true" && plugin.options.contains_key("index") {
        problems.push("`data_stream` and `index` exclude each other, and only the start says so");
    }
    if plugin.text("ilm_enabled") != "false" {
        problems.push("`ilm_enabled` would write to an alias instead");
    }
    if !plugin.text("silence_errors_in_log").contains("version_conflict_engine_exception") {
        problems.push("every replayed document stands whole in the log");
    }
    problems
}

fn opensearch(plugin: &Plugin) -> Vec<&'static str> {
    let mut problems = output(plugin);
    if !plugin.text("failure_type_logging_whitelist").contains("version_conflict_engine_exception")
    {
        problems.push("every replayed document stands whole in the log");
    }
    problems
}

fn output(plugin: &Plugin) -> Vec<&'static str> {
    let mut problems = Vec::new();
    if plugin.text("action") != "create" {
        problems.push("a data stream takes `create` alone");
    }
    if plugin.text("document_id") != "%{[event][id]}" {
        problems.push("a record that is read twice is stored twice");
    }
    if plugin.text("manage_template") != "false" {
        problems.push("`manage_template` puts Logstash's own template beside ours");
    }
    problems
}

fn geoip(plugin: &Plugin) -> Vec<&'static str> {
    let mut problems = Vec::new();
    if plugin.text("source") != format!("[{}][ip]", plugin.text("target")) {
        problems.push("without the right `target` the place is not beside its address");
    }
    if plugin.text("database").is_empty() {
        problems.push("without `database` it takes one that it downloads");
    }
    if plugin.text("tag_on_failure") != "[]" {
        problems.push("every private address is tagged as a failure");
    }
    if plugin.text("fields").is_empty() {
        problems.push("without `fields` it writes some that have no mapping");
    }
    problems
}

/// The code of a ruby filter. The plugin evaluates it in a method of its own, whose variables all
/// workers share.
fn ruby_filter(plugin: &Plugin) -> Vec<&'static str> {
    let (init, code) = (plugin.text("init"), plugin.text("code"));
    let mut problems = Vec::new();
    if plugin.options.contains_key("path") {
        problems.push("`path` was never tried");
    }
    if [&init, &code].iter().any(|text| code_words(text).iter().any(|word| word == "e")) {
        problems.push("the variable `e` belongs to the plugin, all workers share it");
    }
    if assigns_shared(&code) {
        problems.push("`code` changes an @variable, which all workers share");
    }
    // Lines of `init` at its own indentation are not inside of any lambda.
    let indentation = init.lines().find(|line| !line.trim().is_empty()).map_or(0, leading_blanks);
    let mut outer = init.lines().filter(|line| leading_blanks(line) == indentation);
    if outer.any(|line| is_local_assignment(line.trim_start())) {
        problems.push("`init` has a local variable, which all workers share");
    }
    problems
}

fn leading_blanks(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn is_local_assignment(line: &str) -> bool {
    let Some((name, rest)) = line.split_once(" = ") else { return false };
    !rest.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

fn assigns_shared(code: &str) -> bool {
    code.match_indices('@').any(|(at, _)| {
        let rest = &code[at + 1..];
        let name = rest.find(|letter: char| !(letter.is_alphanumeric() || letter == '_'));
        let after = rest[name.unwrap_or(rest.len())..].trim_start();
        let operator = ["||=", "+=", "-=", "<<", "&&="].iter().any(|sign| after.starts_with(sign));
        operator || after.starts_with('=') && !after.starts_with("==") && !after.starts_with("=~")
    })
}

/// The words of Ruby code outside of strings, comments and regular expressions of one line.
fn code_words(code: &str) -> Vec<String> {
    let mut words = Vec::new();
    for line in code.lines() {
        let mut quoted = false;
        let mut plain = String::new();
        for letter in line.chars() {
            match letter {
                '"' => quoted = !quoted,
                '#' if !quoted => break,
                _ if quoted => plain.push(' '),
                letter => plain.push(letter),
            }
        }
        let separated =
            plain.split(|letter: char| !(letter.is_alphanumeric() || "_@.:".contains(letter)));
        words.extend(separated.map(str::to_owned));
    }
    words
}

/// `add_field` makes a plain value of a list of one.
fn one_element(plugin: &Plugin) -> Option<String> {
    let Some(Value::Array(entries)) = plugin.options.get("add_field") else { return None };
    let has_list = entries.iter().any(|entry| {
        entry[1].as_array().is_some_and(|value| value.len() == 1 && value[0].is_array())
    });
    has_list
        .then(|| format!("{}: `add_field` makes a plain value of a list of one", plugin.title()))
}

/// Secrets come from the keystore or the environment, and have no default.
fn secrets(plugin: &Plugin) -> Vec<String> {
    let is_secret = |name: &str| name.ends_with("password") || name == "api_key";
    let given = plugin.options.iter().filter(|(name, _)| is_secret(name));
    let open = given.filter(|(name, _)| {
        let text = plugin.text(name);
        !(text.starts_with("${") && text.ends_with('}') && !text.contains(':'))
    });
    open.map(|(name, _)| format!("{}: `{name}` stands in the file", plugin.title())).collect()
}

fn pipeline_settings(text: &str) -> Vec<String> {
    let pipelines: Vec<PipelineSettings> = serde_yaml_ng::from_str(text).unwrap();
    let first = &pipelines[0];
    let mut problems = Vec::new();
    if first.queue.as_deref() != Some("persisted") {
        problems.push("the queue in memory loses what a crash finds in it".to_owned());
    }
    if first.dead_letters != Some(true) {
        problems.push("what the cluster refuses is dropped with a line in the log".to_owned());
    }
    if first.ecs.as_deref() != Some("v8") {
        problems
            .push("`pipeline.ecs_compatibility` is left to the default of the version".to_owned());
    }
    problems
}

#[test]
fn our_pipelines_are_in_no_trap() {
    let settings = options::file("pipelines.yml");
    let texts: Vec<String> =
        options::PIPELINES.iter().map(|(name, _)| options::text(name)).collect();
    let Some(parsed) = options::parse(&texts) else { return };
    for (one, (name, _)) in parsed.iter().zip(options::PIPELINES) {
        let Parsed::Plugins(plugins) = one else { panic!("{name}: {one:?}") };
        assert_eq!(problems(plugins, &settings), Vec::<String>::new(), "{name}");
    }
}

/// A pipeline with one change, and what is said about it.
const CHANGES: &[(&str, &str, &str, &str)] = &[
    ("elasticsearch", "id => \"flowsentry_flows_in\"", "", "input kafka: no `id`"),
    (
        "elasticsearch",
        "id => \"flowsentry_flows_map\"",
        "id => \"flowsentry_flows_in\"",
        "`flowsentry_flows_in` is the id of two plugins",
    ),
    (
        "elasticsearch",
        "decorate_events => \"basic\"",
        "decorate_events => \"none\"",
        "input kafka: without `decorate_events` there are no ids",
    ),
    (
        "elasticsearch",
        "enable_auto_commit => false",
        "",
        "input kafka: positions are committed by the clock",
    ),
    (
        "elasticsearch",
        "codec => json { ecs_compatibility => \"disabled\" }",
        "",
        "input kafka: the default codec reads no JSON",
    ),
    (
        "elasticsearch",
        "json { ecs_compatibility => \"disabled\" }",
        "json",
        "input kafka: the codec keeps every message a second time in `event.original`",
    ),
    (
        "elasticsearch",
        "rescue StandardError => fault",
        "rescue StandardError => e",
        "filter ruby: the variable `e` belongs to the plugin, all workers share it",
    ),
    (
        "elasticsearch",
        "defects = []",
        "e = []",
        "filter ruby: the variable `e` belongs to the plugin, all workers share it",
    ),
    (
        "elasticsearch",
        "record = event.to_hash",
        "@record = event.to_hash",
        "filter ruby: `code` changes an @variable, which all workers share",
    ),
    (
        "elasticsearch",
        "record = event.to_hash",
        "record = event.to_hash; @seen << record",
        "filter ruby: `code` changes an @variable, which all workers share",
    ),
    (
        "elasticsearch",
        "      @reject = lambda",
        "      time = nil\n      @reject = lambda",
        "filter ruby: `init` has a local variable, which all workers share",
    ),
    (
        "elasticsearch",
        "tag_on_exception =>",
        "path => \"/etc/logstash/flow.rb\" tag_on_exception =>",
        "filter ruby: `path` was never tried",
    ),
    (
        "elasticsearch",
        "filter {",
        "filter { date { id => \"d\" match => [\"time_received_ns\", \"UNIX_MS\"] }",
        "filter date: `date` takes nanoseconds for milliseconds and says nothing",
    ),
    (
        "elasticsearch",
        "filter {",
        "filter { mutate { id => \"m\" copy => { \"a\" => \"b\" } gsub => [\"b\", \":\", \"-\"] }",
        "filter mutate: `copy` runs after all other changes of the same `mutate`",
    ),
    (
        "elasticsearch",
        "filter {",
        "filter { mutate { id => \"m\" add_field => { \"[event][category]\" => [\"network\"] } }",
        "filter mutate: `add_field` makes a plain value of a list of one",
    ),
    (
        "enriched",
        "target => \"source\"",
        "",
        "filter geoip: without the right `target` the place is not beside its address",
    ),
    (
        "enriched",
        "database => \"${FLOWSENTRY_GEOIP_ASN}\"",
        "",
        "filter geoip: without `database` it takes one that it downloads",
    ),
    (
        "enriched",
        "tag_on_failure => []",
        "",
        "filter geoip: every private address is tagged as a failure",
    ),
    (
        "enriched",
        "fields => [\"autonomous_system_number\", \"autonomous_system_organization\"]",
        "",
        "filter geoip: without `fields` it writes some that have no mapping",
    ),
    (
        "enriched",
        "name = address && @network.call(address)",
        "@name = address && @network.call(address)",
        "filter ruby: `code` changes an @variable, which all workers share",
    ),
    (
        "elasticsearch",
        "data_stream => false",
        "data_stream => true",
        "output elasticsearch: `data_stream` and `index` exclude each other, and only the start says so",
    ),
    (
        "elasticsearch",
        "action => \"create\"",
        "",
        "output elasticsearch: a data stream takes `create` alone",
    ),
    (
        "elasticsearch",
        "document_id => \"%{[event][id]}\"",
        "",
        "output elasticsearch: a record that is read twice is stored twice",
    ),
    (
        "opensearch",
        "manage_template => false",
        "",
        "output opensearch: `manage_template` puts Logstash's own template beside ours",
    ),
    (
        "elasticsearch",
        "ilm_enabled => false",
        "",
        "output elasticsearch: `ilm_enabled` would write to an alias instead",
    ),
    (
        "elasticsearch",
        "silence_errors_in_log => [\"version_conflict_engine_exception\"]",
        "",
        "output elasticsearch: every replayed document stands whole in the log",
    ),
    (
        "opensearch",
        "failure_type_logging_whitelist => [\"version_conflict_engine_exception\"]",
        "",
        "output opensearch: every replayed document stands whole in the log",
    ),
    (
        "opensearch",
        "${FLOWSENTRY_OPENSEARCH_PASSWORD}",
        "${FLOWSENTRY_OPENSEARCH_PASSWORD:admin}",
        "output opensearch: `password` stands in the file",
    ),
];

#[test]
fn every_trap_is_found() {
    let texts: Vec<String> = CHANGES
        .iter()
        .map(|(pipeline, from, to, _)| {
            let text = options::text(pipeline);
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1)
        })
        .collect();
    let Some(parsed) = options::parse(&texts) else { return };
    let settings = options::file("pipelines.yml");
    for (one, (_, from, to, expected)) in parsed.iter().zip(CHANGES) {
        let Parsed::Plugins(plugins) = one else { panic!("{from} -> {to}: {one:?}") };
        assert_eq!(problems(plugins, &settings), [*expected], "{from} -> {to}");
    }
}

#[test]
fn settings_that_lose_events_are_found() {
    let settings = options::file("pipelines.yml");
    for (from, expected) in [
        ("queue.type: persisted", "the queue in memory loses what a crash finds in it"),
        (
            "dead_letter_queue.enable: true",
            "what the cluster refuses is dropped with a line in the log",
        ),
        (
            "pipeline.ecs_compatibility: v8",
            "`pipeline.ecs_compatibility` is left to the default of the version",
        ),
    ] {
        assert!(settings.contains(from));
        assert_eq!(problems(&[], &settings.replacen(from, "pipeline.workers: 2", 1)), [expected]);
    }
}

/// Logstash's own check of a configuration does not look into ruby filters.
#[test]
fn a_syntax_error_in_the_ruby_code_is_found() {
    if !ruby::is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.conf");
    for (from, to) in
        [("record = event.to_hash", "record = (event.to_hash"), ("next nil if", "next nil if if")]
    {
        let text = options::file("flows.conf");
        assert!(text.contains(from));
        std::fs::write(&broken, text.replacen(from, to, 1)).unwrap();
        let arguments = ["tests/logstash/run.rb", broken.to_str().unwrap()];
        let output = ruby::output(&arguments, "", &[]);
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{from}");
        assert!(complaints.contains("the ruby filter does not load"), "{complaints}");
    }
}
