//! Ping sweeps: echo requests to many hosts that the source never pinged before, whether they answer
//! or not.
//!
//! Monitors ping many hosts too, but always the same ones: who pings what it pinged before is silent,
//! so that a new monitor is told once.

use serde::{Deserialize, Serialize};

use crate::features::{Conversation, HostKey, HostsWindow};
use crate::model::{Finding, IcmpMessage, Kind, SettingError, Subject, is_group};

use super::recent::{Recent, Saved};
use super::rules::{Keys, fact, log_strength, most_involved, over_threshold, rule_probability};
use super::{Configured, Context, Detector, RestoreError, Settings};

const ID: &str = "ping_sweep";
/// What a sweep just over the threshold claims.
const PROBABILITY: f64 = 1e-4;
/// A hundred times the threshold is as bad as a sweep gets.
const TOP: f64 = 100.0;
/// Of one source and window, at most so many hosts are remembered: a sweep of a large network must
/// not push out what monitors ping.
const MOST_NOTED: usize = 1_000;

/// Settings of the detector `ping_sweep`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the detector takes part.
    pub enabled: bool,
    /// Hosts pinged within one window (60 s) that the source did not ping before; at least 2. Lower:
    /// smaller sweeps are found, and monitors that get several new hosts at once.
    pub min_new_hosts: u64,
    /// The new hosts are at least this share (0–1) of all that are pinged in the window. Lower:
    /// monitors that get new hosts are told, and sweeps by monitors.
    pub min_share: f64,
    /// Pairs of source and pinged host that are remembered; at least 2. When there are more, the
    /// longest unseen are forgotten. About 60 bytes each.
    pub max_pairs: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: true, min_new_hosts: 15, min_share: 0.5, max_pairs: 100_000 }
    }
}

impl Configured for Config {
    fn is_enabled(&self) -> bool {
        self.enabled
    }

    fn check(&self) -> Result<(), SettingError> {
        let keys = Keys(ID);
        keys.at_least("min_new_hosts", self.min_new_hosts, 2)?;
        keys.fraction("min_share", self.min_share)?;
        keys.at_least("max_pairs", self.max_pairs as u64, 2)
    }

    fn build(&self, _settings: &Settings, _context: &Context) -> Box<dyn Detector> {
        Box::new(PingSweep::new(self.clone()))
    }
}

struct PingSweep {
    config: Config,
    /// Who pinged whom.
    pinged: Recent<(HostKey, HostKey), ()>,
}

impl PingSweep {
    fn new(config: Config) -> Self {
        Self { pinged: Recent::new(config.max_pairs), config }
    }

    fn finding(
        &self,
        window: &HostsWindow,
        source: HostKey,
        all: usize,
        new: &[HostKey],
    ) -> Finding {
        let threshold = self.config.min_new_hosts as f64;
        let actual = new.len() as f64;
        let strength = log_strength(actual, threshold, TOP * threshold);
        Finding {
            detector: ID,
            kind: Kind::PortScanHorizontal,
            subject: Subject::Source(source.ip()),
            window: window.span,
            probability: rule_probability(PROBABILITY, strength),
            strength,
            features: vec![
                over_threshold("new_pinged_hosts", actual, threshold),
                fact("pinged_hosts", all as f64),
            ],
            reason: format!(
                "pinged {} hosts within {} s that it never pinged before (threshold: {threshold})",
                new.len(),
                window.span.seconds,
            ),
            related: most_involved(new.iter().map(|host| (host.ip(), 1)).collect()),
            services: Vec::new(),
        }
    }
}

/// Whether the client asked for an echo: an answer alone may be one that nobody asked for.
fn is_ping(conversation: &Conversation) -> bool {
    let asks = |message: IcmpMessage| message.code == 0 && matches!(message.kind, 8 | 128);
    let marks = conversation.largest.marks();
    !is_group(conversation.server.ip())
        && marks.iter().any(|mark| mark.icmp().is_some_and(asks) && !mark.is_reply())
}

