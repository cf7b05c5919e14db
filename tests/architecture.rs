//! The two tables of `ARCHITECTURE.md` hold: which module uses which, and where a third-party crate
//! may be named. Tests inside `src` follow the same tables.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What the tables allow.
#[derive(Debug, Default)]
struct Rules {
    /// By module: what it may use; `None` = everything.
    may_use: BTreeMap<String, Option<BTreeSet<String>>>,
    /// Modules that everybody may use.
    free: BTreeSet<String>,
    /// By crate: the modules that may name it.
    walls: BTreeMap<String, BTreeSet<String>>,
}

impl Rules {
    /// Reads both tables, told apart by their heads.
    fn parse(text: &str) -> Self {
        let mut rules = Self::default();
        let mut head: Vec<String> = Vec::new();
        for line in text.lines().map(str::trim) {
            let Some(row) = line.strip_prefix('|').and_then(|row| row.strip_suffix('|')) else {
                head.clear();
                continue;
            };
            let cells: Vec<String> =
                row.split('|').map(|cell| cell.replace('`', "").trim().to_owned()).collect();
            if head.is_empty() {
                head = cells;
                continue;
            }
            if cells.iter().all(|cell| cell.bytes().all(|byte| byte == b'-')) {
                continue;
            }
            match (head.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), cells.as_slice())
            {
                (["module", "holds", "may use"], [module, _, uses]) => rules.add(module, uses),
                (["crate", "only in", ..], [name, modules, ..]) => {
                    rules.walls.insert(name.clone(), names(modules));
                }
                _ => {}
            }
        }
        rules
    }

    fn add(&mut self, module: &str, uses: &str) {
        if let Some(uses) = uses.strip_suffix("; free for all") {
            self.free.insert(module.to_owned());
            return self.add(module, uses);
        }
        let uses = (uses != "everything").then(|| names(uses));
        self.may_use.insert(module.to_owned(), uses);
    }

    /// What is wrong with one file of `src`, in words.
    fn problems(&self, file: &Path, code: &str) -> Vec<String> {
        let Some(from) = top_module(file) else { return Vec::new() };
        let Some(may_use) = self.may_use.get(&from) else {
            return vec![format!("{}: module `{from}` is not in the table", file.display())];
        };
        let code = without_comments(code);
        let mut problems = Vec::new();
        for to in own_modules_in(&code) {
            let known = may_use.as_ref().is_none_or(|uses| uses.contains(&to));
            if to != from && !known && !self.free.contains(&to) {
                problems.push(format!("{}: `{from}` may not use `{to}`", file.display()));
            }
        }
        for (name, modules) in &self.walls {
            if names_crate(&code, name) && !modules.contains(&from) {
                problems.push(format!("{}: `{from}` may not name `{name}`", file.display()));
            }
        }
        problems
    }
}

/// The names in a cell: `a, b` or `–` for none.
fn names(cell: &str) -> BTreeSet<String> {
    cell.split(',').map(str::trim).filter(|name| *name != "–").map(str::to_owned).collect()
}

/// The module that a path below `src` belongs to; `None` for the roots of library and binary.
fn top_module(file: &Path) -> Option<String> {
    let first = file.iter().next()?.to_str()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    (!["lib", "main"].contains(&name)).then(|| name.to_owned())
}

