//! What is known to be harmless: scope, expiry, owner, comment.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::model::{Kind, SettingError, Subject, Timestamp, canonical_net, one_line};

/// The longest owner and comment that are shown, in characters: with the scope they stay below the
/// length up to which documents can be searched by a text.
const SHOWN_CHARACTERS: usize = 200;

/// One line under `alerts.exceptions:`, or one of `flowsentry exception add`. All given parts must
/// match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// Only alerts of this kind; all kinds when absent.
    pub kind: Option<Kind>,
    /// Only subjects that send from this address or prefix.
    #[serde(default, serialize_with = "network_text", deserialize_with = "network")]
    pub source: Option<IpNet>,
    /// Only subjects that receive at this address or prefix.
    #[serde(default, serialize_with = "network_text", deserialize_with = "network")]
    pub destination: Option<IpNet>,
    /// Only exporting devices at this address or prefix.
    #[serde(default, serialize_with = "network_text", deserialize_with = "network")]
    pub exporter: Option<IpNet>,
    /// The exception ends here; alerts that begin later are not covered. Never ends when absent.
    pub expires: Option<Timestamp>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Why it is harmless.
    pub comment: Option<String>,
}

/// The networks that a subject is part of: who sends, who receives, who exports.
struct Ends {
    source: Option<IpNet>,
    destination: Option<IpNet>,
    exporter: Option<IpNet>,
}

impl Ends {
    fn of(subject: Subject) -> Self {
        let net = |ip: IpAddr| Some(IpNet::from(ip.to_canonical()));
        let (source, destination, exporter) = match subject {
            Subject::Network => (None, None, None),
            Subject::Exporter(ip) => (None, None, net(ip)),
            Subject::Source(ip) => (net(ip), None, None),
            Subject::Destination(ip) => (None, net(ip), None),
            Subject::Pair(from, to) => (net(from), net(to), None),
            Subject::Prefix(ip, bits) => (None, IpNet::new(ip, bits).ok(), None),
        };
        Self { source, destination, exporter }
    }
}

impl Exception {
    /// Returns the exception of exactly this kind and subject, without end and owner.
    pub fn of(kind: Kind, subject: Subject) -> Self {
        let Ends { source, destination, exporter } = Ends::of(subject);
        Self { kind: Some(kind), source, destination, exporter, ..Self::default() }
    }

    /// Whether it names nothing: it would hide every alert.
    pub fn hides_everything(&self) -> bool {
        let Self { kind, source, destination, exporter, .. } = self;
        kind.is_none() && source.is_none() && destination.is_none() && exporter.is_none()
    }

    /// Checks that the exception does not hide everything.
    pub(super) fn check(&self, key: &str) -> Result<(), SettingError> {
        if self.hides_everything() {
            let problem = "must name a `kind`, a `source`, a `destination` or an `exporter`: it \
                           would hide every alert";
            return Err(SettingError::new(key, problem));
        }
        Ok(())
    }

    /// Whether it covers an alert of this kind and subject that begins at `first`.
    pub fn covers(&self, kind: Kind, subject: Subject, first: Timestamp) -> bool {
        let ends = Ends::of(subject);
        self.kind.is_none_or(|wanted| wanted == kind)
            && is_within(self.source, ends.source)
            && is_within(self.destination, ends.destination)
            && is_within(self.exporter, ends.exporter)
            && self.expires.is_none_or(|expires| first < expires)
    }

    /// The parts that do not match such an alert, in words; none when it is covered.
    pub fn misses(&self, kind: Kind, subject: Subject, first: Timestamp) -> Vec<String> {
        let ends = Ends::of(subject);
        let mut misses = Vec::new();
        if let Some(wanted) = self.kind.filter(|wanted| *wanted != kind) {
            misses.push(format!("its kind is {wanted}, not {kind}"));
        }
        for (word, network, end) in [
            ("source", self.source, ends.source),
            ("destination", self.destination, ends.destination),
            ("exporter", self.exporter, ends.exporter),
        ] {
            match (network, end) {
                (Some(network), Some(end)) if !is_within(Some(network), Some(end)) => {
                    misses.push(format!("{word} {} is not in {network}", short(end)));
                }
                (Some(network), None) => {
                    misses.push(format!("there is no {word} that could be in {network}"));
                }
                (Some(_) | None, _) => {}
            }
        }
        if let Some(expires) = self.expires.filter(|expires| first >= *expires) {
            misses.push(format!("it ended at {expires}, before this began"));
        }
        misses
    }

    /// The scope in words: `port_scan_vertical from 10.0.0.0/24`.
    pub fn scope(&self) -> String {
        let mut text = self.kind.map_or("any kind", Kind::name).to_owned();
        for (word, network) in
            [("from", self.source), ("to", self.destination), ("exported by", self.exporter)]
        {
            if let Some(network) = network {
                text.push_str(&format!(" {word} {network}"));
            }
        }
        text
    }
}

