//! Findings of one closed window → at most one anomaly per subject.
//!
//! Findings about the same thing (a scan that also shows as "too many ports") are correlated: of a
//! group only the worst counts. Groups are taken as independent: their scores combine like
//! probabilities (noisy or), their tail probabilities multiply.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::model::{
    Anomaly, DetectorVerdict, FeatureEvidence, Finding, Score, Subject, WindowSpan, unique,
};

/// Tail probabilities below this say nothing more: no baseline is that long.
const SMALLEST_PROBABILITY: f64 = 1e-12;
/// Beyond so many characters a sentence is no sentence.
const LONGEST_SENTENCE: usize = 600;

/// Returns the anomalies of one window in ascending order of their subjects. Pure: the order of the
/// findings does not matter.
///
/// All findings must be of the window `span`; the span's `truncated` flag goes into the anomalies.
pub fn fuse(span: WindowSpan, findings: Vec<Finding>) -> Vec<Anomaly> {
    let mut by_subject: BTreeMap<Subject, Vec<(Score, Finding)>> = BTreeMap::new();
    for finding in findings {
        let score = score_of(&finding);
        by_subject.entry(finding.subject).or_default().push((score, finding));
    }
    by_subject.into_iter().map(|(subject, findings)| anomaly(span, subject, findings)).collect()
}

/// Places a finding within the score range of its kind.
fn score_of(finding: &Finding) -> Score {
    let (low, high) = finding.kind.score_range();
    let strength = if finding.strength.is_nan() { 0.0 } else { finding.strength.clamp(0.0, 1.0) };
    Score::clamped(low + (high - low) * strength)
}

fn anomaly(span: WindowSpan, subject: Subject, mut findings: Vec<(Score, Finding)>) -> Anomaly {
    findings.sort_by(|(a_score, a), (b_score, b)| {
        let by_score = b_score.value().total_cmp(&a_score.value());
        by_score.then_with(|| (a.kind, a.detector, &a.reason).cmp(&(b.kind, b.detector, &b.reason)))
    });
    let groups = worst_by_group(&findings);
    let ordinary: f64 = groups.values().map(|(score, _)| 1.0 - score / 100.0).product();
    let doubt: f64 = groups.values().map(|&(_, p)| 1.0 - certainty(p)).product();
    let probability: f64 = groups.values().map(|&(_, p)| p).product();
    let reasons = unique(findings.iter().map(|(_, finding)| finding.reason.clone()));
    Anomaly {
        window: span,
        subject,
        kinds: unique(findings.iter().map(|(_, finding)| finding.kind)),
        score: Score::clamped(100.0 * (1.0 - ordinary)),
        confidence: 1.0 - doubt,
        probability: probability.max(SMALLEST_PROBABILITY),
        detectors: findings
            .iter()
            .map(|(score, finding)| DetectorVerdict {
                id: finding.detector,
                kind: finding.kind,
                score: *score,
                probability: finding.probability,
            })
            .collect(),
        features: first_by_name(&findings),
        sentence: sentence(subject, &telling_reasons(&findings)),
        reasons,
        related: related(&findings),
        services: unique(findings.iter().flat_map(|(_, finding)| finding.services.iter().copied())),
        flows: Vec::new(),
        sampled: None,
    }
}

/// Returns, for each group, its highest score and its lowest tail probability.
fn worst_by_group(findings: &[(Score, Finding)]) -> BTreeMap<u8, (f64, f64)> {
    let mut groups = BTreeMap::new();
    for (score, finding) in findings {
        let worst = groups.entry(finding.kind.group()).or_insert((0.0, 1.0));
        worst.0 = f64::max(worst.0, score.value());
        worst.1 = f64::min(worst.1, finding.probability.clamp(SMALLEST_PROBABILITY, 1.0));
    }
    groups
}

/// How sure a tail probability makes: 0 at 1, 0.5 at 10^-3, 0.9 at 10^-10.
fn certainty(probability: f64) -> f64 {
    1.0 - 10f64.powf(probability.log10() / 10.0)
}

fn first_by_name(findings: &[(Score, Finding)]) -> Vec<FeatureEvidence> {
    let mut features: Vec<FeatureEvidence> = Vec::new();
    for feature in findings.iter().flat_map(|(_, finding)| &finding.features) {
        if !features.iter().any(|known| known.name == feature.name) {
            features.push(feature.clone());
        }
    }
    features
}

