//! Every package that is built in may be used and passed on under a licence that we know, and
//! brings no more features than `Cargo.toml` asks for.

use std::process::{Command, Output};

use serde_json::Value;

/// Licences that ask for a notice at most. Copyleft is not among them; MPL-2.0 appears only as one
/// of several that may be chosen from.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Direct dependencies that keep their default features, and why.
const WITH_DEFAULT_FEATURES: &[(&str, &str)] = &[
    ("memchr", "its default is the standard library, by which it chooses vector instructions"),
    ("serde_yaml_ng", "it has no features"),
    ("tempfile", "its default is the random source of its names"),
];

fn metadata(more: &[&str]) -> Output {
    Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--locked"])
        .args(more)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs")
}

/// The triple of this machine.
fn host() -> String {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let output = Command::new(rustc).arg("-vV").output().expect("rustc runs");
    let text = String::from_utf8(output.stdout).expect("rustc writes text");
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.expect("rustc names its host").to_owned()
}

/// What Cargo knows of all packages in the lock file; where those of other platforms were never
/// fetched, of those for this one.
fn packages() -> Value {
    let whole = metadata(&[]);
    if whole.status.success() {
        return serde_json::from_slice(&whole.stdout).expect("cargo writes JSON");
    }
    eprintln!("skipped: packages of other platforms (`cargo fetch --locked` gets them)");
    let here = metadata(&["--filter-platform", &host()]);
    let complaint = String::from_utf8_lossy(&here.stderr);
    assert!(here.status.success(), "cargo metadata failed: {complaint}");
    serde_json::from_slice(&here.stdout).expect("cargo writes JSON")
}

/// The packages that are in the dependency graph.
fn resolved(metadata: &Value) -> Vec<&Value> {
    let nodes = metadata["resolve"]["nodes"].as_array().expect("a resolved graph");
    let packages = metadata["packages"].as_array().expect("packages");
    let is_node = |package: &&Value| nodes.iter().any(|node| node["id"] == package["id"]);
    packages.iter().filter(is_node).collect()
}

/// Whether an SPDX expression can be satisfied with the allowed licences. `/` is the old way to
/// write OR.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let allowed = any_of(&mut rest);
    allowed && rest.is_empty()
}

fn take(rest: &mut &[&str], word: &str) -> bool {
    let found = rest.first() == Some(&word);
    if found {
        *rest = &rest[1..];
    }
    found
}

fn any_of(rest: &mut &[&str]) -> bool {
    let mut allowed = all_of(rest);
    while take(rest, "OR") {
        allowed |= all_of(rest);
    }
    allowed
}

fn all_of(rest: &mut &[&str]) -> bool {
    let mut allowed = one(rest);
    while take(rest, "AND") {
        allowed &= one(rest);
    }
    allowed
}

fn one(rest: &mut &[&str]) -> bool {
    if take(rest, "(") {
        let allowed = any_of(rest);
        return take(rest, ")") && allowed;
    }
    let Some((&name, after)) = rest.split_first() else { return false };
    *rest = after;
    if !take(rest, "WITH") {
        return ALLOWED.contains(&name);
    }
    let Some((&exception, after)) = rest.split_first() else { return false };
    *rest = after;
    ALLOWED.contains(&format!("{name} WITH {exception}").as_str())
}

#[test]
fn every_package_has_a_licence_that_we_may_use() {
    let metadata = packages();
    let packages = resolved(&metadata);
    assert!(packages.len() > 100, "only {} packages were seen", packages.len());
    let refused: Vec<String> = packages
        .iter()
        .filter(|package| !package["license"].as_str().is_some_and(is_allowed))
        .map(|package| {
            format!("{} {}: {}", package["name"], package["version"], package["license"])
        })
        .collect();
    assert!(refused.is_empty(), "not on the list of licences:\n{}", refused.join("\n"));
}

#[test]
fn default_features_are_off_unless_a_reason_is_given() {
    let metadata = packages();
    let packages = resolved(&metadata);
    let ours = packages.iter().find(|package| package["name"] == env!("CARGO_PKG_NAME"));
    let dependencies = ours.expect("the graph holds this package")["dependencies"].as_array();
    let mut with_defaults: Vec<&str> = dependencies
        .expect("it has dependencies")
        .iter()
        .filter(|dependency| dependency["uses_default_features"] == true)
        .filter_map(|dependency| dependency["name"].as_str())
        .collect();
    with_defaults.sort_unstable();
    let reasoned: Vec<&str> = WITH_DEFAULT_FEATURES.iter().map(|(name, _)| *name).collect();
    assert_eq!(with_defaults, reasoned);
}

#[test]
fn expressions_are_understood() {
    for allowed in [
        "MIT",
        "MIT/Apache-2.0",
        "Apache-2.0 / MIT / MPL-2.0",
        "GPL-3.0-only OR MIT",
        "(MIT OR Apache-2.0) AND Unicode-3.0",
        "Apache-2.0 WITH LLVM-exception",
    ] {
        assert!(is_allowed(allowed), "{allowed}");
    }
    for refused in [
        "",
        "GPL-3.0-only",
        "MPL-2.0",
        "MIT AND GPL-2.0-only",
        "(MIT OR Apache-2.0) AND MPL-2.0",
        "MIT AND",
        "(MIT",
        "GPL-2.0-only WITH Classpath-exception-2.0",
    ] {
        assert!(!is_allowed(refused), "{refused}");
    }
}
