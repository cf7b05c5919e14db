//! Long connections: a contact with a place outside that stays open for many hours.
//!
//! Exporters cut long connections into pieces, so a relation that shows itself every few minutes
//! counts as one connection too, when it is hardly ever opened twice at a time. Told when the
//! duration passes the threshold and whenever it has doubled since.

use serde::{Deserialize, Serialize};

use crate::features::{Conversation, ConversationKey, HostsWindow};
use crate::model::{Finding, Kind, Protocol, SettingError};

use super::alarms;
use super::recent::{Recent, Saved};
use super::rules::{Keys, fact, log_strength, over_threshold, rule_probability};
use super::services::service_words;
use super::{Configured, Context, Detector, InternalNetworks, RestoreError, Settings};

const ID: &str = "long_connection";
/// Every network has some.
const PROBABILITY: f64 = 2e-2;
/// Twelve times the threshold, four days by default, is as bad as it gets.
const TOP: f64 = 12.0;
/// Windows without a sign after which a connection is over: exporters cut at 30 minutes at most.
const SILENT_WINDOWS: i64 = 31;
/// More connections within a window are no single one.
const MOST_AT_ONCE: u64 = 2;

/// Settings of the detector `long_connection`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the detector takes part.
    pub enabled: bool,
    /// Hours that a connection with a place outside may stay open; positive.
    pub min_hours: f64,
    /// Connections that are remembered; at least 2. When there are more, the longest unseen go. About
    /// 150 bytes each.
    pub max_connections: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: true, min_hours: 8.0, max_connections: 50_000 }
    }
}

impl Configured for Config {
    fn is_enabled(&self) -> bool {
        self.enabled
    }

    fn check(&self) -> Result<(), SettingError> {
        let keys = Keys(ID);
        keys.positive("min_hours", self.min_hours)?;
        keys.at_least("max_connections", self.max_connections as u64, 2)
    }

    fn build(&self, _settings: &Settings, context: &Context) -> Box<dyn Detector> {
        let (internal, open) = (context.internal.clone(), Recent::new(self.max_connections));
        Box::new(LongConnection { config: self.clone(), internal, open })
    }
}

/// A connection that may be a long one.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Open {
    /// First and last window with a sign of it.
    first: Option<i64>,
    last: i64,
    bytes_up: u64,
    bytes_down: u64,
    /// Told at so many minutes.
    told: i64,
}

struct LongConnection {
    config: Config,
    internal: InternalNetworks,
    open: Recent<ConversationKey, Open>,
}

impl Detector for LongConnection {
    fn id(&self) -> &'static str {
        ID
    }

    fn save(&self) -> Vec<u8> {
        alarms::save(&self.open.save())
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
        let saved: Saved<ConversationKey, Open> = alarms::restore(ID, state)?;
        self.open.restore(saved);
        Ok(())
    }

    fn close_hosts(&mut self, window: &HostsWindow, findings: &mut Vec<Finding>) {
        let now = window.span.minute();
        self.open.forget_before(now - SILENT_WINDOWS);
        let mut worst: Vec<(&Conversation, i64)> = Vec::new();
        for c in &window.conversations {
            if self.is_followed(c)
                && let Some(minutes) = self.note(c, now)
            {
                worst.push((c, minutes));
            }
        }
        // The longest of a pair speaks for it; they ascend by pair.
        worst.sort_by_key(|(c, minutes)| (c.client, c.server, -minutes));
        worst.dedup_by_key(|(c, _)| (c.client, c.server));
        findings.extend(worst.into_iter().map(|(c, minutes)| self.finding(window, c, minutes)));
    }
}

impl LongConnection {
    fn is_followed(&self, c: &Conversation) -> bool {
        let has_ports = [Protocol::TCP.0, Protocol::UDP.0].contains(&c.protocol);
        let (client, server) = (c.client.ip(), c.server.ip());
        has_ports
            && c.counters.connections() <= MOST_AT_ONCE
            && self.internal.contains(client) != self.internal.contains(server)
            && c.counters.is_answered()
    }

