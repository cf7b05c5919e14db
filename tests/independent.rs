//! Our windows against the same windows computed by a database, from the same records.
//!
//! The records go to a file as an exporter's collector writes them. `tests/independent/windows.py`
//! reads that file and adds it up in SQL; it shares no code, no hash and no sketch with us.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use flowsentry::features::{ClosedWindow, NamedFeatures, Placement, WindowLimits, Windows};
use flowsentry::formats;
use flowsentry::model::{NetworkType, Protocol, WindowSpan};
use flowsentry::simulate::{Config, Exporter, Extent, SimulatedFlow, Simulation, write_goflow2};
use serde_json::{Map, json};

/// Nothing is late here: the database does not know lateness.
const LIMITS: WindowLimits = WindowLimits {
    pane_seconds: 10,
    window_seconds: 60,
    lateness_seconds: 86_400,
    max_subjects: 1_000_000,
    count_once: true,
};

/// One file of windows for each type of subject.
struct Files {
    folder: PathBuf,
    open: Vec<(&'static str, BufWriter<File>)>,
}

impl Files {
    fn write<F: NamedFeatures>(
        &mut self,
        kind: &'static str,
        span: WindowSpan,
        subject: String,
        row: &F,
    ) {
        let mut values = Vec::new();
        row.write_features(&mut values);
        let named =
            F::NAMES.iter().zip(values).map(|(name, value)| ((*name).to_owned(), json!(value)));
        let mut line: Map<_, _> = named.collect();
        line.insert("start".to_owned(), json!(span.start.seconds()));
        line.insert("subject".to_owned(), json!(subject));
        let file = self.file(kind);
        serde_json::to_writer(&mut *file, &line).unwrap();
        file.write_all(b"\n").unwrap();
    }

    fn file(&mut self, kind: &'static str) -> &mut BufWriter<File> {
        let place = self.open.iter().position(|(open, _)| *open == kind).unwrap_or_else(|| {
            let path = self.folder.join(format!("{kind}.ndjson"));
            self.open.push((kind, BufWriter::new(File::create(path).unwrap())));
            self.open.len() - 1
        });
        &mut self.open[place].1
    }

    fn take(&mut self, closed: &ClosedWindow) {
        match closed {
            ClosedWindow::Pairs(window) => {
                for pair in &window.pairs {
                    let subject = format!("{} {}", pair.source(), pair.destination());
                    self.write("pair", window.span, subject, pair);
                }
            }
            ClosedWindow::Hosts(window) => {
                for host in &window.sources {
                    self.write("source", window.span, host.ip().to_string(), host);
                }
                for host in &window.destinations {
                    self.write("destination", window.span, host.ip().to_string(), host);
                }
                for device in &window.exporters {
                    self.write("exporter", window.span, device.subject().to_string(), device);
                }
                self.write("network", window.span, "network".to_owned(), &window.network);
            }
        }
    }
}

/// Half an hour of a working morning with all attacks.
fn morning() -> Simulation {
    let config = Config {
        start: Config::default().start.plus_seconds(10 * 3_600),
        extent: Extent::Hours(0.5),
        flows_per_hour: 150_000.0,
        ..Config::default()
    };
    Simulation::new(config).unwrap()
}

/// Within ten seconds after `like`: a host that is sent to by many, one that sends to many, and a
/// pair with many ports; all beyond what is counted exactly.
fn crowds(like: &SimulatedFlow) -> impl Iterator<Item = SimulatedFlow> {
    let time = like.end.floor(10).plus_seconds(10);
    let [victim, scanner] = [1, 2].map(|last| IpAddr::from([203, 0, 113, last]));
    (0..30_000_u32).map(move |number| {
        let crowd = IpAddr::from((0x0b00_0000 + 997 * (number / 3)).to_be_bytes());
        let (source, destination) = match number % 3 {
            0 => (crowd, victim),
            1 => (scanner, crowd),
            _ => (scanner, victim),
        };
        SimulatedFlow {
            exporter: Exporter::Border,
            received: time.plus_seconds(9),
            start: time,
            end: time.plus_nanos(i64::from(number) * 100_000),
            sequence: 1_000_000 + number,
            bytes: 60,
            packets: 1,
            source: Some(source),
            destination: Some(destination),
            source_port: (number % 50_000 + 10_000) as u16,
            destination_port: (number % 7_000) as u16,
            network: NetworkType::Ipv4,
            protocol: Protocol::TCP,
            tcp_flags: 2,
            icmp_type: 0,
            icmp_code: 0,
            tos: 0,
            episode: None,
        }
    })
}

fn write_flows_and_windows(folder: &Path) {
    let mut flows = BufWriter::new(File::create(folder.join("flows.ndjson")).unwrap());
    let mut files = Files { folder: folder.to_owned(), open: Vec::new() };
    let mut windows = Windows::new(LIMITS);
    let mut decoder = formats::by_name("goflow2").unwrap().decoder();
    let mut line = Vec::new();
    let mut take = |simulated: &SimulatedFlow| {
        line.clear();
        write_goflow2(simulated, &mut line);
        flows.write_all(&line).unwrap();
        let flow = decoder.decode(&line).unwrap().expect("every record is a flow");
        assert!(matches!(windows.add(0, &flow), Placement::Counted(_)));
    };
    let mut last = None;
    for simulated in morning() {
        take(&simulated);
        last = Some(simulated);
    }
    crowds(&last.unwrap()).for_each(|simulated| take(&simulated));
    windows.finish();
    while let Some(closed) = windows.next_closed() {
        files.take(&closed);
    }
    flows.flush().unwrap();
    files.open.iter_mut().for_each(|(_, file)| file.flush().unwrap());
}

#[test]
fn a_database_computes_the_same_windows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/independent/bin/python");
    if !python.exists() {
        eprintln!("skipped: comparison with a database (`make independent` prepares it)");
        return;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("independent");
    fs::create_dir_all(&folder).unwrap();
    write_flows_and_windows(&folder);
    let script = root.join("tests/independent/windows.py");
    let output = Command::new(python).arg(script).arg(&folder).output().unwrap();
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{complained}");
    print!("{said}");
    fs::remove_dir_all(&folder).unwrap();
}