fn is_within(network: Option<IpNet>, end: Option<IpNet>) -> bool {
    let Some(network) = network else { return true };
    end.is_some_and(|end| canonical_net(network).contains(&end))
}

/// An address without the length of its prefix.
fn short(net: IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
}

/// Reads an address or a prefix.
///
/// # Errors
/// Says what would be right.
pub fn parse_network(text: &str) -> Result<IpNet, String> {
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.map_err(|_| {
        let shown: String = text.chars().take(64).collect();
        format!("`{shown}` is no address or prefix such as 10.0.0.0/24")
    })
}

fn network<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<IpNet>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    parse_network(&text).map(Some).map_err(serde::de::Error::custom)
}

fn network_text<S: serde::Serializer>(
    network: &Option<IpNet>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    network.map(|network| network.to_string()).serialize(serializer)
}

/// The scope, then who and why; one line of at most some hundred characters, whatever owner and
/// comment hold: documents are searched by it.
impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.scope())?;
        let shown = |text: &String| one_line(text, SHOWN_CHARACTERS);
        match (self.owner.as_ref().map(shown), self.comment.as_ref().map(shown)) {
            (Some(owner), Some(comment)) => write!(f, " ({owner}: {comment})"),
            (Some(text), None) | (None, Some(text)) => write!(f, " ({text})"),
            (None, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::ip;

    fn exception(line: &str) -> Exception {
        serde_yaml_ng::from_str(line).unwrap()
    }

    #[test]
    fn an_exception_without_a_scope_is_refused() {
        let error = exception("comment: everything").check("alerts.exceptions[0]").unwrap_err();
        assert!(error.to_string().starts_with("setting `alerts.exceptions[0]` must name a `kind`"));
    }

    #[test]
    fn a_wrong_prefix_is_named() {
        let error = serde_yaml_ng::from_str::<Exception>("source: 10.0.0.0/99").unwrap_err();
        assert!(error.to_string().contains("`10.0.0.0/99` is no address or prefix"));
    }

    #[test]
    fn every_part_must_match_and_the_others_are_named() {
        let scope = "{kind: blacklist, source: 10.0.0.0/24, destination: 192.0.2.1, \
                     expires: 2026-01-01T00:00:00Z}";
        let (exception, before) = (exception(scope), Timestamp::from_seconds(0));
        let pair = |from, to| Subject::Pair(ip(from), ip(to));
        let good = pair("::ffff:10.0.0.7", "192.0.2.1");
        assert!(exception.covers(Kind::Blacklist, good, before));
        assert!(exception.misses(Kind::Blacklist, good, before).is_empty());
        let late = "2026-01-01T00:00:00Z".parse().unwrap();
        let misses = exception.misses(Kind::NewPort, Subject::Source(ip("10.0.1.7")), late);
        assert_eq!(
            misses,
            [
                "its kind is blacklist, not new_port",
                "source 10.0.1.7 is not in 10.0.0.0/24",
                "there is no destination that could be in 192.0.2.1/32",
                "it ended at 2026-01-01T00:00:00.000Z, before this began",
            ]
        );
    }

    #[test]
    fn covering_is_having_no_misses() {
        let subjects = [
            Subject::Network,
            Subject::Exporter(ip("10.0.0.1")),
            Subject::Source(ip("10.0.0.1")),
            Subject::Destination(ip("10.0.0.1")),
            Subject::Pair(ip("10.0.0.1"), ip("10.9.0.1")),
        ];
        let scopes = [
            "kind: new_port",
            "source: 10.0.0.1",
            "destination: 10.0.0.0/8",
            "exporter: 10.0.0.1",
            "{source: 10.0.0.1, destination: 10.9.0.1}",
        ];
        for scope in scopes.map(exception) {
            for subject in subjects {
                for kind in [Kind::NewPort, Kind::VolumeOutlier] {
                    let time = Timestamp::default();
                    let misses = scope.misses(kind, subject, time);
                    assert_eq!(scope.covers(kind, subject, time), misses.is_empty(), "{scope}");
                }
            }
            assert!(!scope.hides_everything());
        }
        for subject in subjects {
            assert!(Exception::of(Kind::NewPort, subject).covers(
                Kind::NewPort,
                subject,
                Timestamp::MAX
            ));
        }
    }

    #[test]
    fn words_are_one_bounded_line() {
        let hostile = Exception {
            kind: Some(Kind::Blacklist),
            owner: Some("a\u{1b}[31m\nb\u{202e}".to_owned()),
            comment: Some("\u{1f600}".repeat(100_000)),
            ..Exception::default()
        };
        let words = hostile.to_string();
        assert!(words.starts_with("blacklist (a\u{fffd}[31m b\u{fffd}: \u{1f600}"), "{words}");
        assert!(words.encode_utf16().count() < 1_000 && !words.chars().any(char::is_control));
    }
}
