//! Exfiltration: a host inside sends far more than usual to a place outside that hardly anybody uses.

use serde::{Deserialize, Serialize};

use crate::features::{Conversation, HostKey, HostsWindow};
use crate::model::{FeatureEvidence, Finding, Kind, Protocol, SettingError, Subject};

use super::alarms;
use super::recent::{Recent, Saved, note_host};
use super::rules::{Keys, LEAST_EVIDENCE, fact, log_strength, over_threshold, rule_probability};
use super::services::{bytes_words, log_in};
use super::{Configured, Context, Detector, InternalNetworks, RestoreError, Settings};

const ID: &str = "exfiltration";
/// Large uploads to new places have innocent reasons as well.
const PROBABILITY: f64 = 1e-3;
/// A hundred times the threshold is as bad as it gets.
const TOP: f64 = 100.0;
/// The memory of one transfer.
const HOUR: i64 = 60;
/// What was usual counts half after so many windows: two weeks.
const HALF_LIFE: f64 = 14.0 * 1_440.0;
/// Relations with less within a window are not followed.
const LEAST_BYTES: u64 = 100_000;
/// Clients kept per server.
const CLIENTS: usize = 8;

/// Settings of the detector `exfiltration`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the detector takes part.
    pub enabled: bool,
    /// Bytes that a host inside sends to one outside within an hour; positive.
    pub min_bytes: u64,
    /// It sends at least so many times more than it gets back; positive.
    pub min_ratio: f64,
    /// It sends at least so many times more than in its largest hour so far, to this place and to all
    /// places outside (both fade to the half within two weeks); positive.
    pub min_growth: f64,
    /// Hosts inside that use the place, at most; at least 1.
    pub max_clients: usize,
    /// Relations that are remembered; at least 2. About 200 bytes each.
    pub max_relations: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            min_bytes: 300_000_000,
            min_ratio: 4.0,
            min_growth: 3.0,
            max_clients: 2,
            max_relations: 50_000,
        }
    }
}

impl Configured for Config {
    fn is_enabled(&self) -> bool {
        self.enabled
    }

    fn check(&self) -> Result<(), SettingError> {
        let keys = Keys(ID);
        keys.at_least("min_bytes", self.min_bytes, 1)?;
        keys.positive("min_ratio", self.min_ratio)?;
        keys.positive("min_growth", self.min_growth)?;
        keys.at_least("max_clients", self.max_clients as u64, 1)?;
        keys.at_least("max_relations", self.max_relations as u64, 2)
    }

    fn build(&self, _settings: &Settings, context: &Context) -> Box<dyn Detector> {
        Box::new(Exfiltration {
            internal: context.internal.clone(),
            pairs: Recent::new(self.max_relations),
            hosts: Recent::new(self.max_relations),
            servers: Recent::new(self.max_relations),
            config: self.clone(),
        })
    }
}

/// What was sent and what came back: the last hour by window, and the largest hour before it.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Volume {
    /// (window, sent, returned), oldest first.
    hour: Vec<(i64, u64, u64)>,
    /// The largest finished hour, in bytes, as it was at window `usual_at`.
    usual: u64,
    usual_at: i64,
}

impl Volume {
    /// Adds what a window brought; returns sent and returned bytes of the last hour.
    fn add(&mut self, now: i64, (sent, returned): (u64, u64)) -> (u64, u64) {
        // An hour that is over becomes part of what is usual before it is forgotten; one that goes on
        // is cut when it is twice as long.
        let is_over = self.hour.last().is_some_and(|(last, ..)| *last <= now - HOUR);
        let is_long = self.hour.first().is_some_and(|(first, ..)| *first <= now - 2 * HOUR);
        if is_over || is_long {
            let old = self.hour.partition_point(|(window, ..)| *window <= now - HOUR);
            let whole =
                self.hour.drain(..old).map(|(_, sent, _)| sent).fold(0, u64::saturating_add);
            self.usual = whole.max(self.usual_before(now));
            self.usual_at = now;
        }
        match self.hour.last_mut() {
            Some((window, up, down)) if *window == now => {
                *up = up.saturating_add(sent);
                *down = down.saturating_add(returned);
            }
            _ => self.hour.push((now, sent, returned)),
        }
        let recent = self.hour.iter().filter(|(window, ..)| *window > now - HOUR);
        recent.fold((0, 0), |(up, down), (_, sent, returned)| {
            (up.saturating_add(*sent), down.saturating_add(*returned))
        })
    }

