//! More, or less, than at this hour of the week.
//!
//! The network and the busiest hosts have a baseline of their own for every hour of the week; all
//! other hosts share one: what the busiest of them usually does. Hosts are judged by their last ten
//! windows together, and what is calibrated is their excess over their own usual band as a share of
//! what the network usually carries: a hundred times as much of nothing matters to nobody. Hours are
//! those of UTC. A host that is silent is not missed.

mod season;

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::features::{
    DestinationWindow, HostCounters, HostKey, HostsWindow, NetworkWindow, SourceWindow,
};
use crate::model::{FeatureEvidence, Finding, Kind, SettingError, Subject, WindowSpan};

use super::alarms::{self, Alarm, Alarms, Highest, one_in};
use super::rules::Keys;
use super::{Configured, Context, Detector, RestoreError, Settings};

use season::{Hour, Season, Usual};

const ID: &str = "seasonal";
/// The usual band: so many spreads to both sides.
const BAND: f64 = 3.0;
/// Hosts are judged by their last windows together: single ones differ too much to tell anything.
const TOGETHER: i64 = 10;
/// Fewer flows of a host in these windows are never too many.
const LEAST_FLOWS: f64 = 1_000.0;
/// Hosts that get a baseline of their own in one window, the busiest first. A flood of new hosts
/// replaces the old ones slowly.
const NEW_PER_WINDOW: usize = 8;
/// Hosts with fewer bytes in a window are nobody to remember.
const LEAST_BYTES: u64 = 10_000;
/// The mean of a host's bytes spans so many windows.
const WEIGHT_WINDOWS: f64 = 1_440.0;

/// Settings of the detector `seasonal`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the detector takes part.
    pub enabled: bool,
    /// Senders with a baseline of their own, and as many receivers: the busiest by bytes. About 2 KB
    /// each. The others share one.
    pub max_hosts: usize,
    /// Days of a kind (workdays, weekend) on which an hour must have been seen before it is judged;
    /// 1–100. An hour of the week that was seen twice is judged in any case.
    pub min_days: u8,
    /// What is found is at least so many times, or so small a part of, what is usual; above 1.
    pub min_factor: f64,
    /// Bytes of a host in ten windows (ten minutes) below which it is never too much.
    pub min_bytes: u64,
    /// When findings are made. The warm-up counts windows for which something was usual.
    pub alarms: Alarms,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            max_hosts: 1_000,
            min_days: 3,
            min_factor: 3.0,
            min_bytes: 10_000_000,
            alarms: Alarms::default(),
        }
    }
}

impl Configured for Config {
    fn is_enabled(&self) -> bool {
        self.enabled
    }

    fn check(&self) -> Result<(), SettingError> {
        let keys = Keys(ID);
        keys.at_least("max_hosts", self.max_hosts as u64, 1)?;
        keys.at_least("min_days", u64::from(self.min_days), 1)?;
        keys.at_most("min_days", u64::from(self.min_days), 100)?;
        keys.above("min_factor", self.min_factor, 1.0)?;
        self.alarms.check(&keys)
    }

    fn build(&self, _settings: &Settings, _context: &Context) -> Box<dyn Detector> {
        Box::new(Seasonal { config: self.clone(), state: State::new(&self.alarms) })
    }
}

/// What a side of the traffic calls its numbers.
struct Side {
    bytes: &'static str,
    flows: &'static str,
    verb: &'static str,
}

const SENT: Side = Side { bytes: "sumOfBytes", flows: "sumOfFlows", verb: "sent" };
const RECEIVED: Side = Side { bytes: "destSumOfBytes", flows: "destSumOfFlows", verb: "received" };
const WHOLE: Side = Side { bytes: "bytes", flows: "flows", verb: "carried" };

/// The numbers of a subject in a window, or in some.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Amount {
    bytes: f64,
    flows: f64,
}

impl Amount {
    fn of(counters: &HostCounters) -> Self {
        Self { bytes: counters.bytes as f64, flows: counters.records as f64 }
    }

    fn times(self, windows: i64) -> Self {
        Self { bytes: self.bytes * windows as f64, flows: self.flows * windows as f64 }
    }
}

/// The baseline of one subject.
#[derive(Clone, Serialize, Deserialize)]
struct Baseline {
    bytes: Season,
    flows: Season,
    /// Mean bytes per window, as of the window `last`.
    weight: f64,
    last: i64,
    /// Of a host: its last windows by number, the oldest first.
    recent: VecDeque<(i64, Amount)>,
}

