//! Closed windows → findings. One file per detector, all listed in [`DETECTORS`].
//!
//! A detector sees every flow that is counted (for checks of single flows) and every window once it
//! is closed, and answers with [`Finding`]s. It is pure: no clock, no I/O, bounded memory, and its
//! answers depend on the flows and its settings alone, not on their order within a window.
//!
//! A new detector is one file with its `Config` and [`Configured`] for it, and two lines below: its
//! module and its entry in the table.

use serde::{Deserialize, Serialize};

use crate::features::{HostsWindow, PairsWindow};
use crate::model::{Finding, Flow, SettingError, Timestamp, WindowSpan};

mod alarms;
mod calibration;
mod network;
mod novelty;
mod pending;
mod recent;
mod rules;
mod services;
mod tail;
#[cfg(test)]
mod testing;
mod tunnel;

pub mod beacon;
pub mod blacklist;
pub mod brute_force;
pub mod carpet_bombing;
pub mod change_point;
pub mod dbscan;
pub mod dns_tunnel;
pub mod entropy;
pub mod exfiltration;
pub mod forest;
pub mod hbos;
pub mod icmp_tunnel;
pub mod iqr;
pub mod kmeans;
pub mod knn;
pub mod lateral_movement;
pub mod learned;
pub mod long_connection;
pub mod networks;
pub mod new_peer;
pub mod new_port;
pub mod new_service;
pub mod pca;
pub mod ping_sweep;
pub mod port_scan;
pub mod reflector;
pub mod sanity;
pub mod seasonal;
pub mod slow_scan;
pub mod syn_flood;
pub mod too_many_ports;
pub mod udp_amplification;
pub mod unanswered_storm;

pub use alarms::Alarms;
pub use blacklist::{Blacklist, Entries, NamedList, SharedList};
pub use calibration::Calibrator;
pub use networks::InternalNetworks;
pub use novelty::Hosts;
pub use tail::Tail;

/// Finds one family of abnormal behaviour.
pub trait Detector: Send {
    /// The id: its key under `detectors.` in the settings and its name in documents.
    fn id(&self) -> &'static str;

    /// Looks at one flow. `window` is the open long window (60 s) that findings of this flow belong
    /// to: its own, or the oldest open one when the flow came late. Findings wait for
    /// [`Detector::close_hosts`] of that window.
    fn observe(&mut self, _flow: &Flow, _window: WindowSpan) {}

    /// Judges the pairs of a closed short window (10 s).
    fn close_pairs(&mut self, _window: &PairsWindow, _findings: &mut Vec<Finding>) {}

    /// Judges the hosts and the network of a closed long window (60 s).
    fn close_hosts(&mut self, _window: &HostsWindow, _findings: &mut Vec<Finding>) {}

    /// Takes what it noted of single flows for the window that starts at `start`, and for earlier
    /// ones, so that another detector of the same kind can judge them. In pieces of some 64 KiB that
    /// can be added one by one; none when there is nothing. A function of the flows, not of their
    /// order.
    fn take_notes(&mut self, _start: Timestamp) -> Vec<Vec<u8>> {
        Vec::new()
    }

    /// Adds notes of another source partition to those for the window that starts at `start`. The
    /// order does not matter.
    ///
    /// # Errors
    /// The notes are damaged; the detector stays as it was.
    fn add_notes(&mut self, _start: Timestamp, _notes: &[u8]) -> Result<(), NotesError> {
        Ok(())
    }

    /// Returns what it learned from closed windows, for a snapshot; empty when it learns nothing.
    /// Notes of open windows are not part of it: a replay of their flows brings them back.
    fn save(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Continues from what [`Detector::save`] gave, in place of what it learned itself. Settings may
    /// have changed in between; what no longer fits is dropped.
    ///
    /// # Errors
    /// The state is damaged; the detector stays as it was.
    fn restore(&mut self, _state: &[u8]) -> Result<(), RestoreError> {
        Ok(())
    }
}

/// The saved state of a detector cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the saved state of detector `{detector}` is damaged, start without it to learn anew")]
pub struct RestoreError {
    /// The detector's id.
    pub detector: &'static str,
    source: serde_json::Error,
}

impl RestoreError {
    fn new(detector: &'static str, source: serde_json::Error) -> Self {
        Self { detector, source }
    }
}

/// Notes that [`Detector::take_notes`] gave cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the notes of detector `{detector}` are damaged")]
pub struct NotesError {
    /// The detector's id.
    pub detector: &'static str,
    source: postcard::Error,
}

/// Settings that a detector can be built from.
pub trait Configured {
    /// Whether the detector takes part.
    fn is_enabled(&self) -> bool;

