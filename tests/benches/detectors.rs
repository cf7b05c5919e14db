//! How fast the detectors are on their hardest input. Prints figures, and fails when one is an order
//! of magnitude off.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "the figures are what this is for")]

#[path = "detectors/day.rs"]
mod day;

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use flowsentry::detect::forest::{self, Forest};
use flowsentry::detect::{self, Blacklist, Context, Detector, Settings};
use flowsentry::features::{ClosedWindow, WindowLimits, Windows, mix};
use flowsentry::model::{Flow, WindowSpan};
use flowsentry::testkit::flow;

const LIMITS: WindowLimits = WindowLimits {
    pane_seconds: 10,
    window_seconds: 60,
    lateness_seconds: 60,
    max_subjects: 200_000,
    count_once: true,
};

fn detectors(context: &Context) -> Vec<Box<dyn Detector>> {
    detect::build(&Settings::default(), context).unwrap()
}

fn address(n: u64) -> IpAddr {
    Ipv4Addr::from_bits(mix(n) as u32).into()
}

fn report(what: &str, taken: Duration, each: u32, limit: Duration) {
    println!("{what}: {taken:?} in all, {:?} each", taken / each);
    assert!(taken < limit, "{what} took {taken:?}");
}

/// The time that this thread has spent on a processor, or any time where the system does not say.
fn busy() -> Duration {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|first| first.parse().ok());
    nanos.map_or_else(|| BEGAN.elapsed(), Duration::from_nanos)
}

fn closed(flows: &[Flow]) -> Vec<ClosedWindow> {
    let mut windows = Windows::new(LIMITS);
    for flow in flows {
        windows.add(0, flow);
    }
    windows.finish();
    std::iter::from_fn(|| windows.next_closed()).collect()
}

fn targets(probes: u16) -> impl Iterator<Item = (u64, u16)> {
    (0..120_000).flat_map(move |n| (1..=probes).map(move |port| (n, port)))
}

/// Six minutes, each with 120,000 other sources that make `probes` probes.
fn flood(what: &str, probes: u16, source: impl Fn(u64) -> IpAddr) {
    let mut detectors = detectors(&Context::default());
    let mut findings = Vec::new();
    for minute in 0..6u64 {
        let probe = |n: u64, port: u16| {
            let flow = flow().from_ip(source(minute << 32 | n)).to_port(port);
            flow.syn().at(minute as i64 * 60).build()
        };
        let flows: Vec<_> = targets(probes).map(|(n, port)| probe(n, port)).collect();
        for window in closed(&flows) {
            let ClosedWindow::Hosts(window) = window else { continue };
            let mut each = Vec::new();
            let started = Instant::now();
            for detector in &mut detectors {
                let began = Instant::now();
                detector.close_hosts(&window, &mut findings);
                each.push((began.elapsed(), detector.id()));
            }
            let taken = started.elapsed();
            let what = format!("{what}, minute {minute}, {:?}", each.iter().max());
            report(&what, taken, 1, Duration::from_millis(500));
        }
    }
    assert!(findings.is_empty(), "{:?}", findings.first());
}

fn closing_a_flooded_window() {
    flood("120,000 one-probe sources", 1, address);
    flood("120,000 two-probe sources", 2, address);
    let inside = |n: u64| Ipv4Addr::from_bits(10 << 24 | mix(n) as u32 >> 8).into();
    flood("120,000 one-probe inside sources", 1, inside);
}

fn closing_many_pairs() {
    let mut detectors = detectors(&Context::default());
    let mut findings = Vec::new();
    for second in 0..5u64 {
        let transfer = |n: u64| {
            let size = 1e6 / (1.0 + (mix(n ^ second << 40) % 100_000) as f64);
            let port = 1 + (mix(n) % 3) as u16;
            flow().from_ip(address(n % 10_000)).to_ip(address(n)).to_port(port).bytes(size as u64)
        };
        let flows: Vec<_> =
            (0..60_000).map(|n| transfer(n % 30_000).at(second as i64 * 10).build()).collect();
        for window in closed(&flows) {
            let ClosedWindow::Pairs(window) = window else { continue };
            let started = Instant::now();
            for detector in &mut detectors {
                detector.close_pairs(&window, &mut findings);
            }
            let what = format!("{} pairs", window.pairs.len());
            report(&what, started.elapsed(), 1, Duration::from_millis(50));
        }
    }
}

fn loading_and_searching_a_million_addresses() {
    let mut text = String::new();
    for n in 0..1_000_000 {
        let _ = writeln!(text, "{}", address(n));
    }
    let started = Instant::now();
    let list = Blacklist::parse(text.as_bytes());
    report("loading 1,000,000 addresses", started.elapsed(), 1_000_000, Duration::from_secs(2));
    let asked: Vec<_> = (500_000..1_500_000).map(address).collect();
    let started = Instant::now();
    let found = asked.iter().filter(|&&ip| list.contains(ip)).count();
    report(
        "1,000,000 look-ups, half of them hits",
        started.elapsed(),
        1_000_000,
        Duration::from_secs(1),
    );
    assert!(found >= 499_000, "{found}");
    let context = Context::default();
    context.blacklist.set(Arc::new(list));
    observe("with a list of 1,000,000", &context);
}

fn observe(what: &str, context: &Context) {
    let mut detectors = detectors(context);
    let ordinary = |n: u64| {
        flow().from_ip(address(2_000_000 + n % 5_000)).to_ip(address(3_000_000 + n)).build()
    };
    let flows: Vec<_> = (0..200_000).map(ordinary).collect();
    let span = WindowSpan { start: flows[0].end, seconds: 60, truncated: false };
    let started = Instant::now();
    for flow in &flows {
        for detector in &mut detectors {
            detector.observe(black_box(flow), span);
        }
    }
    let what = format!("200,000 flows through all per-flow checks, {what}");
    report(&what, started.elapsed(), 200_000, Duration::from_millis(200));
}

fn checking_single_flows() {
    observe("without a list", &Context::default());
    let context = Context::default();
    let prefixes: String =
        (0..20_000).map(|n| format!("{}/{}\n", address(n), 17 + n % 16)).collect();
    context.blacklist.set(Arc::new(Blacklist::parse(prefixes.as_bytes())));
    observe("with 20,000 prefixes of 16 lengths", &context);
}

/// AWS's forest in Java does 52,000 a second.
fn scoring_and_learning_by_the_forest() {
    let row = |n: u64| {
        let number = |k: u64| (mix(n ^ k << 40) % 10_000) as f32 / 1_000.0;
        std::array::from_fn(|k| number(k as u64) * number(k as u64 + 50))
    };
    for (what, memory) in [("with OpenSearch's memory", 10), ("by default", 1_000)] {
        let config = forest::Config { memory, ..forest::Config::default() };
        let mut forest = Forest::new(&config);
        (0..20_000).for_each(|n| forest.take(&row(n)));
        let rows: Vec<_> = (20_000..120_000).map(row).collect();
        let started = busy();
        let mut sum = 0.0;
        for row in &rows {
            sum += forest.rate(row);
            forest.take(row);
        }
        black_box(sum);
        let what = format!("100,000 scores and updates by the forest, {what}");
        report(&what, busy() - started, 100_000, Duration::from_secs(4));
    }
}

fn main() {
    let captures: Vec<_> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    if !captures.is_empty() {
        day::run(&captures);
        return;
    }
    scoring_and_learning_by_the_forest();
    closing_a_flooded_window();
    closing_many_pairs();
    loading_and_searching_a_million_addresses();
    checking_single_flows();
    day::run(&["day".to_owned()]);
}