/// One number against its baseline.
struct Verdict {
    name: &'static str,
    what: &'static str,
    actual: f64,
    usual: Usual,
}

impl Verdict {
    /// In spreads; negative below.
    fn distance(&self) -> f64 {
        self.usual.distance(self.actual)
    }

    /// What lies above the usual band.
    fn excess(&self) -> f64 {
        (self.actual - self.bound(BAND)).max(0.0)
    }

    fn bound(&self, spreads: f64) -> f64 {
        (self.usual.level + spreads * self.usual.spread).exp_m1()
    }

    fn typical(&self) -> f64 {
        self.usual.level.exp_m1().max(0.0)
    }

    /// At least so many times what is usual, or so small a part of it.
    fn is_far(&self, factor: f64) -> bool {
        (self.actual.ln_1p() - self.usual.level).abs() >= factor.ln()
    }

    fn evidence(&self) -> FeatureEvidence {
        FeatureEvidence {
            name: self.name.into(),
            actual: self.actual,
            typical: Some(self.typical().round()),
            lower: Some(self.bound(-BAND).max(0.0).round()),
            upper: Some(self.bound(BAND).round()),
            share: None,
        }
    }
}

impl Baseline {
    fn new(hour: Hour, now: i64) -> Self {
        let (bytes, flows) = (Season::new(hour), Season::new(hour));
        Self { bytes, flows, weight: 0.0, last: now, recent: VecDeque::new() }
    }

    /// The two numbers against what is usual; none as long as nothing is.
    ///
    /// At the beginning of an hour some windows belong to the hour before; `hours` are both, and what
    /// is usual is that of the busier one.
    fn judge(&self, side: &Side, hours: [Hour; 2], min_days: u8, amount: Amount) -> Vec<Verdict> {
        let one = |season: &Season, name, what, actual| {
            let usual = season.usual(hours[0], min_days)?;
            let before = season.usual(hours[1], min_days).filter(|it| it.level > usual.level);
            Some(Verdict { name, what, actual, usual: before.unwrap_or(usual) })
        };
        let bytes = one(&self.bytes, side.bytes, "bytes", amount.bytes);
        bytes.into_iter().chain(one(&self.flows, side.flows, "flows", amount.flows)).collect()
    }

    /// Takes in a window and returns what it and those before it hold together.
    fn together(&mut self, now: i64, amount: Amount) -> Amount {
        self.weight = self.weight_at(now) + amount.bytes / WEIGHT_WINDOWS;
        self.last = now;
        self.recent.retain(|(window, _)| *window > now - TOGETHER);
        self.recent.push_back((now, amount));
        let sum = |of: fn(&Amount) -> f64| self.recent.iter().map(|(_, amount)| of(amount)).sum();
        Amount { bytes: sum(|amount| amount.bytes), flows: sum(|amount| amount.flows) }
    }

    fn learn(&mut self, hour: Hour, amount: Amount) {
        self.bytes.learn(hour, amount.bytes);
        self.flows.learn(hour, amount.flows);
    }

    fn weight_at(&self, now: i64) -> f64 {
        self.weight * (-((now - self.last).max(0) as f64) / WEIGHT_WINDOWS).exp()
    }
}

/// The baselines of all senders, or of all receivers.
#[derive(Clone, Serialize, Deserialize)]
struct Hosts {
    own: BTreeMap<HostKey, Baseline>,
    highest_own: Highest,
    /// What the busiest host without a baseline of its own usually does.
    shared: Option<Baseline>,
    highest_shared: Highest,
}

#[derive(Clone, Serialize, Deserialize)]
struct State {
    network: Option<Baseline>,
    highest: Highest,
    senders: Hosts,
    receivers: Hosts,
}

impl State {
    fn new(alarms: &Alarms) -> Self {
        let hosts = || Hosts {
            own: BTreeMap::new(),
            highest_own: Highest::new(alarms),
            shared: None,
            highest_shared: Highest::new(alarms),
        };
        let highest = Highest::new(alarms);
        Self { network: None, highest, senders: hosts(), receivers: hosts() }
    }
}

struct Seasonal {
    config: Config,
    state: State,
}

/// When a window is.
#[derive(Clone, Copy)]
struct Moment {
    span: WindowSpan,
    hour: Hour,
    now: i64,
}

impl Moment {
    /// The hour of the window, and that of the first one that is judged together with it.
    fn hours(&self) -> [Hour; 2] {
        let earlier = (TOGETHER - 1) * i64::from(self.span.seconds);
        [self.hour, Hour::of(self.span.start.plus_seconds(-earlier))]
    }
}