    /// The largest finished hour, faded.
    fn usual_before(&self, now: i64) -> u64 {
        let age = (now - self.usual_at).max(0) as f64;
        (self.usual as f64 * (-age / HALF_LIFE).exp2()) as u64
    }
}

/// What a snapshot keeps.
#[derive(Serialize, Deserialize)]
struct State {
    pairs: Saved<(HostKey, HostKey), Volume>,
    hosts: Saved<HostKey, Volume>,
    servers: Saved<HostKey, Vec<HostKey>>,
}

struct Exfiltration {
    config: Config,
    internal: InternalNetworks,
    pairs: Recent<(HostKey, HostKey), Volume>,
    hosts: Recent<HostKey, Volume>,
    /// Who uses a server outside, up to [`CLIENTS`].
    servers: Recent<HostKey, Vec<HostKey>>,
}

impl Detector for Exfiltration {
    fn id(&self) -> &'static str {
        ID
    }

    fn save(&self) -> Vec<u8> {
        let state = State {
            pairs: self.pairs.save(),
            hosts: self.hosts.save(),
            servers: self.servers.save(),
        };
        alarms::save(&state)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
        let state: State = alarms::restore(ID, state)?;
        self.pairs.restore(state.pairs);
        self.hosts.restore(state.hosts);
        self.servers.restore(state.servers);
        Ok(())
    }

    fn close_hosts(&mut self, window: &HostsWindow, findings: &mut Vec<Finding>) {
        let now = window.span.minute();
        // Conversations ascend by client and server: one run of them is one relation.
        let of_pair =
            |a: &Conversation, b: &Conversation| (a.client, a.server) == (b.client, b.server);
        for conversations in window.conversations.chunk_by(of_pair) {
            let (client, server) = (conversations[0].client, conversations[0].server);
            let evidence = sum(conversations, |c| c.counters.evidence());
            let sent = sum(conversations, |c| c.counters.bytes_up);
            // Whoever opened the contact: what counts is what leaves. But what a server shows to the
            // public may leave, other than what is fetched by a log-in.
            let fetches = |c: &Conversation| {
                let is_log_in = c.protocol == Protocol::TCP.0 && log_in(c.port).is_some();
                is_log_in || self.is_inside(client)
            };
            let returned =
                sum(conversations, |c| if fetches(c) { c.counters.bytes_down } else { 0 });
            let (host, place, sent, returned) =
                match (self.is_inside(client), self.is_inside(server)) {
                    (true, false) => (client, server, sent, returned),
                    (false, true) => (server, client, returned, sent),
                    _ => continue,
                };
            note_host(self.servers.see(place, now), host, CLIENTS);
            let is_told = evidence >= LEAST_EVIDENCE && sent >= LEAST_BYTES;
            if is_told || self.pairs.get(&(host, place)).is_some() {
                findings.extend(self.judge(window, (host, place), now, (sent, returned)));
            }
        }
    }
}

fn sum(conversations: &[Conversation], bytes: impl Fn(&Conversation) -> u64) -> u64 {
    conversations.iter().map(bytes).fold(0, u64::saturating_add)
}

impl Exfiltration {
    fn is_inside(&self, host: HostKey) -> bool {
        self.internal.contains(host.ip())
    }

