//! Real workers: started, killed, awaited; and what they left in a store.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

use flowsentry::stores::{
    EmbeddedConfig, EmbeddedStore, Family, Namespace, SearchRequest, Sort, Store,
};
use serde_json::Value;
use std::ops::ControlFlow;

/// What scoring writes.
pub const FAMILIES: [Family; 3] = [Family::Windows, Family::Anomalies, Family::Alerts];

/// Documents by family and id.
pub type Documents = BTreeMap<(&'static str, String), Value>;

/// One installation: settings and a folder for its store.
pub struct Site {
    pub folder: tempfile::TempDir,
    pub namespace: String,
}

impl Site {
    /// `input` is what stands under `input.kafka`, `output` is a cluster, `more` further settings.
    pub fn new(namespace: &str, input: &str, output: &str, more: &str) -> Self {
        Self::reading(namespace, &format!("kafka: {input}"), output, more)
    }

    /// `input` is what stands under `input`.
    pub fn reading(namespace: &str, input: &str, output: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let settings = format!(
            "namespace: {namespace}\npath: {{data: {}}}\ninput:\n  {input}\n\
             alerts: {{minimum_score: 0, gap_seconds: 60}}\n\
             detectors:\n  iqr: {{max_probability: 0.05, warm_up_windows: 60}}\n\
             output:\n  keep_days: {{flows: 36500, windows: 36500, anomalies: 36500, reports: 36500}}\n{output}\
             logging: {{level: debug}}\n{more}",
            data.display()
        );
        std::fs::write(folder.path().join("settings.yml"), settings).unwrap();
        Self { folder, namespace: namespace.to_owned() }
    }

    pub fn settings(&self) -> PathBuf {
        self.folder.path().join("settings.yml")
    }

    /// Starts a worker; `crash` says where it dies.
    pub fn start(&self, crash: Option<&str>) -> Worker {
        self.start_command(&["run"], crash)
    }

    /// Starts a command with the same settings.
    pub fn start_command(&self, arguments: &[&str], crash: Option<&str>) -> Worker {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flowsentry"));
        command.arg("-c").arg(self.settings()).args(arguments).stdin(Stdio::null());
        command.current_dir(self.folder.path());
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        match crash {
            Some(crash) => command.env("FLOWSENTRY_TEST_CRASH", crash),
            None => command.env_remove("FLOWSENTRY_TEST_CRASH"),
        };
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        let copy = self.folder.path().join(format!("{}.log", child.id()));
        let copy = std::fs::File::create(copy).unwrap();
        Worker { child, lines, log: String::new(), copy }
    }

    /// Runs another command with the same settings.
    pub fn command(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flowsentry"));
        command.arg("-c").arg(self.settings()).args(arguments).current_dir(self.folder.path());
        let output = command.output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {stderr}");
        stderr
    }

    /// Runs a worker until it has read everything, then stops it.
    pub fn run_to_the_end(&self) -> String {
        let mut worker = self.start(None);
        worker.wait_for("everything is read");
        worker.stop()
    }

    /// All that was written into the store of the folder.
    pub fn documents(&self) -> Documents {
        read(&self.folder.path().join("data/store"), &self.namespace)
    }
}

/// What a failed test leaves is kept: settings, logs, store.
impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.folder.disable_cleanup(true);
            eprintln!("kept: {}", self.folder.path().display());
        }
    }
}

pub struct Worker {
    child: Child,
    lines: BufReader<ChildStderr>,
    log: String,
    /// Of the log, as far as it was read.
    copy: std::fs::File,
}

impl Worker {
    /// Reads the log until a line holds `words`; fails when the worker ends first.
    pub fn wait_for(&mut self, words: &str) {
        assert!(self.reads(words), "the worker ended before `{words}`:\n{}", self.log);
    }

    fn read_line(&mut self) -> bool {
        let from = self.log.len();
        let is_some = self.lines.read_line(&mut self.log).unwrap() > 0;
        self.copy.write_all(&self.log.as_bytes()[from..]).unwrap();
        is_some
    }

    /// Reads the log until a line holds `words`; returns false when the worker ends first.
    pub fn reads(&mut self, words: &str) -> bool {
        loop {
            let from = self.log.len();
            if !self.read_line() {
                return false;
            }
            if self.log[from..].contains(words) {
                return true;
            }
        }
    }

    /// As [`Worker::reads`], of lines that were written after `since`.
    pub fn reads_after(&mut self, words: &str, since: &str) -> bool {
        loop {
            let from = self.log.len();
            if !self.reads(words) {
                return false;
            }
            // Every line begins with its time, in one form.
            let line = self.log[from..].lines().last().unwrap_or_default();
            if line.split_whitespace().next() > Some(since) {
                return true;
            }
        }
    }

    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// As a service manager stops it; returns the log.
    pub fn stop(mut self) -> String {
        signal(self.id(), "-TERM");
        let status = self.wait();
        assert!(status.success(), "{}", self.log);
        std::mem::take(&mut self.log)
    }

    /// Waits for the end; the log is read meanwhile.
    pub fn wait(&mut self) -> ExitStatus {
        while self.read_line() {}
        self.child.wait().unwrap()
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    /// Waits until everything is read, or until the worker dies; returns whether it died.
    pub fn dies(&mut self) -> bool {
        loop {
            let from = self.log.len();
            if !self.read_line() {
                return !self.child.wait().unwrap().success();
            }
            if self.log[from..].contains("everything is read") {
                return false;
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // A failed test leaves no worker behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a process.
pub fn signal(id: u32, name: &str) {
    assert!(Command::new("kill").args([name, &id.to_string()]).status().unwrap().success());
}

pub fn read(path: &Path, namespace: &str) -> Documents {
    let store = EmbeddedStore::open(EmbeddedConfig::at(path)).unwrap();
    read_store(&store, namespace)
}

pub fn read_store(store: &dyn Store, namespace: &str) -> Documents {
    let namespace = Namespace::new(namespace).unwrap();
    let mut documents = Documents::new();
    for family in FAMILIES {
        let request =
            SearchRequest::new(family, namespace.clone()).sort(Sort::ascending("event.id"));
        store
            .scan(&request, 1_000, &mut |hits| {
                documents.extend(
                    hits.into_iter().map(|hit| ((family.name(), hit.id.to_string()), hit.source)),
                );
                ControlFlow::Continue(())
            })
            .unwrap();
    }
    documents
}

/// Says what is missing, extra or different first.
pub fn assert_same(case: &str, expected: &Documents, found: &Documents) {
    for (id, document) in expected {
        assert_eq!(found.get(id), Some(document), "{case}: {id:?}");
    }
    let extra: Vec<_> = found.keys().filter(|id| !expected.contains_key(id)).take(3).collect();
    assert!(extra.is_empty(), "{case}: {extra:?} should not be there");
}
