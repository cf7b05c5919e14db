//! Pairs outside Tukey's outer fence (S1.4), calibrated against the past.
//!
//! Traffic is heavy-tailed: the bare fence flags one to ten pairs in a hundred, every ten seconds.
//! So how far a pair lies outside the fence is compared with the farthest pair of each of the last
//! windows, and only what is rare among those is a finding.

use serde::{Deserialize, Serialize};

use crate::features::{PairWindow, PairsWindow};
use crate::model::{FeatureEvidence, Finding, Kind, SettingError};

use super::rules::{Keys, strength_of};
use super::{Calibrator, Configured, Context, Detector, RestoreError, Settings};

const ID: &str = "iqr";

/// Settings of the detector `iqr`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the detector takes part.
    pub enabled: bool,
    /// Interquartile ranges from the quartiles to the fence; positive. Higher: fewer pairs are
    /// looked at.
    pub factor: f64,
    /// Pairs that a window must have for its quartiles to mean something; at least 4.
    pub min_pairs: u64,
    /// The numbers of a pair that are judged.
    pub features: Vec<PairFeature>,
    /// Windows (10 s each) that a score is compared with; at least 1. The default is one day, so
    /// that a nightly backup has its like in the memory. 8 bytes per window, feature and list.
    pub memory_windows: u64,
    /// Windows (10 s each) before the first finding; at least 1. Whatever is set here, nothing can
    /// be found before `features / max_probability` windows, because so many are needed to call
    /// anything that rare (3.7 hours by default).
    pub warm_up_windows: u64,
    /// Findings are made up to this probability (0–1), corrected for the number of features. Lower:
    /// fewer. With like traffic, this share of the windows has a finding.
    pub max_probability: f64,
    /// Most findings in one window, the most improbable first; at least 1.
    pub max_per_window: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            factor: 3.0,
            min_pairs: 8,
            features: PairFeature::ALL.to_vec(),
            memory_windows: 8_640,
            warm_up_windows: 360,
            max_probability: 0.003,
            max_per_window: 5,
        }
    }
}

impl Configured for Config {
    fn is_enabled(&self) -> bool {
        self.enabled
    }

    fn check(&self) -> Result<(), SettingError> {
        let keys = Keys(ID);
        keys.positive("factor", self.factor)?;
        keys.at_least("min_pairs", self.min_pairs, 4)?;
        keys.at_least("features", self.features.len() as u64, 1)?;
        keys.at_least("memory_windows", self.memory_windows, 1)?;
        keys.at_least("warm_up_windows", self.warm_up_windows, 1)?;
        keys.positive("max_probability", self.max_probability)?;
        keys.fraction("max_probability", self.max_probability)?;
        keys.at_least("max_per_window", self.max_per_window, 1)
    }

    fn build(&self, _settings: &Settings, _context: &Context) -> Box<dyn Detector> {
        Box::new(Iqr::new(self.clone()))
    }
}

/// A number of a pair that can be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PairFeature {
    /// Bytes from source to destination.
    BytesUp,
    /// Bytes that came back.
    BytesDw,
    /// Flow records.
    NumConns,
    /// Distinct destination ports.
    NumDstPort,
}

impl PairFeature {
    /// Every feature that can be judged.
    pub const ALL: [Self; 4] = [Self::BytesUp, Self::BytesDw, Self::NumConns, Self::NumDstPort];

    /// The published name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BytesUp => "bytes_up",
            Self::BytesDw => "bytes_dw",
            Self::NumConns => "num_conns",
            Self::NumDstPort => "num_dst_port",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::BytesUp => "bytes sent",
            Self::BytesDw => "bytes returned",
            Self::NumConns => "connections",
            Self::NumDstPort => "destination ports",
        }
    }

    fn of(self, pair: &PairWindow) -> f64 {
        let value = match self {
            Self::BytesUp => pair.counters.bytes_up,
            Self::BytesDw => pair.counters.bytes_down,
            Self::NumConns => pair.counters.conns,
            Self::NumDstPort => pair.destination_ports.count(),
        };
        value as f64
    }
}

