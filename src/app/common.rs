//! What several commands need.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use chrono::Utc;

use crate::alerts::{SharedRules, Withheld};
use crate::cli::Mode;
use crate::config::{Config, DeadLetterSettings};
use crate::detect::learned::SharedModel;
use crate::detect::{self, Detector, Entries, SharedList};
use crate::enrich::{Enricher, SharedEnricher};
use crate::model::Timestamp;
use crate::pipeline::{DeadLetters, Stop, Summary};
use crate::scorer::{Fold, MergedScorer, Scorer};
use crate::setup;
use crate::sinks::{LetterFile, LetterIndex, LetterTopic, printable};
use crate::sources::Present;
use crate::stores::{Cluster, ClusterSettings, ClusterStore, EmbeddedConfig, EmbeddedStore, Store};

/// The present.
pub(super) fn now() -> Timestamp {
    Timestamp::from_utc(Utc::now())
}

/// The present, as sources judge records by it.
pub(super) fn present(config: &Config) -> Present {
    Present { now, ahead_seconds: config.windows.clock_ahead_seconds }
}

/// Prints one line to standard output.
pub(super) fn print_line(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")
}

/// How long a cluster that does not answer at the start is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// Not at all: a person waits for the command.
    None,
    /// As long as the settings say: nobody looks at a worker that ended.
    OfSettings,
}

/// Connects to the cluster of the settings; `None` when the embedded store is the store.
pub(super) fn open_cluster(config: &Config, patience: Patience) -> anyhow::Result<Option<Cluster>> {
    let Some((flavour, settings)) = config.output.cluster() else { return Ok(None) };
    let connect = |settings: &ClusterSettings| {
        Cluster::connect(flavour, settings)
            .with_context(|| format!("connecting to {}", flavour.name()))
    };
    if patience == Patience::None {
        connect(&ClusterSettings { retry_seconds: 0, ..settings.clone() })?;
    }
    connect(settings).map(Some)
}

/// Opens the store of the settings to read from it.
pub(super) fn open_store(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    store_on(open_cluster(config, Patience::None)?, config)
}

/// Opens the store of the settings to write into it: a cluster must have been set up.
pub(super) fn open_store_to_write(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    let cluster = open_cluster(config, Patience::None)?;
    cluster.as_ref().map_or(Ok(()), |cluster| ensure_set_up(cluster, config))?;
    store_on(cluster, config)
}

/// Ends with the way out where the cluster is not ready for documents.
pub(super) fn ensure_set_up(cluster: &Cluster, config: &Config) -> anyhow::Result<()> {
    let scope = super::setup::scope(config, setup::Selection::ALL)?;
    Ok(setup::guard(cluster, config.setup, scope)?)
}

/// Returns `cluster` as store; without one the embedded store of the settings.
pub(super) fn store_on(
    cluster: Option<Cluster>,
    config: &Config,
) -> anyhow::Result<Arc<dyn Store>> {
    match cluster {
        Some(cluster) => Ok(Arc::new(ClusterStore::new(cluster))),
        None => Ok(Arc::new(open_embedded(config)?)),
    }
}

/// Opens the embedded store of the settings.
pub(super) fn open_embedded(config: &Config) -> anyhow::Result<EmbeddedStore> {
    let path = config.store_path();
    EmbeddedStore::open(EmbeddedConfig::at(&path))
        .with_context(|| format!("opening the store in `{}`", path.display()))
}

/// Reads files of addresses into one list.
pub(super) fn read_entries(paths: &[PathBuf]) -> anyhow::Result<Entries> {
    let mut bytes = Vec::new();
    for path in paths {
        let read = std::fs::read(path)
            .with_context(|| format!("reading the blacklist `{}`", path.display()))?;
        bytes.extend_from_slice(&read);
        bytes.push(b'\n');
    }
    Ok(Entries::parse(&bytes))
}

/// Reads the files of the settings that tell places and names; `None` when there are none.
pub(super) fn open_enrichment(config: &Config) -> anyhow::Result<Option<SharedEnricher>> {
    if config.enrichment.files().is_empty() {
        return Ok(None);
    }
    Ok(Some(SharedEnricher::new(Enricher::read(&config.enrichment)?)))
}

/// Opens the place of dead letters that `settings` name, where there is one; `store` is asked for the
/// store when they go there. A place that is away is waited for until `stop`, without one not at all.
pub(super) fn open_dead_letters(
    config: &Config,
    settings: &DeadLetterSettings,
    store: &dyn Fn() -> anyhow::Result<Arc<dyn Store>>,
    stop: Option<&Stop>,
) -> anyhow::Result<DeadLetters> {
    let (waiting, stopping) = (stop.cloned(), stop.cloned());
    let give_up = Box::new(move |pause| waiting.as_ref().is_none_or(|stop| stop.wait(pause)));
    if let Some(path) = &settings.path {
        let file = LetterFile::open(path)
            .with_context(|| format!("opening the dead letters `{}`", path.display()))?;
        return Ok(DeadLetters::new(file, give_up, now));
    }
    if let (Some(topic), Some(kafka)) = (&settings.topic, &config.input.kafka) {
        let is_stopped = Box::new(move || stopping.as_ref().is_some_and(Stop::is_asked));
        let topic = LetterTopic::new(kafka.clone(), topic.clone(), is_stopped);
        return Ok(DeadLetters::new(topic, give_up, now));
    }
    if settings.index {
        let index = LetterIndex::new(store()?, config.namespace()?);
        return Ok(DeadLetters::new(index, give_up, now));
    }
    Ok(DeadLetters::discarded())
}

