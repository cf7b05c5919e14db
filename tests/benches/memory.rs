//! Memory per 100,000 active subjects, all detectors on. A subject is what windows count: a sender, a
//! receiver, a pair of them; the same by hosts that send is told as well.
//!
//! A run of its own process for each number of hosts, since the peak of a process never falls. Every
//! host opens three contacts a minute, each answered: one with a server inside, one with a popular
//! place outside and one with a place that only it knows. A tenth of the hosts change every minute.

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

use flowsentry::alerts;
use flowsentry::detect;
use flowsentry::model::Timestamp;
use flowsentry::scorer::{Scorer, Settings};
use flowsentry::testkit::{FlowBuilder, flow};

/// Hosts of the two runs; what they differ by is what is measured.
const FEW: u32 = 10_000;
const MANY: u32 = 110_000;
/// Minutes of event time, with the first fits of the models in them.
const MINUTES: u32 = 45;
/// The most that 100,000 active subjects may take.
const LIMIT_MIB: f64 = 150.0;
const ALL: &str = "all detectors";
/// A Friday morning.
const BEGIN: i64 = 1_795_248_000;

/// A field of this process's status in bytes.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find(|line| line.starts_with(name)).expect("it is there");
    let kibibytes = line.split_whitespace().nth(1).expect("a number");
    kibibytes.parse::<u64>().expect("a number") * 1024
}

fn address(base: [u8; 4], offset: u32) -> IpAddr {
    Ipv4Addr::from_bits(u32::from_be_bytes(base).wrapping_add(offset)).into()
}

/// A request and its answer.
fn contact(client: IpAddr, server: IpAddr, port: u16, number: u32) -> [FlowBuilder; 2] {
    let from = 32_768 + (number % 28_000) as u16;
    let base = flow().flags(0x1b).bytes(800).packets(8);
    [
        base.clone().from_ip(client).from_port(from).to_ip(server).to_port(port),
        base.from_ip(server).from_port(port).to_ip(client).to_port(from).bytes(9_000),
    ]
}

/// Runs a number of hosts and prints the peak in bytes, and the hosts that sent in a minute and the
/// subjects that were active in it.
fn run(hosts: u32, with_detectors: bool) {
    let before = memory("VmRSS:");
    let detectors = detect::build(&detect::Settings::default(), &detect::Context::default())
        .expect("the defaults are sound");
    let detectors = if with_detectors { detectors } else { Vec::new() };
    let mut scorer = Scorer::new(Settings::default(), alerts::Settings::default(), detectors);
    let mut output = Vec::new();
    let mut flows = 0;
    for minute in 0..MINUTES {
        for host in 0..hosts {
            // A tenth of the hosts are new ones.
            let shift = if host % 10 == 0 { minute * hosts } else { 0 };
            let client = address([10, 0, 0, 0], host + shift);
            let number = minute.wrapping_mul(hosts).wrapping_add(host).wrapping_mul(2_654_435_761);
            let nanos = i64::from(host) * 60_000_000_000 / i64::from(hosts);
            let time = Timestamp::from_seconds(BEGIN + 60 * i64::from(minute));
            let time = Timestamp::from_nanos(time.nanos() + nanos);
            let contacts = [
                contact(client, address([172, 16, 0, 0], host % 500), 445, number),
                contact(client, address([100, 0, 0, 0], number % 5_000), 443, number),
                contact(client, address([40, 0, 0, 0], host), 8_443, number),
            ];
            for flow in contacts.into_iter().flatten() {
                flows += 1;
                // A datagram holds thirty records.
                let flow = flow.at_time(time).export("192.0.2.1", flows / 30);
                scorer.add(0, flow.build(), &mut output);
            }
            output.clear();
        }
    }
    scorer.finish(&mut output);
    let counters = scorer.counters();
    let subjects = counters.sources + counters.destinations + counters.pairs;
    let a_minute = |count: u64| count / u64::from(MINUTES);
    let peak = memory("VmHWM:") - before;
    println!("{peak} {} {}", a_minute(counters.sources), a_minute(subjects));
}

/// What a run took.
struct Peak {
    mib: f64,
    hosts: f64,
    subjects: f64,
}

impl Peak {
    fn of(hosts: u32, what: &str) -> Self {
        let program = std::env::current_exe().expect("it runs");
        let output =
            Command::new(program).args([&hosts.to_string(), what]).output().expect("it starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout);
        let numbers = text.split_whitespace().map(|word| word.parse::<f64>().expect("a number"));
        let [bytes, hosts, subjects] = numbers.collect::<Vec<_>>()[..] else {
            panic!("three numbers, not `{text}`")
        };
        Self { mib: bytes / f64::from(1 << 20), hosts, subjects }
    }
}

/// Measures and prints; returns MiB per 100,000 active subjects.
fn measure(what: &str) -> f64 {
    let [many, few] = [MANY, FEW].map(|hosts| Peak::of(hosts, what));
    let each =
        |count: fn(&Peak) -> f64| (many.mib - few.mib) * 100_000.0 / (count(&many) - count(&few));
    let subjects = each(|peak| peak.subjects);
    println!(
        "{what:<14} {:>4.0} MiB with {:>9.0} active subjects ({:.0} hosts send): {subjects:.0} MiB per \
         100,000 subjects, {:.0} MiB per 100,000 hosts that send",
        many.mib,
        many.subjects,
        many.hosts,
        each(|peak| peak.hosts),
    );
    subjects
}

fn main() {
    let mut words = std::env::args().skip(1);
    // `cargo bench` gives `--bench`.
    if let Some(hosts) = words.next().and_then(|word| word.parse().ok()) {
        return run(hosts, words.next().as_deref() == Some(ALL));
    }
    println!("peak memory over {MINUTES} minutes; active: seen in a minute");
    measure("windows alone");
    let each = measure(ALL);
    println!("memory per 100,000 active subjects: {each:.0} MiB (limit {LIMIT_MIB:.0} MiB)");
}
