//! More, or less, than at this hour of the week.
//!
//! The network and the busiest hosts have a baseline of their own for every hour of the week; all
//! other hosts share one: what the busiest of them usually does. Hosts are judged by their last ten
//! windows together, and what is calibrated is the excess over the host's own usual band, in bytes
//! and in flows, each for itself: a hundred times as much of nothing matters to nobody. At an hour at
//! which a host was never seen, its busiest hour stands for what is usual. Hosts outside are not judged:
//! what a popular server sends is its own business, and what it sends to us shows at our hosts. Hours
//! are those of UTC. A host that is silent is not missed.

mod season;

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::features::{
    DestinationWindow, HostCounters, HostKey, HostsWindow, NetworkWindow, SourceWindow,
};
use crate::model::{FeatureEvidence, Finding, Kind, SettingError, Subject, WindowSpan};

use super::alarms::{self, Alarm, Alarms, Highest, one_in};
use super::rules::Keys;
use super::{Configured, Context, Detector, InternalNetworks, RestoreError, Settings};

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
    /// Senders inside (`networks.internal`) with a baseline of their own, and as many receivers: the
    /// busiest by bytes. About 2 KB each. The others share one.
    pub max_hosts: usize,
    /// Days of a kind (workdays, weekend) on which an hour must have been seen before it is judged;
    /// 1–100. An hour of the week that was seen twice is judged in any case. Until then a host, from
    /// its second day on, is compared with its busiest hour.
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

    fn build(&self, _settings: &Settings, context: &Context) -> Box<dyn Detector> {
        let (config, internal) = (self.clone(), context.internal.clone());
        Box::new(Seasonal { config, internal, state: State::new(&self.alarms) })
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
}

/// The baseline of one subject.
#[derive(Clone, Serialize, Deserialize)]
struct Baseline {
    bytes: Season,
    flows: Season,
    /// Mean bytes per window, as of the window `last`.
    weight: f64,
    /// Its first window and its last one.
    first: i64,
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
        Self { bytes, flows, weight: 0.0, first: now, last: now, recent: VecDeque::new() }
    }

    /// Bytes and flows against what is usual; `None` as long as nothing is.
    fn judge(
        &self,
        side: &Side,
        amount: Amount,
        usual: impl Fn(&Season) -> Option<Usual>,
    ) -> Option<[Verdict; 2]> {
        let one = |season: &Season, name, what, actual| {
            Some(Verdict { name, what, actual, usual: usual(season)? })
        };
        let bytes = one(&self.bytes, side.bytes, "bytes", amount.bytes)?;
        Some([bytes, one(&self.flows, side.flows, "flows", amount.flows)?])
    }

    /// The same of a host and its last windows together.
    ///
    /// At the beginning of an hour some of them belong to the hour before: what is usual is that of
    /// the busier one. Of an hour that is not known yet, after a day, the busiest hour so far is what
    /// is usual.
    fn judge_host(
        &self,
        side: &Side,
        moment: Moment,
        min_days: u8,
        amount: Amount,
    ) -> Option<[Verdict; 2]> {
        let is_known = moment.days_since(self.first) >= 1;
        let [hour, before] = moment.hours();
        self.judge(side, amount, |season| match season.usual(hour, min_days) {
            Some(usual) => {
                let before = season.usual(before, min_days);
                before.filter(|before| before.level > usual.level).or(Some(usual))
            }
            None => season.busiest().filter(|_| is_known),
        })
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
    highest_own: [Highest; 2],
    /// What the busiest host without a baseline of its own usually does.
    shared: Option<Baseline>,
    highest_shared: [Highest; 2],
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
        let numbers = || [Highest::new(alarms), Highest::new(alarms)];
        let hosts = || Hosts {
            own: BTreeMap::new(),
            highest_own: numbers(),
            shared: None,
            highest_shared: numbers(),
        };
        let highest = Highest::new(alarms);
        Self { network: None, highest, senders: hosts(), receivers: hosts() }
    }
}