/// Returns what detectors share; `blacklist` can be swapped at any time.
pub(super) fn detect_context(
    config: &Config,
    blacklist: SharedList,
    learned: SharedModel,
) -> detect::Context {
    let internal =
        config.networks.networks().expect("the settings were checked when they were read");
    detect::Context { blacklist, internal, learned }
}

/// Makes scorers of the settings with a shared list of addresses.
pub(super) struct ScorerFactory<'a> {
    pub(super) config: &'a Config,
    pub(super) context: detect::Context,
    pub(super) mode: Mode,
    /// What people decided about alerts; `None` without a store: the settings alone count.
    pub(super) rules: Option<SharedRules>,
}

impl ScorerFactory<'_> {
    fn detectors(&self) -> Vec<Box<dyn Detector>> {
        match self.mode {
            Mode::Collect => Vec::new(),
            Mode::Detect => detect::build(&self.config.detectors, &self.context)
                .expect("the settings were checked when they were read"),
        }
    }

    /// Returns a scorer that has seen nothing.
    pub(super) fn make(&self) -> Scorer {
        let Config { windows, alerts, .. } = &self.config;
        let mut scorer = Scorer::new(windows.clone(), alerts.clone(), self.detectors());
        self.rules.iter().for_each(|rules| scorer.follow(rules.clone()));
        scorer
    }

    /// Returns a fold that has seen nothing.
    pub(super) fn make_fold(&self) -> Fold {
        Fold::new(self.config.windows.clone(), self.detectors())
    }

    /// Returns a scorer of partials that has seen nothing; `log` is the number of their partition.
    pub(super) fn make_merged(&self, log: u32) -> MergedScorer {
        let Config { windows, alerts, .. } = &self.config;
        let mut scorer = MergedScorer::new(windows.clone(), alerts.clone(), self.detectors(), log);
        self.rules.iter().for_each(|rules| scorer.follow(rules.clone()));
        scorer
    }
}

/// Returns the numbers of a run as label and value, for the report.
pub(super) fn summary_facts(summary: &Summary) -> Vec<(String, String)> {
    let counters = &summary.counters;
    [
        ("Records read", summary.records),
        ("Records rejected", summary.rejected_total()),
        ("Flows scored", counters.flows),
        ("Flows late", counters.late),
        ("Wrong exporter clocks", counters.clock_skew),
        ("Unknown sampling rate", counters.unknown_sampling),
        ("Windows", counters.windows),
        ("Anomalies", counters.anomalies),
    ]
    .map(|(label, number)| (label.to_owned(), grouped(number)))
    .to_vec()
}

/// Returns the numbers of a run in words, for standard error.
pub(super) fn summary_text(summary: &Summary, seconds: f64) -> String {
    let counters = &summary.counters;
    let mut text = String::new();
    let rate = counters.flows as f64 / seconds.max(1e-9);
    let _ = writeln!(
        text,
        "Scored {} flows of {} records in {seconds:.1} s ({} flows/s).",
        grouped(counters.flows),
        grouped(summary.records),
        grouped(rate as u64),
    );
    if let Some((first, last)) = summary.extent {
        let sorted = if summary.sorted { ", sorted by time first" } else { "" };
        let _ = writeln!(text, "  time       {first} to {last}{sorted}",);
        let _ = writeln!(
            text,
            "  windows    {} of hosts with {} sources and {} destinations; {} pairs",
            grouped(counters.windows),
            grouped(counters.sources),
            grouped(counters.destinations),
            grouped(counters.pairs),
        );
    }
    let _ = writeln!(
        text,
        "  found      {} anomalies, {} alerts",
        grouped(counters.anomalies),
        grouped(counters.alerts)
    );
    if counters.withheld.total() > 0 {
        let withheld = grouped(counters.withheld.total());
        let _ = writeln!(
            text,
            "  withheld   {withheld} alerts for `alerts.budget_per_day`: {}",
            withheld_words(counters.withheld)
        );
    }
    if summary.rejected_total() > 0 {
        let reasons: Vec<_> =
            summary.rejected.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        let _ = writeln!(
            text,
            "  rejected   {} records: {}",
            grouped(summary.rejected_total()),
            reasons.join(", ")
        );
        for sample in &summary.rejected_samples {
            let _ = writeln!(text, "             {}", printable(sample));
        }
    }
    let capture = &summary.capture;
    let notes = [
        (capture.not_ip, "packets carry no IP and make no flow"),
        (capture.ended_early, "flows were ended early under `input.capture.max_flows`"),
        (counters.late, "flows came late and only passed the checks of single flows"),
        (counters.clock_skew, "flows had a wrong clock; their receive time was taken"),
        (counters.unknown_sampling, "flows do not say their sampling rate; 1 was taken"),
        (counters.overflow, "additions found no room under `windows.max_subjects`"),
    ];
    for (count, note) in notes.iter().filter(|(count, _)| *count > 0) {
        let _ = writeln!(text, "  note       {} {note}", grouped(*count));
    }
    for problem in &summary.problems {
        let _ = writeln!(text, "  problem    {}", printable(problem));
    }
    text
}

/// Alerts that the budget held back, by kind: `port_scan_vertical 12, new_port 3`.
pub(super) fn withheld_words(withheld: Withheld) -> String {
    let by_kind = withheld.by_kind().map(|(kind, count)| format!("{kind} {}", grouped(count)));
    by_kind.collect::<Vec<_>>().join(", ")
}

/// A number with thousands separators.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Creates a folder with its parents.
pub(super) fn make_folder(path: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(path)
        .with_context(|| format!("creating the folder `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