/// Hosts of a window in ascending order.
trait Active {
    fn host(&self) -> HostKey;
    fn counters(&self) -> &HostCounters;
}

impl Active for SourceWindow {
    fn host(&self) -> HostKey {
        self.host()
    }

    fn counters(&self) -> &HostCounters {
        &self.counters
    }
}

impl Active for DestinationWindow {
    fn host(&self) -> HostKey {
        HostKey::new(self.ip())
    }

    fn counters(&self) -> &HostCounters {
        &self.counters
    }
}

/// What a number is compared with.
#[derive(Clone, Copy)]
struct Basis {
    /// Whose usual numbers they are, in words.
    whose: &'static str,
    /// Windows that are judged together.
    windows: i64,
}

/// A host that does more than usual, if what is usual is known.
struct Judged {
    host: HostKey,
    verdicts: Vec<Verdict>,
    score: f64,
}

impl Judged {
    /// The score is the excess over the host's own usual band as a share of what the whole network
    /// usually carries (`carried`): among hundreds of quiet hosts there is always one that does a
    /// hundred times as much, and it matters to nobody. A host that does less is at rest.
    fn new(config: &Config, host: HostKey, carried: Amount, mut verdicts: Vec<Verdict>) -> Self {
        let score = |verdict: &Verdict| {
            let (least, carried) = match verdict.what {
                "bytes" => (config.min_bytes as f64, carried.bytes),
                _ => (LEAST_FLOWS, carried.flows),
            };
            let is_large = verdict.actual >= least && verdict.is_far(config.min_factor);
            if is_large { verdict.excess() / carried.max(1.0) } else { 0.0 }
        };
        verdicts.sort_by(|a, b| score(b).total_cmp(&score(a)));
        let score = verdicts.first().map_or(0.0, score);
        Self { host, verdicts, score }
    }
}

impl Hosts {
    /// Judges the hosts of a window and learns from it. O(hosts in the window).
    fn close<A: Active>(
        &mut self,
        config: &Config,
        side: &Side,
        (moment, carried): (Moment, Option<Amount>),
        active: &[A],
        findings: &mut Vec<Finding>,
    ) {
        let mut judged = Vec::new();
        for (&host, own) in &mut self.own {
            let Ok(place) = active.binary_search_by_key(&host, Active::host) else { continue };
            let amount = own.together(moment.now, Amount::of(active[place].counters()));
            let verdicts = own.judge(side, moment.hours(), config.min_days, amount);
            if let Some(carried) = carried.filter(|_| !verdicts.is_empty()) {
                judged.push(Judged::new(config, host, carried.times(TOGETHER), verdicts));
            }
            own.learn(moment.hour, amount);
        }
        let basis = Basis { whose: "it", windows: TOGETHER };
        told(config, side, moment, &mut self.highest_own, &judged, basis, findings);
        let strangers = self.strangers(active);
        if let Some(busiest) = strangers.first() {
            let amount = Amount::of(active[*busiest].counters());
            let hour = moment.hour;
            let shared = self.shared.get_or_insert_with(|| Baseline::new(hour, moment.now));
            let verdicts = shared.judge(side, [hour; 2], config.min_days, amount);
            if let Some(carried) = carried.filter(|_| !verdicts.is_empty()) {
                let judged = [Judged::new(config, active[*busiest].host(), carried, verdicts)];
                let basis = Basis { whose: "the busiest of the smaller hosts", windows: 1 };
                told(config, side, moment, &mut self.highest_shared, &judged, basis, findings);
            }
            shared.learn(hour, amount);
        }
        self.admit(config, moment, active, &strangers);
    }

    /// Returns the places of the busiest hosts without a baseline of their own.
    fn strangers<A: Active>(&self, active: &[A]) -> Vec<usize> {
        let bytes = |place: usize| active[place].counters().bytes;
        let is_stranger =
            |&n: &usize| bytes(n) >= LEAST_BYTES && !self.own.contains_key(&active[n].host());
        let mut places: Vec<_> = (0..active.len()).filter(is_stranger).collect();
        let by_bytes = |place: &usize| (std::cmp::Reverse(bytes(*place)), *place);
        if places.len() > NEW_PER_WINDOW {
            places.select_nth_unstable_by_key(NEW_PER_WINDOW - 1, by_bytes);
            places.truncate(NEW_PER_WINDOW);
        }
        places.sort_unstable_by_key(by_bytes);
        places
    }