/// Quartiles and the fence around them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fence {
    /// First quartile.
    pub q1: f64,
    /// Median.
    pub median: f64,
    /// Third quartile.
    pub q3: f64,
    /// Values below lie outside.
    pub lower: f64,
    /// Values above lie outside.
    pub upper: f64,
}

/// Why there is no fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoBasis {
    /// Fewer values than asked for.
    TooFew,
    /// Half of the values are alike: every other value would be "outside".
    NoSpread,
}

impl Fence {
    /// Returns the fence `factor` interquartile ranges outside the quartiles.
    pub fn around(q1: f64, median: f64, q3: f64, factor: f64) -> Self {
        let reach = factor * (q3 - q1);
        Self { q1, median, q3, lower: q1 - reach, upper: q3 + reach }
    }

    /// Interquartile ranges outside the fence on a logarithmic scale, ln(1 + distance / range); 0
    /// inside. Orders of magnitude count alike, as sizes of transfers do.
    pub fn score(&self, value: f64) -> f64 {
        let outside = (value - self.upper).max(self.lower - value);
        if outside <= 0.0 {
            return 0.0;
        }
        (outside / (self.q3 - self.q1)).ln_1p()
    }
}

/// Returns the fence of `values` (their order is lost), with quartiles by linear interpolation, as
/// NumPy has them. O(n).
///
/// # Errors
/// [`NoBasis`] with fewer than `min_values` values or an interquartile range of 0.
pub fn fence(values: &mut [f64], factor: f64, min_values: usize) -> Result<Fence, NoBasis> {
    if values.len() < min_values.max(1) {
        return Err(NoBasis::TooFew);
    }
    let [q1, median, q3] = [0.25, 0.5, 0.75].map(|q| select_quantile(values, q));
    if q3 <= q1 {
        return Err(NoBasis::NoSpread);
    }
    Ok(Fence::around(q1, median, q3, factor))
}

/// [`crate::features::quantile`] without sorting everything. `values` must not be empty.
fn select_quantile(values: &mut [f64], q: f64) -> f64 {
    let place = q * (values.len() - 1) as f64;
    let (_, &mut below, rest) = values.select_nth_unstable_by(place as usize, f64::total_cmp);
    let above = rest.iter().copied().min_by(f64::total_cmp).unwrap_or(below);
    below + (above - below) * place.fract()
}

/// Calibrated fences.
struct Iqr {
    config: Config,
    /// One per feature of the settings.
    calibrators: Vec<Calibrator>,
    values: Vec<f64>,
}

/// A pair outside a fence.
struct Outlier {
    pair: usize,
    feature: PairFeature,
    value: f64,
    fence: Fence,
    score: f64,
    probability: f64,
    strength: f64,
}

impl Iqr {
    fn new(config: Config) -> Self {
        let memory = config.memory_windows as usize;
        let calibrators = config.features.iter().map(|_| Calibrator::new(memory)).collect();
        Self { config, calibrators, values: Vec::new() }
    }

    /// Returns the improbable pairs of one feature and remembers the window.
    fn outliers(&mut self, place: usize, pairs: &[PairWindow]) -> Vec<Outlier> {
        let feature = self.config.features[place];
        self.values.clear();
        self.values.extend(pairs.iter().map(|pair| feature.of(pair)));
        let min_pairs = self.config.min_pairs as usize;
        let Ok(fence) = fence(&mut self.values, self.config.factor, min_pairs) else {
            return Vec::new();
        };
        let calibrator = &mut self.calibrators[place];
        let is_warm = calibrator.len() as u64 >= self.config.warm_up_windows;
        let features = self.config.features.len() as f64;
        let (mut highest, mut outliers) = (0.0f64, Vec::new());
        for (pair, window) in pairs.iter().enumerate() {
            let value = feature.of(window);
            let score = fence.score(value);
            highest = highest.max(score);
            if score <= 0.0 || !is_warm {
                continue;
            }
            // Each feature is one more chance to be improbable (Bonferroni).
            let probability = (calibrator.probability(score) * features).min(1.0);
            let limit = self.config.max_probability;
            if probability <= limit {
                let strength = strength_of(probability, limit, calibrator.floor() * features);
                outliers.push(Outlier {
                    pair,
                    feature,
                    value,
                    fence,
                    score,
                    probability,
                    strength,
                });
            }
        }
        calibrator.record(highest);
        outliers
    }