impl Detector for PingSweep {
    fn id(&self) -> &'static str {
        ID
    }

    fn save(&self) -> Vec<u8> {
        serde_json::to_vec(&self.pinged.save()).expect("addresses and times are plain data")
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
        let saved: Saved<(HostKey, HostKey), ()> =
            serde_json::from_slice(state).map_err(|error| RestoreError::new(ID, error))?;
        self.pinged.restore(saved);
        Ok(())
    }

    fn close_hosts(&mut self, window: &HostsWindow, findings: &mut Vec<Finding>) {
        let now = window.span.start.seconds().div_euclid(i64::from(window.span.seconds.max(1)));
        let pings = window.conversations.iter();
        let pings = pings.filter(|c| c.service_port().protocol.is_icmp() && is_ping(c));
        // Conversations ascend by client.
        let pings: Vec<_> = pings.map(|c| (c.client, c.server)).collect();
        for of_source in pings.chunk_by(|a, b| a.0 == b.0) {
            let is_new = |pair: &&(HostKey, HostKey)| self.pinged.get(pair).is_none();
            let new: Vec<_> = of_source.iter().filter(is_new).map(|pair| pair.1).collect();
            let share = new.len() as f64 / of_source.len() as f64;
            if new.len() as u64 >= self.config.min_new_hosts && share >= self.config.min_share {
                findings.push(self.finding(window, of_source[0].0, of_source.len(), &new));
            }
            for pair in of_source.iter().take(MOST_NOTED) {
                self.pinged.see(*pair, now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::run;
    use crate::model::{Flow, Protocol};
    use crate::testkit::{flow, ip};

    fn detector() -> PingSweep {
        PingSweep::new(Config::default())
    }

    /// Echo requests of one minute to hosts of a network; `kind` 0 are answers to nobody.
    fn pings(minute: i64, hosts: std::ops::RangeInclusive<u8>, kind: u8) -> Vec<Flow> {
        let one = |host| {
            let to = format!("10.0.4.{host}");
            let mut echo = flow().protocol(Protocol::ICMP).to(&to).at(60 * minute + 1).build();
            (echo.source.port, echo.destination.port) = (None, None);
            echo.icmp = Some(IcmpMessage { kind, code: 0 });
            echo
        };
        hosts.map(one).collect()
    }

    fn answered(mut flows: Vec<Flow>) -> Vec<Flow> {
        let answer = |flow: &Flow| {
            let mut answer = flow.clone();
            std::mem::swap(&mut answer.source, &mut answer.destination);
            answer.icmp = Some(IcmpMessage { kind: 0, code: 0 });
            answer
        };
        flows.extend(flows.iter().map(answer).collect::<Vec<_>>());
        flows
    }

    #[test]
    fn a_sweep_is_found_whether_its_hosts_answer_or_not() {
        for flows in [pings(0, 1..=18, 8), answered(pings(0, 1..=18, 8))] {
            let found = run(&mut detector(), &flows);
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].kind, Kind::PortScanHorizontal);
            assert_eq!(found[0].subject, Subject::Source(flows[0].source.ip.unwrap()));
            assert!(
                found[0].reason.starts_with("pinged 18 hosts within 60 s"),
                "{}",
                found[0].reason
            );
        }
        assert!(run(&mut detector(), &pings(0, 1..=14, 8)).is_empty());
    }

    #[test]
    fn a_monitor_is_told_once_and_not_again_when_it_gets_some_new_hosts() {
        let mut flows: Vec<_> =
            (0..30).flat_map(|minute| answered(pings(minute, 1..=40, 8))).collect();
        flows.extend((30..60).flat_map(|minute| pings(minute, 1..=60, 8)));
        let found = run(&mut detector(), &flows);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].window.start, flows[0].end.floor(60));
    }

    #[test]
    fn answers_that_nobody_asked_for_are_no_sweep() {
        assert!(run(&mut detector(), &pings(0, 1..=200, 0)).is_empty());
        let to_group = pings(0, 1..=200, 8).into_iter().map(|mut flow| {
            flow.destination.ip =
                Some(ip(&flow.destination.ip.unwrap().to_string().replace("10.0", "224.0")));
            flow
        });
        assert!(run(&mut detector(), &to_group.collect::<Vec<_>>()).is_empty());
    }

    #[test]
    fn a_restart_forgets_no_monitor() {
        let mut before = detector();
        assert_eq!(run(&mut before, &pings(0, 1..=40, 8)).len(), 1);
        let mut after = detector();
        after.restore(&before.save()).unwrap();
        assert!(run(&mut after, &pings(1, 1..=40, 8)).is_empty());
        assert_eq!(after.save(), before_after(&mut before));
    }

    fn before_after(before: &mut PingSweep) -> Vec<u8> {
        run(before, &pings(1, 1..=40, 8));
        before.save()
    }
}