    /// Gives the busiest strangers a baseline, in the place of hosts that have become quiet.
    fn admit<A: Active>(
        &mut self,
        config: &Config,
        moment: Moment,
        active: &[A],
        strangers: &[usize],
    ) {
        while self.own.len() > config.max_hosts {
            self.own.pop_last();
        }
        let is_full = self.own.len() + strangers.len() > config.max_hosts;
        let mut quietest: Vec<_> = if is_full && !strangers.is_empty() {
            let weights = self.own.iter().map(|(host, own)| (own.weight_at(moment.now), *host));
            weights.collect()
        } else {
            Vec::new()
        };
        quietest.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut quietest = quietest.into_iter();
        for &place in strangers {
            let (host, amount) = (active[place].host(), Amount::of(active[place].counters()));
            if self.own.len() >= config.max_hosts {
                let Some((weight, quiet)) = quietest.next() else { return };
                // One window is held to be as good as a day's mean.
                if weight >= amount.bytes / WEIGHT_WINDOWS {
                    return;
                }
                self.own.remove(&quiet);
            }
            let mut own = Baseline::new(moment.hour, moment.now);
            own.together(moment.now, amount);
            own.learn(moment.hour, amount);
            self.own.insert(host, own);
        }
    }
}

/// Adds the findings about hosts of one window.
fn told(
    config: &Config,
    side: &Side,
    moment: Moment,
    highest: &mut Highest,
    judged: &[Judged],
    basis: Basis,
    findings: &mut Vec<Finding>,
) {
    let scores: Vec<_> = judged.iter().map(|judged| judged.score).collect();
    for alarm in highest.judge(&config.alarms, &scores) {
        let judged = &judged[alarm.place];
        if judged.score > 0.0 {
            let subject = Subject::Source(judged.host.ip());
            let kind = Kind::UnusualVolume;
            findings.push(finding(kind, subject, side, moment, &alarm, &judged.verdicts, basis));
        }
    }
}

/// `verdicts` has the farthest first.
fn finding(
    kind: Kind,
    subject: Subject,
    side: &Side,
    moment: Moment,
    alarm: &Alarm,
    verdicts: &[Verdict],
    Basis { whose, windows }: Basis,
) -> Finding {
    let worst = &verdicts[0];
    let seconds = windows * i64::from(moment.span.seconds);
    let stretch =
        if windows > 1 { format!("{} min", seconds / 60) } else { format!("{seconds} s") };
    Finding {
        detector: ID,
        kind,
        subject,
        window: moment.span,
        probability: alarm.probability,
        strength: alarm.strength,
        features: verdicts.iter().map(Verdict::evidence).collect(),
        reason: format!(
            "{} {} {} within {stretch} (typical for {whose} at this hour: {:.0}); {}",
            side.verb,
            worst.actual,
            worst.what,
            worst.typical(),
            one_in(alarm.probability),
        ),
        related: Vec::new(),
        services: Vec::new(),
    }
}

impl Seasonal {
    /// Judges the network to both sides; returns what it usually carries in a window.
    fn close_network(
        &mut self,
        moment: Moment,
        network: &NetworkWindow,
        findings: &mut Vec<Finding>,
    ) -> Option<Amount> {
        let (config, hour) = (&self.config, moment.hour);
        let counters = &network.counters;
        let amount = Amount { bytes: counters.bytes as f64, flows: counters.flows as f64 };
        let own = self.state.network.get_or_insert_with(|| Baseline::new(hour, moment.now));
        let mut verdicts = own.judge(&WHOLE, [hour; 2], config.min_days, amount);
        own.learn(hour, amount);
        let carried = match verdicts.as_slice() {
            [bytes, flows] => Some(Amount { bytes: bytes.typical(), flows: flows.typical() }),
            _ => None,
        };
        verdicts.sort_by(|a, b| b.distance().abs().total_cmp(&a.distance().abs()));
        let worst = verdicts.first()?;
        let score = worst.distance().abs();
        let alarm = self.state.highest.judge(&config.alarms, &[score]).pop();
        if let Some(alarm) = alarm.filter(|_| worst.is_far(config.min_factor)) {
            let (kind, subject) = (Kind::TrafficShift, Subject::Network);
            let basis = Basis { whose: "it", windows: 1 };
            findings.push(finding(kind, subject, &WHOLE, moment, &alarm, &verdicts, basis));
        }
        carried
    }
}

