//! An office of hosts that do what they always do, and one that does something else.

use crate::features::mix;
use crate::model::{Flow, Subject};
use crate::testkit::{flow, ip};

use super::{Configured, Context, Detector, Settings, run};

/// Hosts of the office.
const HOSTS: u64 = 24;
/// Enough for the warm-up of the defaults.
const WINDOWS: u64 = 420;

/// A number from 0 to 1 that belongs to `n`.
fn chance(n: u64) -> f64 {
    (mix(n) >> 11) as f64 / (1u64 << 53) as f64
}

/// What the office does in window `n`: some web, some names, a few large transfers.
pub(crate) fn office(n: u64) -> Vec<Flow> {
    let mut flows = Vec::new();
    for host in 0..HOSTS {
        let key = mix(n * HOSTS + host);
        for contact in 0..4 + key % 8 {
            let key = key ^ (contact + 1) << 32;
            let size = 200.0 * (4.0 * chance(key)).exp() * if contact == 0 { 20.0 } else { 1.0 };
            let flow = flow()
                .from(&format!("10.0.0.{}", 10 + host))
                .to(&format!("198.51.100.{}", 1 + mix(key ^ 7) % 60))
                .to_port(if mix(key ^ 9).is_multiple_of(3) { 53 } else { 443 })
                .flags(0x1b)
                .bytes(size as u64)
                .at((n * 60 + mix(key ^ 11) % 60).cast_signed());
            flows.push(flow.build());
        }
    }
    flows
}

/// What a host that sends to all of a network does in window `n`.
pub(crate) fn sweep(n: u64) -> Vec<Flow> {
    let one = |peer: u16| {
        let to = format!("203.0.113.{}", peer % 250);
        let flow = flow().from("10.0.0.12").to(&to).to_port(20 + peer % 90).syn().bytes(60);
        flow.at((n * 60 + u64::from(peer) % 60).cast_signed()).build()
    };
    (0..400).map(one).collect()
}

/// What a host that tries many ports of one other does in window `n`.
pub(crate) fn scan(n: u64) -> Vec<Flow> {
    let one = |port: u16| {
        let flow = flow().from("10.0.0.12").to("10.0.0.99").to_port(1_000 + port).syn().bytes(60);
        flow.at((n * 60 + u64::from(port) % 60).cast_signed()).build()
    };
    (0..400).map(one).collect()
}

fn built(config: &dyn Configured) -> Box<dyn Detector> {
    config.build(&Settings::default(), &Context::default())
}

/// The detector names the odd host in its window, with numbers, and hardly anybody before.
pub(crate) fn finds_the_odd_host(config: &dyn Configured) {
    let mut detector = built(config);
    let flows: Vec<_> = (0..WINDOWS).flat_map(office).collect();
    let before = run(&mut *detector, &flows);
    assert!(before.len() <= 2, "false alarms: {before:?}");
    let last: Vec<_> = office(WINDOWS).into_iter().chain(sweep(WINDOWS)).collect();
    let found = run(&mut *detector, &last);
    let [finding] = &found[..] else { panic!("{found:?}") };
    assert_eq!(finding.subject, Subject::Source(ip("10.0.0.12")));
    assert!(finding.strength > 0.2, "{finding:?}");
    let share: f64 = finding.features.iter().filter_map(|feature| feature.share).sum();
    assert!(share > 0.5 && share < 1.01, "{finding:?}");
    assert!(finding.features.iter().all(|feature| feature.typical.is_some()), "{finding:?}");
}

/// A detector that goes on from a snapshot does what one does that was never stopped.
pub(crate) fn survives_a_restart(config: &dyn Configured) {
    let (mut kept, mut restarted) = (built(config), built(config));
    let flows: Vec<_> = (0..200).flat_map(office).collect();
    run(&mut *kept, &flows);
    restarted.restore(&kept.save()).expect("the state is sound");
    assert!(restarted.save() == kept.save());
    let flows: Vec<_> = (200..410).flat_map(office).chain(sweep(409)).collect();
    let expected = run(&mut *kept, &flows);
    assert!(!expected.is_empty());
    assert_eq!(run(&mut *restarted, &flows), expected);
    assert!(restarted.save() == kept.save());
}