    /// Checks every value; the error names the setting by its full key.
    fn check(&self) -> Result<(), SettingError>;

    /// Returns the detector. `settings` are those of all detectors, already checked.
    fn build(&self, settings: &Settings, context: &Context) -> Box<dyn Detector>;
}

/// What detectors share with the world outside the settings.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// The listed addresses; whoever holds a clone can swap them at any time.
    pub blacklist: SharedList,
    /// Which addresses are inside.
    pub internal: InternalNetworks,
    /// The learned model; whoever holds a clone can swap it at any time.
    pub learned: learned::SharedModel,
}

/// One row of the table of detectors.
#[derive(Clone, Copy)]
pub struct Entry {
    /// The key under `detectors.` and the name in documents.
    pub id: &'static str,
    /// Returns the detector's own settings.
    pub settings: fn(&Settings) -> &dyn Configured,
}

/// Makes [`Settings`] and [`DETECTORS`] of one list.
macro_rules! table {
    ($($id:ident: $title:literal,)*) => {
        /// The settings of all detectors, `detectors.<id>.*`.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Settings {
            $(#[doc = $title] pub $id: $id::Config,)*
        }

        /// Every detector, in the order in which they judge a window.
        pub const DETECTORS: &[Entry] = &[
            $(Entry { id: stringify!($id), settings: |settings| &settings.$id },)*
        ];
    };
}

table! {
    beacon: "Regular calls to a rare place.",
    blacklist: "Traffic from or to listed addresses.",
    brute_force: "Guessed passwords.",
    carpet_bombing: "Floods over a prefix.",
    change_point: "A network whose volume moves to another level and stays there.",
    dbscan: "Hosts in empty places between the clusters of past hosts.",
    dns_tunnel: "Data in DNS queries.",
    entropy: "A network whose ports or addresses are suddenly more or less alike.",
    exfiltration: "Large uploads to rare places.",
    forest: "Hosts that a streaming random cut forest parts from all others.",
    hbos: "Hosts with rare values in many numbers.",
    icmp_tunnel: "Data in ICMP echoes.",
    iqr: "Pairs outside the outer fence of their window, calibrated against the past.",
    kmeans: "Hosts far from every group of hosts.",
    knn: "Hosts whose nearest past hosts are unusual, or far.",
    lateral_movement: "Administrative services on many new hosts.",
    learned: "Hosts that a learned model calls an attack.",
    long_connection: "Connections that stay open for hours.",
    new_peer: "New places outside that a host answers.",
    new_port: "First use of a service port by a host.",
    new_service: "New services of a host.",
    pca: "Hosts whose numbers do not go together as usual.",
    ping_sweep: "Echo requests to many new hosts.",
    port_scan: "Many ports or hosts tried within a minute.",
    reflector: "Servers that are abused to amplify.",
    sanity: "Reserved ports, broadcasts, flows without bytes.",
    seasonal: "More, or less, than at this hour of the week.",
    slow_scan: "Many ports or hosts tried over many minutes.",
    syn_flood: "Connection attempts far beyond the answers.",
    too_many_ports: "Hosts that contact far more ports than nearly all others.",
    udp_amplification: "Large answers that nobody asked for.",
    unanswered_storm: "The same place tried over and over.",
}

/// Checks the settings of every detector, switched on or not.
pub fn check(settings: &Settings) -> Result<(), SettingError> {
    DETECTORS.iter().try_for_each(|entry| (entry.settings)(settings).check())
}