impl Detector for Seasonal {
    fn id(&self) -> &'static str {
        ID
    }

    fn save(&self) -> Vec<u8> {
        alarms::save(&self.state)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
        let mut state: State = alarms::restore(ID, state)?;
        let alarms = &self.config.alarms;
        state.highest = state.highest.under(alarms);
        for hosts in [&mut state.senders, &mut state.receivers] {
            hosts.highest_own = hosts.highest_own.clone().under(alarms);
            hosts.highest_shared = hosts.highest_shared.clone().under(alarms);
        }
        self.state = state;
        Ok(())
    }

    fn close_hosts(&mut self, window: &HostsWindow, findings: &mut Vec<Finding>) {
        let start = window.span.start;
        let now = start.seconds().div_euclid(i64::from(window.span.seconds.max(1)));
        let moment = Moment { span: window.span, hour: Hour::of(start), now };
        let carried = self.close_network(moment, &window.network, findings);
        let (config, state) = (&self.config, &mut self.state);
        state.senders.close(config, &SENT, (moment, carried), &window.sources, findings);
        state.receivers.close(config, &RECEIVED, (moment, carried), &window.destinations, findings);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::run;
    use crate::model::Flow;
    use crate::testkit::{flow, ip};

    const DAY: i64 = 1_440;

    /// A server that sends 5 MB a minute by day and little by night, and two desks.
    fn window(n: i64) -> Vec<Flow> {
        let is_day = (8..18).contains(&(n % DAY / 60));
        let size = |host: i64| {
            let noise = 1.0 + ((n * 7 + host * 3) % 11) as f64 / 20.0;
            let level = if host == 1 && is_day { 5e6 } else { 3e4 * host as f64 };
            (level * noise) as u64
        };
        let one = |host: i64| {
            let from = format!("10.0.0.{host}");
            flow().from(&from).to("198.51.100.1").to_port(443).bytes(size(host)).at(n * 60).build()
        };
        (1..4).map(one).collect()
    }

    fn transfer(n: i64, bytes: u64) -> Flow {
        flow().from("10.0.0.1").to("198.51.100.9").to_port(443).bytes(bytes).at(n * 60).build()
    }

    #[test]
    fn what_is_usual_by_day_is_too_much_by_night() {
        let mut detector = Config::default().build(&Settings::default(), &Context::default());
        // Sixteen days; 1970 began on a Thursday.
        let flows: Vec<_> = (0..16 * DAY).flat_map(window).collect();
        let before = run(&mut *detector, &flows);
        assert!(before.len() <= 4, "{before:?}");
        let noon = 16 * DAY + 12 * 60;
        let flows: Vec<_> = window(noon).into_iter().chain([transfer(noon, 500_000)]).collect();
        assert_eq!(run(&mut *detector, &flows), []);
        let night = 17 * DAY + 3 * 60;
        let flows: Vec<_> =
            window(night).into_iter().chain([transfer(night, 50_000_000)]).collect();
        let found = run(&mut *detector, &flows);
        let host = Subject::Source(ip("10.0.0.1"));
        let finding = found.iter().find(|finding| finding.subject == host).expect("the server");
        assert_eq!(finding.kind, Kind::UnusualVolume);
        assert!(finding.reason.starts_with("sent 5003"), "{}", finding.reason);
        assert!(found.iter().any(|finding| finding.subject == Subject::Network), "{found:?}");
    }

    #[test]
    fn a_restart_changes_nothing() {
        let build = || Config::default().build(&Settings::default(), &Context::default());
        let (mut kept, mut restarted) = (build(), build());
        let flows: Vec<_> = (0..6 * DAY).flat_map(window).collect();
        run(&mut *kept, &flows);
        restarted.restore(&kept.save()).unwrap();
        assert!(restarted.save() == kept.save());
        let flows: Vec<_> = (6 * DAY..9 * DAY).flat_map(window).collect();
        assert_eq!(run(&mut *restarted, &flows), run(&mut *kept, &flows));
        assert!(restarted.save() == kept.save());
    }

    #[test]
    fn only_so_many_hosts_have_a_baseline() {
        let config = Config { max_hosts: 5, ..Config::default() };
        let mut detector = Seasonal { state: State::new(&config.alarms), config };
        let one = |n: i64| {
            let from = format!("10.0.{}.1", n % 50);
            flow().from(&from).bytes(1_000 * (n % 50).cast_unsigned()).at(n / 50 * 60).build()
        };
        let flows: Vec<_> = (0..5_000).map(one).collect();
        run(&mut detector, &flows);
        let own: Vec<_> = detector.state.senders.own.keys().map(|host| host.ip()).collect();
        assert_eq!(own, [45, 46, 47, 48, 49].map(|n| ip(&format!("10.0.{n}.1"))));
    }
}
