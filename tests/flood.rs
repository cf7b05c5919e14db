//! A spoofed flood must not take the memory of the machine. Alone in its file: the peak memory of a
//! test program is that of all its tests.

use std::net::Ipv4Addr;

use flowsentry::alerts;
use flowsentry::detect;
use flowsentry::model::Timestamp;
use flowsentry::scorer::{Output, Scorer, Settings};
use flowsentry::testkit::flow;

const SOURCES: u32 = 5_000_000;
const GIBIBYTE: u64 = 1 << 30;

/// Peak resident memory of this process in bytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("the peak is there");
    let kibibytes = line.split_whitespace().nth(1).expect("a number");
    kibibytes.parse::<u64>().expect("a number") * 1024
}

#[test]
fn five_million_sources_of_one_flow_stay_below_one_gibibyte() {
    let detectors = detect::build(&detect::Settings::default(), &detect::Context::default())
        .expect("the defaults are sound");
    let mut scorer = Scorer::new(Settings::default(), alerts::Settings::default(), detectors);
    let mut output = Vec::new();
    let mut truncated = 0;
    let mut flows = 0.0;
    let mut take = |output: &mut Vec<Output>| {
        for output in output.drain(..) {
            if let Output::Window(summary) = output
                && summary.subject == flowsentry::model::Subject::Network
            {
                truncated += u32::from(summary.span.truncated);
                flows += summary
                    .features
                    .iter()
                    .find(|(name, _)| *name == "flows")
                    .expect("it is there")
                    .1;
            }
        }
    };
    let base = flow().to("10.0.0.4").to_port(443).syn();
    for n in 0..SOURCES {
        // All within one minute; the multiplier spreads the addresses.
        let source = Ipv4Addr::from_bits(n.wrapping_mul(2_654_435_761));
        let time = Timestamp::from_nanos(i64::from(n) * 60_000_000_000 / i64::from(SOURCES));
        let flow = base.clone().from_ip(source.into()).at_time(time).build();
        scorer.add(0, flow, &mut output);
        take(&mut output);
    }
    scorer.finish(&mut output);
    take(&mut output);
    let peak = peak_memory();
    println!("peak memory {} MiB", peak >> 20);
    assert!(peak < GIBIBYTE, "peak memory {} MiB", peak >> 20);
    assert_eq!(truncated, 1, "the window says that it is not whole");
    assert_eq!(flows, f64::from(SOURCES), "totals stay whole");
    let expected = u64::from(SOURCES) - Settings::default().max_subjects as u64;
    assert!(scorer.counters().overflow >= expected, "what found no room is counted");
}
