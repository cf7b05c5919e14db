//! What the anomalies of a window rest on: the flows behind them, and how well they were seen.
//!
//! Of a subject's conversations those count that an anomaly is about: with the hosts and on the services
//! that its findings name, as far as there are such ones.

use std::net::IpAddr;

use crate::features::{Conversation, FlowMark, HostKey};
use crate::model::{Anomaly, SampledCounts, Subject};

/// Conversations of a closed window, found by either end.
pub(super) struct Conversations<'a> {
    /// Ascending by client.
    all: &'a [Conversation],
    /// Places in `all`, ascending by server.
    by_server: Vec<u32>,
}

impl<'a> Conversations<'a> {
    /// `all` must ascend.
    pub(super) fn new(all: &'a [Conversation]) -> Self {
        let mut by_server: Vec<u32> = (0u32..).take(all.len()).collect();
        by_server.sort_by_key(|&place| all[place as usize].server);
        Self { all, by_server }
    }

    /// Adds flows and the error of sampled counts to an anomaly of the window.
    pub(super) fn explain(&self, anomaly: &mut Anomaly) {
        let about = self.about(anomaly);
        let (mut seen, mut packets) = (0u64, 0u64);
        let mut flows: Vec<(&FlowMark, &Conversation)> = Vec::new();
        for conversation in about {
            let counters = &conversation.counters;
            seen = seen.saturating_add(counters.seen_packets);
            packets =
                packets.saturating_add(counters.packets_up.saturating_add(counters.packets_down));
            flows.extend(conversation.largest.marks().iter().map(|mark| (mark, conversation)));
            if flows.len() >= 1_000 {
                keep_largest(&mut flows);
            }
        }
        keep_largest(&mut flows);
        anomaly.flows = flows
            .into_iter()
            .map(|(mark, c)| mark.evidence(c.client, c.server, c.service_port()))
            .collect();
        if packets > seen {
            let counts = SampledCounts { seen_packets: seen, packets };
            if let Some(sentence) = counts.sentence() {
                anomaly.sentence = format!("{} {sentence}", anomaly.sentence);
            }
            anomaly.sampled = Some(counts);
        }
    }

    /// The conversations that an anomaly is about.
    fn about(&self, anomaly: &Anomaly) -> Vec<&'a Conversation> {
        let of_subject = self.of(anomaly.subject);
        let related: Vec<HostKey> = anomaly.related.iter().copied().map(HostKey::new).collect();
        let names = |c: &Conversation| related.contains(&c.client) || related.contains(&c.server);
        let serves = |c: &Conversation| anomaly.services.contains(&c.service_port());
        let agreement =
            |c: &Conversation| u8::from(!related.is_empty() && names(c)) + u8::from(serves(c));
        let best = of_subject.iter().map(|c| agreement(c)).max().unwrap_or(0);
        of_subject.into_iter().filter(|c| agreement(c) == best).collect()
    }

    fn of(&self, subject: Subject) -> Vec<&'a Conversation> {
        match subject {
            Subject::Network => self.all.iter().collect(),
            // Which device exported a flow is not kept.
            Subject::Exporter(_) => Vec::new(),
            Subject::Source(ip) | Subject::Destination(ip) => {
                let host = HostKey::new(ip);
                let served = self.with_server(host, host).filter(|c| c.client != host);
                self.with_client(host).chain(served).collect()
            }
            Subject::Pair(a, b) => {
                let (a, b) = (HostKey::new(a), HostKey::new(b));
                let between = |client, server| {
                    self.with_client(client).filter(move |c: &&Conversation| c.server == server)
                };
                // A host that talks to itself is one pair.
                let back = (a != b).then(|| between(b, a)).into_iter().flatten();
                between(a, b).chain(back).collect()
            }
            Subject::Prefix(first, bits) => {
                let (first, last) = ends(first, bits);
                self.with_server(first, last).collect()
            }
        }
    }

    fn with_client(&self, client: HostKey) -> impl Iterator<Item = &'a Conversation> + use<'a> {
        let begin = self.all.partition_point(|c| c.client < client);
        self.all[begin..].iter().take_while(move |c| c.client == client)
    }

    /// Those whose server lies between two addresses.
    fn with_server(&self, first: HostKey, last: HostKey) -> impl Iterator<Item = &'a Conversation> {
        let all = self.all;
        let server = move |place: &u32| all[*place as usize].server;
        let begin = self.by_server.partition_point(|place| server(place) < first);
        let places = self.by_server[begin..].iter().take_while(move |place| server(place) <= last);
        places.map(move |&place| &all[place as usize])
    }
}

/// First and last address of a prefix.
fn ends(first: IpAddr, bits: u8) -> (HostKey, HostKey) {
    let width = if first.is_ipv4() { 32 } else { 128 };
    let hosts = 1u128.checked_shl(width - u32::from(bits).min(width)).unwrap_or(0).wrapping_sub(1);
    let first = HostKey::new(first);
    let last = HostKey::new(std::net::Ipv6Addr::from_bits(first.number() | hosts).into());
    (first, last)
}