    fn finding(&self, window: &PairsWindow, outliers: &[Outlier]) -> Finding {
        let worst = &outliers[0];
        let pair = &window.pairs[worst.pair];
        let evidence = |outlier: &Outlier| FeatureEvidence {
            name: outlier.feature.name().into(),
            actual: outlier.value,
            typical: Some(outlier.fence.median),
            lower: Some(outlier.fence.lower.max(0.0)),
            upper: Some(outlier.fence.upper),
            share: None,
        };
        let times = (1.0 / worst.probability).round();
        Finding {
            detector: ID,
            kind: Kind::VolumeOutlier,
            subject: pair.subject(),
            window: window.span,
            probability: worst.probability,
            strength: worst.strength,
            features: outliers.iter().map(evidence).collect(),
            reason: format!(
                "{} {} within {} s (typical pair: {}; fence: {:.0}), farther out than all but one in {times} windows",
                worst.value,
                worst.feature.words(),
                window.span.seconds,
                worst.fence.median,
                worst.fence.upper,
            ),
            related: Vec::new(),
            services: Vec::new(),
        }
    }
}

impl Detector for Iqr {
    fn id(&self) -> &'static str {
        ID
    }

    fn save(&self) -> Vec<u8> {
        let state: Vec<_> = self.config.features.iter().zip(&self.calibrators).collect();
        serde_json::to_vec(&state).expect("features and calibrators are plain data")
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
        let state: Vec<(PairFeature, Calibrator)> =
            serde_json::from_slice(state).map_err(|error| RestoreError::new(ID, error))?;
        for (feature, calibrator) in state {
            if let Some(place) = self.config.features.iter().position(|&known| known == feature) {
                let memory = self.config.memory_windows as usize;
                self.calibrators[place] = calibrator.resized(memory);
            }
        }
        Ok(())
    }

    fn close_pairs(&mut self, window: &PairsWindow, findings: &mut Vec<Finding>) {
        let features = 0..self.config.features.len();
        let mut outliers: Vec<_> =
            features.flat_map(|place| self.outliers(place, &window.pairs)).collect();
        if outliers.is_empty() {
            return;
        }
        let rank = |outlier: &Outlier| (outlier.probability, -outlier.score);
        let worse_first = |a: &Outlier, b: &Outlier| {
            let ((a_probability, a_score), (b_probability, b_score)) = (rank(a), rank(b));
            a_probability.total_cmp(&b_probability).then(a_score.total_cmp(&b_score))
        };
        outliers.sort_by(|a, b| a.pair.cmp(&b.pair).then(worse_first(a, b)));
        let mut pairs: Vec<_> = outliers.chunk_by(|a, b| a.pair == b.pair).collect();
        // Stable: equally bad pairs stay in the order of their addresses.
        pairs.sort_by(|a, b| worse_first(&a[0], &b[0]));
        pairs.truncate(self.config.max_per_window as usize);
        findings.extend(pairs.into_iter().map(|outliers| self.finding(window, outliers)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::pairs_windows;
    use crate::testkit::flow;
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn the_golden_fences_are_reproduced() {
        let mut values = [1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 3.0, 30.0];
        let fence = fence(&mut values, 3.0, 8).unwrap();
        assert_eq!((fence.q1, fence.q3, fence.lower, fence.upper), (1.0, 2.0, -2.0, 5.0));
        let outside: Vec<_> =
            values.into_iter().filter(|&value| fence.score(value) > 0.0).collect();
        assert_eq!(outside, [30.0]);
        let published = Fence::around(318.0, 0.0, 9999.25, 3.0);
        assert_eq!((published.lower, published.upper), (-28_725.75, 39_043.0));
    }

    #[test]
    fn without_a_basis_there_is_no_fence() {
        assert_eq!(fence(&mut [], 3.0, 8), Err(NoBasis::TooFew));
        assert_eq!(fence(&mut [1.0, 2.0, 3.0], 3.0, 8), Err(NoBasis::TooFew));
        assert_eq!(fence(&mut [1.0; 9], 3.0, 8), Err(NoBasis::NoSpread));
    }

    /// Windows of 40 pairs with heavy-tailed sizes; the pair 10.0.0.1>10.0.1.1 sends `extra` bytes
    /// more in the last one.
    fn found(windows: i64, extra: u64, config: Config) -> Vec<Finding> {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let mut detector = Iqr::new(config);
        let mut findings = Vec::new();
        for n in 0..windows {
            let flows: Vec<_> = (1..=40)
                .map(|host| {
                    let size = 100.0 / random.random_range(0.001..1.0f64);
                    let is_odd = host == 1 && n + 1 == windows;
                    flow()
                        .from(&format!("10.0.0.{host}"))
                        .to(&format!("10.0.1.{host}"))
                        .bytes(size as u64 + if is_odd { extra } else { 0 })
                        .at(n * 10)
                        .build()
                })
                .collect();
            for window in pairs_windows(&flows) {
                detector.close_pairs(&window, &mut findings);
            }
        }
        findings
    }

    fn quick() -> Config {
        let features = vec![PairFeature::BytesUp];
        Config { features, max_probability: 0.005, warm_up_windows: 100, ..Config::default() }
    }

    #[test]
    fn a_transfer_larger_than_all_before_is_found_and_explained() {
        let findings = found(500, 1 << 40, quick());
        let last = findings.last().unwrap();
        assert_eq!(last.subject.to_string(), "10.0.0.1>10.0.1.1");
        assert_eq!((last.kind, last.strength), (Kind::VolumeOutlier, 1.0));
        assert_eq!(last.probability, 1.0 / 500.0);
        assert_eq!(last.features[0].name, "bytes_up");
        assert!(last.features[0].actual > last.features[0].upper.unwrap());
        assert!(last.reason.contains("bytes sent within 10 s"), "{}", last.reason);
    }

    #[test]
    fn heavy_tails_alone_are_found_as_often_as_the_setting_says() {
        let findings = found(4_000, 0, quick());
        // 0.5 % of 3,900 windows is 20; four standard deviations of a Poisson count either way.
        assert!((2..=38).contains(&findings.len()), "{}", findings.len());
    }

    #[test]
    fn nothing_is_found_during_the_warm_up() {
        let config = Config { warm_up_windows: 1_000, ..quick() };
        assert_eq!(found(500, 1 << 40, config), []);
    }

    #[test]
    fn a_window_names_at_most_so_many_pairs() {
        let mut detector = Iqr::new(Config { max_per_window: 2, ..quick() });
        let window = |big: u64| {
            let flows: Vec<_> = (1..=40u64)
                .map(|host| {
                    let size = if host <= 5 { big * host } else { host };
                    flow().to(&format!("10.0.1.{host}")).bytes(size).build()
                })
                .collect();
            pairs_windows(&flows).remove(0)
        };
        let mut findings = Vec::new();
        (0..400).for_each(|_| detector.close_pairs(&window(1), &mut findings));
        assert_eq!(findings, []);
        detector.close_pairs(&window(1 << 30), &mut findings);
        let subjects: Vec<_> = findings.iter().map(|f| f.subject.to_string()).collect();
        assert_eq!(subjects, ["10.0.0.1>10.0.1.5", "10.0.0.1>10.0.1.4"]);
    }

    proptest! {
        #[test]
        fn selected_quantiles_are_sorted_quantiles(
            values in prop::collection::vec(-100i32..100, 1..60),
            q in 0.0..=1.0f64,
        ) {
            let mut values: Vec<_> = values.into_iter().map(f64::from).collect();
            let selected = select_quantile(&mut values, q);
            values.sort_unstable_by(f64::total_cmp);
            let expected = crate::features::quantile(&values, q).unwrap();
            prop_assert!((selected - expected).abs() < 1e-9);
        }
    }
}