    /// Returns the minutes of a connection when they are to be told.
    fn note(&mut self, c: &Conversation, now: i64) -> Option<i64> {
        let threshold = (self.config.min_hours * 60.0).ceil() as i64;
        let counters = &c.counters;
        let open = self.open.see(c.key(), now);
        let first = *open.first.get_or_insert(now);
        open.last = now;
        open.bytes_up = open.bytes_up.saturating_add(counters.bytes_up);
        open.bytes_down = open.bytes_down.saturating_add(counters.bytes_down);
        let reported = i64::try_from(counters.longest_seconds / 60).unwrap_or(i64::MAX);
        let minutes = reported.max(now - first);
        if minutes < threshold || minutes < open.told.saturating_mul(2) {
            return None;
        }
        open.told = minutes;
        Some(minutes)
    }

    fn finding(&self, window: &HostsWindow, c: &Conversation, minutes: i64) -> Finding {
        let hours = minutes as f64 / 60.0;
        let threshold = self.config.min_hours;
        let strength = log_strength(hours, threshold, threshold * TOP);
        let open = self.open.get(&c.key()).cloned().unwrap_or_default();
        Finding {
            detector: ID,
            kind: Kind::LongConnection,
            subject: c.subject(),
            window: window.span,
            probability: rule_probability(PROBABILITY, strength),
            strength,
            features: vec![
                over_threshold("hours", hours, threshold),
                fact("bytes_up", open.bytes_up as f64),
                fact("bytes_dw", open.bytes_down as f64),
            ],
            reason: format!(
                "connection on {} open for {hours:.1} h",
                service_words(c.protocol, c.port)
            ),
            related: Vec::new(),
            services: vec![c.service_port()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::run;
    use crate::model::{Flow, Timestamp};
    use crate::testkit::flow;

    fn found(flows: &[Flow]) -> Vec<Finding> {
        run(&mut *Config::default().build(&Settings::default(), &Context::default()), flows)
    }

    fn piece(minute: i64) -> Flow {
        let flow = flow().to("198.51.100.6").to_port(443).flags(0x18);
        flow.returned(500, 4).at(minute * 60).build()
    }

    #[test]
    fn pieces_of_a_connection_are_one_and_it_is_told_when_it_has_doubled() {
        let pieces: Vec<_> = (0..40 * 60).step_by(5).map(piece).collect();
        let findings = found(&pieces);
        let hours: Vec<_> = findings.iter().map(|f| f.features[0].actual).collect();
        assert_eq!(hours, [8.0, 16.0, 32.0]);
        assert_eq!(findings[0].reason, "connection on tcp port 443 open for 8.0 h");
    }

    #[test]
    fn a_record_that_says_so_is_believed() {
        let mut whole = piece(0);
        whole.start = Timestamp::from_seconds(-49_000);
        assert_eq!(found(&[whole]).len(), 1);
    }

    #[test]
    fn short_ones_many_at_once_and_those_among_ourselves_are_ordinary() {
        let pieces: Vec<_> = (0..7 * 60).map(piece).collect();
        assert!(found(&pieces).is_empty());
        let busy = (0..600).flat_map(|minute| (0..5).map(move |_| piece(minute)));
        assert!(found(&busy.collect::<Vec<_>>()).is_empty());
        let inside = (0..600).map(|minute| {
            let mut flow = piece(minute);
            flow.destination.ip = Some([10, 0, 0, 2].into());
            flow
        });
        assert!(found(&inside.collect::<Vec<_>>()).is_empty());
        let interrupted: Vec<_> =
            (0..12).flat_map(|n| [piece(n * 100), piece(n * 100 + 30)]).collect();
        assert!(found(&interrupted).is_empty());
    }
}