fn keep_largest(flows: &mut Vec<(&FlowMark, &Conversation)>) {
    let rank = |&(mark, c): &(&FlowMark, &Conversation)| (mark.rank(), c.key());
    flows.sort_by_key(rank);
    flows.truncate(Anomaly::MAX_FLOWS);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::{ClosedWindow, WindowLimits, Windows};
    use crate::fuse::fuse;
    use crate::model::{Finding, Flow, Kind, Protocol, ServicePort, WindowSpan};
    use crate::testkit::{FlowBuilder, flow, ip};

    const LIMITS: WindowLimits = WindowLimits {
        pane_seconds: 10,
        window_seconds: 60,
        lateness_seconds: 30,
        max_subjects: 1_000,
        count_once: true,
    };

    fn conversations(flows: &[Flow]) -> Vec<Conversation> {
        let mut windows = Windows::new(LIMITS);
        flows.iter().for_each(|flow| _ = windows.add(0, flow));
        windows.finish();
        let mut closed = std::iter::from_fn(|| windows.next_closed());
        let hosts = closed.find_map(|window| match window {
            ClosedWindow::Hosts(window) => Some(window.conversations),
            ClosedWindow::Pairs(_) => None,
        });
        hosts.unwrap()
    }

    fn explained(
        flows: &[Flow],
        subject: Subject,
        related: &[&str],
        services: &[ServicePort],
    ) -> Anomaly {
        let span = WindowSpan { start: flows[0].end.floor(60), seconds: 60, truncated: false };
        let finding = Finding {
            detector: "test",
            kind: Kind::BruteForce,
            subject,
            window: span,
            probability: 1e-4,
            strength: 0.5,
            features: vec![],
            reason: "did it".into(),
            related: related.iter().map(|text| ip(text)).collect(),
            services: services.to_vec(),
        };
        let all = conversations(flows);
        let mut anomaly = fuse(span, vec![finding]).remove(0);
        Conversations::new(&all).explain(&mut anomaly);
        anomaly
    }

    /// From a client to a server of ours.
    fn ssh(number: u16) -> FlowBuilder {
        let base = flow().from("10.0.0.66").from_port(40_000 + number).to("10.0.0.21").to_port(22);
        base.flags(0x1b).bytes(3_000 + u64::from(number)).packets(20).at(i64::from(number))
    }

    const SSH: ServicePort = ServicePort { protocol: Protocol::TCP, port: 22 };

    #[test]
    fn the_flows_shown_are_those_that_the_findings_are_about() {
        let download = flow().from("10.0.0.66").to("93.184.216.34").to_port(443).bytes(9_000_000);
        let mut flows: Vec<_> = (0..12).map(|number| ssh(number).build()).collect();
        flows.push(download.flags(0x1b).build());
        let source = Subject::Source(ip("10.0.0.66"));
        let of = |anomaly: &Anomaly| -> Vec<_> {
            anomaly.flows.iter().map(|flow| (flow.destination.port.unwrap(), flow.bytes)).collect()
        };
        let ssh_flows: Vec<_> = (0..5).map(|n| (22, 3_011 - n)).collect();
        assert_eq!(of(&explained(&flows, source, &[], &[SSH])), ssh_flows, "by the service");
        assert_eq!(of(&explained(&flows, source, &["10.0.0.21"], &[])), ssh_flows, "by the host");
        let all = explained(&flows, source, &[], &[]);
        assert_eq!(of(&all)[0], (443, 9_000_000), "a finding about the host as a whole");
        let pair = Subject::Pair(ip("10.0.0.21"), ip("10.0.0.66"));
        assert_eq!(of(&explained(&flows, pair, &[], &[])), ssh_flows, "either direction of a pair");
        let prefix = Subject::Prefix(ip("10.0.0.0"), 24);
        assert_eq!(of(&explained(&flows, prefix, &[], &[])), ssh_flows, "servers of a prefix");
        assert_eq!(of(&explained(&flows, Subject::Network, &[], &[]))[0].0, 443);
        assert!(explained(&flows, Subject::Exporter(ip("10.0.0.1")), &[], &[]).flows.is_empty());
        assert_eq!(all.sampled, None, "every packet was seen");
    }

    #[test]
    fn counts_of_sampled_packets_come_with_their_error() {
        let flows: Vec<_> = (0..4).map(|n| ssh(n).packets(6).sampled(1_000).build()).collect();
        let anomaly = explained(&flows, Subject::Source(ip("10.0.0.66")), &[], &[SSH]);
        assert_eq!(anomaly.sampled, Some(SampledCounts { seen_packets: 24, packets: 24_000 }));
        let end = "Sampled about 1:1000: counts are estimates from 24 packets (±40 %).";
        assert!(anomaly.sentence.ends_with(end), "{}", anomaly.sentence);
    }
}