/// Returns the detectors that are switched on, in the order of the table.
///
/// # Errors
/// The first setting that cannot be used.
pub fn build(
    settings: &Settings,
    context: &Context,
) -> Result<Vec<Box<dyn Detector>>, SettingError> {
    check(settings)?;
    let configured = DETECTORS.iter().map(|entry| (entry.settings)(settings));
    let enabled = configured.filter(|config| config.is_enabled());
    Ok(enabled.map(|config| config.build(settings, context)).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use proptest::prelude::*;
    use proptest::strategy::ValueTree;

    use super::*;
    use crate::features::mix;
    use crate::model::Kind;
    use crate::testkit::flow;

    /// Kinds that the traffic made here cannot hold; the tests of their detectors make it.
    const NEED_TRAFFIC_OF_THEIR_OWN: [Kind; 17] = [
        Kind::SynFlood,
        Kind::UdpAmplification,
        Kind::CarpetBombing,
        Kind::Reflector,
        Kind::BruteForce,
        Kind::LateralMovement,
        Kind::UnansweredStorm,
        Kind::IcmpTunnel,
        Kind::DnsTunnel,
        Kind::Beacon,
        Kind::Exfiltration,
        Kind::LongConnection,
        Kind::NewService,
        Kind::NewPeer,
        Kind::UnusualHost,
        Kind::UnusualVolume,
        Kind::TrafficShift,
    ];

    /// All detectors, nearly without learning.
    fn eager() -> Vec<Box<dyn Detector>> {
        let context = Context::default();
        context.blacklist.set(Arc::new(Blacklist::parse(b"10.0.1.7")));
        let mut settings = Settings::default();
        settings.new_port.warm_up_hours = 0;
        settings.new_port.host_hours = 0;
        settings.iqr.warm_up_windows = 1;
        settings.iqr.max_probability = 1.0;
        build(&settings, &context).unwrap()
    }

    fn findings_of(flows: &[Flow]) -> Vec<Finding> {
        let all = eager().into_iter().map(|mut detector| testing::run(&mut *detector, flows));
        all.flatten().collect()
    }

    fn any_flow() -> impl Strategy<Value = Flow> {
        (0i64..240, 1u8..5, 0u8..40, 0u16..90, 0u64..5_000, 0u8..4).prop_map(
            |(second, from, to, port, bytes, form)| {
                let flow = flow().from(&format!("10.0.0.{from}")).to(&format!("10.0.1.{to}"));
                // Few hosts scan many ports, many scan few, some do neither.
                let flow = match form {
                    0 => flow.to_port(port).syn(),
                    1 => flow.to("10.0.1.1").to_port(port).syn(),
                    2 => flow.to_port(port % 3).flags(0x1b),
                    _ => flow.to_port(445).syn(),
                };
                flow.bytes(bytes).at(second).build()
            },
        )
    }

    /// Much of what single flows are checked for.
    fn any_odd_flow() -> impl Strategy<Value = Flow> {
        (any_flow(), 0u8..4, 0u8..50).prop_map(|(mut flow, form, peer)| {
            let listed = Some("10.0.1.7".parse().unwrap());
            let peer = Some([10, 0, 2, peer].into());
            match form {
                0 => (flow.source.ip, flow.destination.ip) = (listed, peer),
                1 => (flow.source.ip, flow.destination.ip) = (peer, listed),
                2 => flow.destination.port = Some(81),
                _ => {}
            }
            flow
        })
    }

    #[test]
    fn the_made_traffic_holds_every_kind() {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let flows = prop::collection::vec(any_flow(), 600).new_tree(&mut runner).unwrap().current();
        let kinds: BTreeSet<_> = findings_of(&flows).iter().map(|finding| finding.kind).collect();
        let missing: BTreeSet<_> =
            Kind::ALL.into_iter().filter(|kind| !kinds.contains(kind)).collect();
        assert_eq!(missing, BTreeSet::from(NEED_TRAFFIC_OF_THEIR_OWN));
    }

    #[test]
    fn damaged_states_are_refused_by_whoever_keeps_one() {
        for mut detector in build(&Settings::default(), &Context::default()).unwrap() {
            let keeps_one = !detector.save().is_empty();
            let refused = detector.restore(b"{\"half\":").is_err();
            assert_eq!(refused, keeps_one, "{}", detector.id());
        }
    }

    proptest! {
        // Each case opens some thirty windows, half a megabyte each.
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_restored_detector_goes_on_as_if_nothing_had_happened(
            flows in prop::collection::vec(any_flow(), 0..600),
        ) {
            let (before, after): (Vec<_>, Vec<_>) =
                flows.into_iter().partition(|flow| flow.end < Timestamp::from_seconds(120));
            for (mut kept, mut restarted) in eager().into_iter().zip(eager()) {
                testing::run(&mut *kept, &before);
                restarted.restore(&kept.save()).unwrap();
                prop_assert!(restarted.save() == kept.save(), "{}", kept.id());
                let expected = testing::run(&mut *kept, &after);
                prop_assert_eq!(testing::run(&mut *restarted, &after), expected);
            }
        }

        #[test]
        fn notes_of_parts_are_the_notes_of_the_whole(
            flows in prop::collection::vec(any_odd_flow(), 0..600),
            parts in prop::collection::vec(0usize..3, 600),
        ) {
            let part = |n| {
                let own = flows.iter().zip(&parts).filter(move |(_, part)| **part == n);
                own.map(|(flow, _)| flow.clone()).collect::<Vec<_>>()
            };
            for (number, mut whole) in eager().into_iter().enumerate() {
                let mut joined = eager().swap_remove(number);
                for n in [2, 0, 1] {
                    testing::move_notes(&mut *eager().swap_remove(number), &part(n), &mut *joined);
                }
                let expected = testing::run(&mut *whole, &flows);
                prop_assert_eq!(testing::close(&mut *joined, &flows), expected);
            }
        }

        #[test]
        fn no_detector_depends_on_the_order_of_flows(
            flows in prop::collection::vec(any_flow(), 0..600),
            seed in any::<u64>(),
        ) {
            let mut shuffled: Vec<_> = flows.iter().cloned().enumerate().collect();
            shuffled.sort_by_key(|(place, _)| mix(seed ^ *place as u64));
            let shuffled: Vec<_> = shuffled.into_iter().map(|(_, flow)| flow).collect();
            let findings = findings_of(&flows);
            prop_assert_eq!(&findings, &findings_of(&shuffled));
            for finding in findings {
                prop_assert_eq!(finding.subject.subject_type(), finding.kind.subject_type());
                prop_assert_eq!(finding.window.seconds, finding.kind.window_seconds());
                prop_assert!(finding.probability > 0.0 && finding.probability <= 1.0);
                prop_assert!((0.0..=1.0).contains(&finding.strength));
                prop_assert!(finding.related.len() <= Finding::MAX_RELATED);
                prop_assert!(!finding.features.is_empty() && !finding.reason.ends_with('.'));
            }
        }
    }

    #[test]
    fn damaged_notes_are_refused_by_whoever_takes_some() {
        let odd = flow().from("10.0.1.7").to_port(81).build();
        for mut detector in eager() {
            detector.observe(&odd, testing::window_of(&odd));
            let takes_some = !detector.take_notes(Timestamp::default()).is_empty();
            let refused = detector.add_notes(Timestamp::default(), &[1, 2, 3]).is_err();
            assert_eq!(refused, takes_some, "{}", detector.id());
            assert_eq!(takes_some, ["blacklist", "sanity"].contains(&detector.id()));
        }
    }

    #[test]
    fn every_detector_is_built_under_its_key() {
        let detectors = build(&Settings::default(), &Context::default()).unwrap();
        let built: Vec<_> = detectors.iter().map(|detector| detector.id()).collect();
        // The one needs a model.
        let listed: Vec<_> =
            DETECTORS.iter().map(|entry| entry.id).filter(|id| *id != "learned").collect();
        assert_eq!(built, listed, "all are on by default");
    }

    #[test]
    fn a_detector_that_is_off_is_not_built() {
        let mut settings = Settings::default();
        settings.iqr.enabled = false;
        let detectors = build(&settings, &Context::default()).unwrap();
        assert!(detectors.iter().all(|detector| detector.id() != "iqr"));
    }

    #[test]
    fn an_unknown_detector_is_refused_with_the_list_of_known_ones() {
        let error = serde_yaml_ng::from_str::<Settings>("iqt: {}").unwrap_err().to_string();
        for entry in DETECTORS {
            assert!(error.contains(entry.id), "{error}");
        }
    }

    #[test]
    fn a_bad_value_is_named_by_its_full_key() {
        let settings: Settings = serde_yaml_ng::from_str("iqr: { factor: -1 }").unwrap();
        let error = check(&settings).unwrap_err().to_string();
        assert_eq!(error, "setting `detectors.iqr.factor` must be positive, got -1");
    }

    #[test]
    fn settings_survive_yaml() {
        let text = serde_yaml_ng::to_string(&Settings::default()).unwrap();
        assert_eq!(serde_yaml_ng::from_str::<Settings>(&text).unwrap(), Settings::default());
    }
}