fn without_comments(code: &str) -> String {
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Every module named behind `crate::`, in groups too.
fn own_modules_in(code: &str) -> BTreeSet<String> {
    let mut modules = BTreeSet::new();
    for (place, marker) in code.match_indices("crate::") {
        if code[..place].ends_with(|before: char| before.is_alphanumeric() || before == '_') {
            continue;
        }
        let rest = &code[place + marker.len()..];
        match rest.strip_prefix('{') {
            Some(group) => modules.extend(first_names(group)),
            None => modules.extend(word_at(rest)),
        }
    }
    modules
}

/// The first word of every item of a group, up to the brace that closes it.
fn first_names(group: &str) -> Vec<String> {
    let (mut depth, mut names, mut item) = (0, Vec::new(), String::new());
    for letter in group.chars() {
        match letter {
            '}' if depth == 0 => break,
            ',' if depth == 0 => names.extend(word_at(std::mem::take(&mut item).trim())),
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => item.push(letter),
        }
    }
    names.extend(word_at(item.trim()));
    names
}

/// The module name that `text` begins with; types and macros are not modules.
fn word_at(text: &str) -> Option<String> {
    let end = text.find(|letter: char| !(letter.is_alphanumeric() || letter == '_'));
    let (word, after) = text.split_at(end.unwrap_or(text.len()));
    let is_module = word.starts_with(|letter: char| letter.is_ascii_lowercase());
    (is_module && !after.starts_with('!')).then(|| word.to_owned())
}

/// Whether the code says `name::` or `use name`, as a word of its own.
fn names_crate(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(place, _)| {
        let (before, after) = (&code[..place], &code[place + name.len()..]);
        let inside_a_path = before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
        let absolute =
            before.ends_with("::") && before.trim_end_matches("::").ends_with([' ', '(']);
        let is_import = before.ends_with("use ") && after.starts_with([';', ' ']);
        (!inside_a_path || absolute) && (after.starts_with("::") || is_import)
    })
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("its entries can be read").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn modules_and_crates_keep_to_the_tables() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let rules = Rules::parse(&text);
    assert!(rules.may_use.len() > 10 && !rules.walls.is_empty(), "the tables were not found");
    let unknown: Vec<_> = rules
        .may_use
        .values()
        .flatten()
        .chain(rules.walls.values())
        .flatten()
        .filter(|name| !rules.may_use.contains_key(*name))
        .collect();
    assert!(unknown.is_empty(), "the tables name modules without a row: {unknown:?}");
    let source = root().join("src");
    let mut files = Vec::new();
    rust_files(&source, &mut files);
    let mut problems = Vec::new();
    for file in &files {
        let code = fs::read_to_string(file).expect("a source file");
        let below_source = file.strip_prefix(&source).expect("it lies below src");
        problems.extend(rules.problems(below_source, &code));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// The check itself, on tables and files of its own.
#[test]
fn forbidden_edges_unknown_modules_and_broken_walls_are_found() {
    let rules = Rules::parse(
        "| module | holds | may use |\n|---|---|---|\n| `model` | a | – |\n| `stores` | b | model |\n\
         | testkit | c | model; free for all |\n| cli | d | everything |\n\
         \n| crate | only in | why |\n|---|---|---|\n| `tantivy` | stores | e |\n",
    );
    let problems = |file: &str, code: &str| rules.problems(Path::new(file), code).join("; ");
    assert_eq!(
        problems("stores/embedded/index.rs", "use crate::model::Flow; use tantivy::Doc;"),
        ""
    );
    assert_eq!(
        problems("model/time.rs", "use crate::testkit::flow; // crate::stores"),
        "\
        model/time.rs: `model` may not use `stores`"
    );
    assert_eq!(problems("model/time.rs", "// use crate::stores;\nlet subcrate::stores;"), "");
    assert_eq!(
        problems("model.rs", "use crate::{cli::{self, Args}, stores};"),
        "model.rs: `model` may not use `cli`; model.rs: `model` may not use `stores`"
    );
    assert_eq!(problems("cli/score.rs", "crate::stores::open(crate::model::A)"), "");
    assert_eq!(
        problems("cli/score.rs", "use ::tantivy::Doc;"),
        "\
        cli/score.rs: `cli` may not name `tantivy`"
    );
    assert_eq!(problems("cli/score.rs", "fn a() -> stores::tantivy::Doc"), "");
    assert_eq!(problems("new/mod.rs", ""), "new/mod.rs: module `new` is not in the table");
    assert_eq!(problems("lib.rs", "pub use crate::anything::At;"), "");
}