fn related(findings: &[(Score, Finding)]) -> Vec<IpAddr> {
    let mut hosts =
        unique(findings.iter().flat_map(|(_, finding)| finding.related.iter().copied()));
    hosts.truncate(Finding::MAX_RELATED);
    hosts
}

/// The reason of the worst finding of each group: the others say the same in weaker words.
fn telling_reasons(findings: &[(Score, Finding)]) -> Vec<&str> {
    let groups = unique(findings.iter().map(|(_, finding)| finding.kind.group()));
    let worst = |&group: &u8| findings.iter().find(|(_, finding)| finding.kind.group() == group);
    groups.iter().filter_map(worst).map(|(_, finding)| finding.reason.as_str()).collect()
}

/// Returns one sentence: who did what, and what else.
fn sentence(subject: Subject, reasons: &[&str]) -> String {
    let who = match subject {
        Subject::Network => "The network".to_owned(),
        Subject::Exporter(ip) => format!("Exporter {ip}"),
        Subject::Source(ip) | Subject::Destination(ip) => ip.to_string(),
        Subject::Pair(from, to) => format!("{from} → {to}"),
        Subject::Prefix(..) => format!("Prefix {subject}"),
    };
    let mut text = format!("{who} {}", reasons.join("; "));
    if let Some((end, _)) = text.char_indices().nth(LONGEST_SENTENCE) {
        text.truncate(end);
        text.push('…');
    }
    if !text.ends_with('…') {
        text.push('.');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Kind, Timestamp};
    use proptest::prelude::*;

    const SPAN: WindowSpan =
        WindowSpan { start: Timestamp::from_seconds(60), seconds: 60, truncated: false };

    fn finding(kind: Kind, strength: f64, probability: f64, reason: &str) -> Finding {
        Finding {
            detector: "test",
            kind,
            subject: Subject::Source("10.0.0.1".parse().unwrap()),
            window: SPAN,
            probability,
            strength,
            features: vec![],
            reason: reason.into(),
            related: vec![],
            services: vec![],
        }
    }

    #[test]
    fn correlated_findings_do_not_count_twice() {
        let scan = finding(Kind::PortScanVertical, 0.5, 1e-4, "tried 60 ports");
        let ports = finding(Kind::TooManyPorts, 1.0, 1e-2, "contacted 60 ports");
        let alone = fuse(SPAN, vec![scan.clone()]);
        let both = fuse(SPAN, vec![ports, scan]);
        assert_eq!(alone[0].score, both[0].score);
        assert_eq!(both[0].kinds, [Kind::PortScanVertical, Kind::TooManyPorts]);
        assert_eq!(both[0].sentence, "10.0.0.1 tried 60 ports.", "the weaker words are left out");
        assert_eq!(both[0].reasons, ["tried 60 ports", "contacted 60 ports"]);
    }

    #[test]
    fn independent_findings_raise_score_and_confidence() {
        let scan = finding(Kind::PortScanVertical, 0.5, 1e-4, "a");
        let listed = finding(Kind::Blacklist, 0.5, 1e-4, "b");
        let one = fuse(SPAN, vec![scan.clone()]);
        let two = fuse(SPAN, vec![scan, listed]);
        assert!(two[0].score > one[0].score);
        assert!(two[0].confidence > one[0].confidence);
        assert!(two[0].probability < one[0].probability);
    }

    proptest! {
        #[test]
        fn the_order_of_findings_does_not_matter_and_scores_stay_in_range(
            parts in prop::collection::vec((0usize..8, prop::num::f64::ANY, 0.0f64..2.0), 1..12),
        ) {
            let mut findings: Vec<_> = parts
                .iter()
                .map(|&(kind, strength, p)| finding(Kind::ALL[kind], strength, p, "x"))
                .collect();
            let before = fuse(SPAN, findings.clone());
            findings.reverse();
            let after = fuse(SPAN, findings);
            prop_assert_eq!(before[0].score, after[0].score);
            prop_assert_eq!(&before[0].kinds, &after[0].kinds);
            prop_assert!((0.0..=1.0).contains(&before[0].confidence));
            prop_assert!(before[0].probability > 0.0 && before[0].probability <= 1.0);
        }
    }
}