struct Seasonal {
    config: Config,
    internal: InternalNetworks,
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
    fn days_since(&self, window: i64) -> i64 {
        (self.now - window) * i64::from(self.span.seconds) / 86_400
    }

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

/// A host of which it is known what is usual.
struct Judged {
    host: HostKey,
    /// Bytes and flows.
    verdicts: [Verdict; 2],
}

impl Judged {
    /// The scores: what lies above the host's own usual band, in bytes and in flows. As a number, not
    /// as a factor: among hundreds of quiet hosts there is always one that does a hundred times as
    /// much, and it matters to nobody. A host that does less is at rest.
    fn scores(&self, config: &Config) -> [f64; 2] {
        let score = |verdict: &Verdict, least: f64| {
            let is_large = verdict.actual >= least && verdict.is_far(config.min_factor);
            if is_large { verdict.excess() } else { 0.0 }
        };
        let [bytes, flows] = &self.verdicts;
        [score(bytes, config.min_bytes as f64), score(flows, LEAST_FLOWS)]
    }
}

impl Hosts {
    /// Judges the hosts of a window and learns from it. O(hosts in the window).
    fn close<A: Active>(
        &mut self,
        (config, internal): (&Config, &InternalNetworks),
        side: &Side,
        moment: Moment,
        active: &[A],
        findings: &mut Vec<Finding>,
    ) {
        let mut judged = Vec::new();
        for (&host, own) in &mut self.own {
            let Ok(place) = active.binary_search_by_key(&host, Active::host) else { continue };
            let amount = own.together(moment.now, Amount::of(active[place].counters()));
            let verdicts = own.judge_host(side, moment, config.min_days, amount);
            judged.extend(verdicts.map(|verdicts| Judged { host, verdicts }));
            own.learn(moment.hour, amount);
        }
        let basis = Basis { whose: "it", windows: TOGETHER };
        told(config, side, moment, &mut self.highest_own, judged, basis, findings);
        let strangers = self.strangers(internal, active);
        if let Some(busiest) = strangers.first() {
            let amount = Amount::of(active[*busiest].counters());
            let hour = moment.hour;
            let shared = self.shared.get_or_insert_with(|| Baseline::new(hour, moment.now));
            let usual = |season: &Season| season.usual(hour, config.min_days);
            let verdicts = shared.judge(side, amount, usual);
            let host = active[*busiest].host();
            let judged = verdicts.map(|verdicts| Judged { host, verdicts }).into_iter().collect();
            let basis = Basis { whose: "the busiest of the smaller hosts", windows: 1 };
            told(config, side, moment, &mut self.highest_shared, judged, basis, findings);
            shared.learn(hour, amount);
        }
        self.admit(config, moment, active, &strangers);
    }