    fn judge(
        &mut self,
        window: &HostsWindow,
        (host, place): (HostKey, HostKey),
        now: i64,
        bytes: (u64, u64),
    ) -> Option<Finding> {
        let pair = self.pairs.see((host, place), now);
        let (sent, returned) = pair.add(now, bytes);
        let usual_here = pair.usual_before(now);
        let all = self.hosts.see(host, now);
        all.add(now, bytes);
        let usual = usual_here.max(all.usual_before(now));
        let config = &self.config;
        let users = self.servers.get(&place).map_or(1, Vec::len);
        let is_leak = bytes.0 > 0
            && sent >= config.min_bytes
            && sent as f64 >= config.min_ratio * returned as f64
            && sent as f64 >= config.min_growth * usual as f64
            && users <= config.max_clients;
        if !is_leak {
            return None;
        }
        let threshold = config.min_bytes as f64;
        let strength = log_strength(sent as f64, threshold, threshold * TOP);
        let sent_evidence = FeatureEvidence {
            typical: (usual > 0).then_some(usual as f64),
            ..over_threshold("bytes_up_hour", sent as f64, threshold)
        };
        let usual = match usual {
            0 => "no such hour before".to_owned(),
            usual => format!("its largest hour so far: {}", bytes_words(usual as f64)),
        };
        Some(Finding {
            detector: ID,
            kind: Kind::Exfiltration,
            subject: Subject::Pair(host.ip(), place.ip()),
            window: window.span,
            probability: rule_probability(PROBABILITY, strength),
            strength,
            features: vec![
                sent_evidence,
                fact("bytes_dw_hour", returned as f64),
                fact("users_of_the_place", users as f64),
            ],
            reason: format!(
                "{} sent out within an hour, {} came back ({usual})",
                bytes_words(sent as f64),
                bytes_words(returned as f64),
            ),
            related: Vec::new(),
            services: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::run;
    use crate::model::Flow;
    use crate::testkit::flow;

    fn found(flows: &[Flow]) -> Vec<Finding> {
        run(&mut *Config::default().build(&Settings::default(), &Context::default()), flows)
    }

    /// `megabytes` a minute from 10.0.0.7 for `minutes`.
    fn upload(begin: i64, minutes: i64, megabytes: u64, to: &str) -> Vec<Flow> {
        let of = |minute| {
            let flow = flow().from("10.0.0.7").to(to).to_port(443).bytes(megabytes * 1_000_000);
            flow.returned(megabytes * 10_000, 100).at((begin + minute) * 60).build()
        };
        (0..minutes).map(of).collect()
    }

    #[test]
    fn a_large_upload_to_a_rare_place_is_found_while_it_goes_on() {
        let findings = found(&upload(0, 20, 100, "198.51.100.6"));
        let pair = Subject::Pair([10, 0, 0, 7].into(), [198, 51, 100, 6].into());
        assert_eq!((findings.len(), findings[0].subject), (18, pair));
        assert_eq!(
            findings[0].reason,
            "300 MB sent out within an hour, 3.0 MB came back (no such hour before)"
        );
    }

    #[test]
    fn whoever_opened_the_contact_what_leaves_counts() {
        let fetched = flow().from("198.51.100.6").to("10.0.0.7").to_port(22).bytes(1_000);
        let findings = found(&[fetched.returned(900_000_000, 600_000).build()]);
        assert_eq!(findings[0].subject.source_ip(), Some([10, 0, 0, 7].into()));
    }

    #[test]
    fn the_nightly_backup_is_told_once() {
        let nights = (0..3).flat_map(|night| upload(night * 1_440, 30, 50, "198.51.100.6"));
        let findings = found(&nights.collect::<Vec<_>>());
        let days: Vec<_> = findings.iter().map(|f| f.window.start.seconds() / 86_400).collect();
        assert!(!days.is_empty() && days.iter().all(|day| *day == 0), "{days:?}");
    }

    #[test]
    fn downloads_and_places_that_many_use_are_ordinary() {
        let download = flow().from("10.0.0.7").to("198.51.100.6").bytes(5_000_000);
        assert!(found(&[download.returned(2_000_000_000, 1).build()]).is_empty());
        let mut flows = upload(1, 20, 100, "198.51.100.6");
        let others =
            (8..12).map(|n| flow().from(&format!("10.0.0.{n}")).to("198.51.100.6").at(5).build());
        flows.extend(others);
        assert!(found(&flows).is_empty());
    }
}