    /// Returns the places of the busiest hosts inside without a baseline of their own.
    fn strangers<A: Active>(&self, internal: &InternalNetworks, active: &[A]) -> Vec<usize> {
        let bytes = |place: usize| active[place].counters().bytes;
        let is_stranger = |&n: &usize| {
            let host = active[n].host();
            bytes(n) >= LEAST_BYTES && !self.own.contains_key(&host) && internal.contains(host.ip())
        };
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

/// Adds the findings about hosts of one window: at most one of each, by bytes or by flows, whichever
/// is less probable.
fn told(
    config: &Config,
    side: &Side,
    moment: Moment,
    highest: &mut [Highest; 2],
    judged: Vec<Judged>,
    basis: Basis,
    findings: &mut Vec<Finding>,
) {
    let scores: Vec<_> = judged.iter().map(|judged| judged.scores(config)).collect();
    let mut alarms: BTreeMap<usize, (Alarm, usize)> = BTreeMap::new();
    for (number, highest) in highest.iter_mut().enumerate() {
        let scores: Vec<_> = scores.iter().map(|scores| scores[number]).collect();
        for alarm in highest.judge(&config.alarms, &scores) {
            let known = alarms.entry(alarm.place).or_insert((alarm, number));
            if scores[alarm.place] > 0.0 && alarm.probability < known.0.probability {
                *known = (alarm, number);
            }
        }
    }
    for (place, mut judged) in judged.into_iter().enumerate() {
        let Some((alarm, number)) = alarms.get(&place) else { continue };
        if scores[place][*number] > 0.0 {
            let subject = Subject::Source(judged.host.ip());
            let kind = Kind::UnusualVolume;
            judged.verdicts.rotate_left(*number);
            findings.push(finding(kind, subject, side, moment, alarm, &judged.verdicts, basis));
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
    verdicts: &[Verdict; 2],
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
    /// Judges the network to both sides.
    fn close_network(
        &mut self,
        moment: Moment,
        network: &NetworkWindow,
        findings: &mut Vec<Finding>,
    ) {
        let (config, hour) = (&self.config, moment.hour);
        let counters = &network.counters;
        let amount = Amount { bytes: counters.bytes as f64, flows: counters.flows as f64 };
        let own = self.state.network.get_or_insert_with(|| Baseline::new(hour, moment.now));
        let usual = |season: &Season| season.usual(hour, config.min_days);
        let verdicts = own.judge(&WHOLE, amount, usual);
        own.learn(hour, amount);
        let Some(mut verdicts) = verdicts else { return };
        verdicts.sort_by(|a, b| b.distance().abs().total_cmp(&a.distance().abs()));
        let worst = &verdicts[0];
        let alarm = self.state.highest.judge(&config.alarms, &[worst.distance().abs()]).pop();
        if let Some(alarm) = alarm.filter(|_| worst.is_far(config.min_factor)) {
            let (kind, subject) = (Kind::TrafficShift, Subject::Network);
            let basis = Basis { whose: "it", windows: 1 };
            findings.push(finding(kind, subject, &WHOLE, moment, &alarm, &verdicts, basis));
        }
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
            for highest in hosts.highest_own.iter_mut().chain(&mut hosts.highest_shared) {
                *highest = highest.clone().under(alarms);
            }
        }
        self.state = state;
        Ok(())
    }

    fn close_hosts(&mut self, window: &HostsWindow, findings: &mut Vec<Finding>) {
        let start = window.span.start;
        let now = start.seconds().div_euclid(i64::from(window.span.seconds.max(1)));
        let moment = Moment { span: window.span, hour: Hour::of(start), now };
        self.close_network(moment, &window.network, findings);
        let (rules, state) = ((&self.config, &self.internal), &mut self.state);
        state.senders.close(rules, &SENT, moment, &window.sources, findings);
        state.receivers.close(rules, &RECEIVED, moment, &window.destinations, findings);
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
    fn an_hour_that_is_not_known_yet_is_compared_with_the_busiest() {
        let mut detector = Config::default().build(&Settings::default(), &Context::default());
        // A host that is up by day alone: its nights are not known.
        let by_day = |n: &i64| (8..18).contains(&(n % DAY / 60));
        let flows: Vec<_> = (0..4 * DAY).filter(by_day).flat_map(window).collect();
        assert_eq!(run(&mut *detector, &flows), []);
        let night = 4 * DAY + 3 * 60;
        let flows = [transfer(night, 30_000_000), transfer(night + 1, 900_000_000)];
        let found = run(&mut *detector, &flows);
        let [finding] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(finding.subject, Subject::Source(ip("10.0.0.1")));
        assert!(finding.reason.starts_with("sent 9300"), "{}", finding.reason);
    }

    #[test]
    fn bytes_and_flows_are_calibrated_apart() {
        let mut detector = Config::default().build(&Settings::default(), &Context::default());
        let mut flows: Vec<_> = (0..4 * DAY).flat_map(window).collect();
        // Every night a hundred thousand flows; then, by day, bytes.
        for day in 1..4 {
            let at = day * DAY + 120;
            flows.extend((0..3_000).map(|_| transfer(at, 100)));
        }
        flows.sort_by_key(|flow| flow.end);
        run(&mut *detector, &flows);
        let noon = 4 * DAY + 12 * 60;
        let flows: Vec<_> =
            window(noon).into_iter().chain([transfer(noon, 9_000_000_000)]).collect();
        let found = run(&mut *detector, &flows);
        let host = Subject::Source(ip("10.0.0.1"));
        let finding = found.iter().find(|finding| finding.subject == host).expect("the server");
        assert_eq!(finding.features[0].name, "sumOfBytes");
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
        let (state, internal) = (State::new(&config.alarms), InternalNetworks::default());
        let mut detector = Seasonal { config, internal, state };
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
