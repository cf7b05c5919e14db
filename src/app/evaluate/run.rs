//! One run: files → scorer → what was found → the comparison.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};

use crate::cli::Mode;
use crate::config::Config;
use crate::detect::{InternalNetworks, SharedList};
use crate::evaluate::{
    Attack, Capture, Evaluation, FileFact, Found, Labelled, Presence, Run, checks, rank,
    read_labels,
};
use crate::model::{Timestamp, hex};
use crate::pipeline::{DeadLetters, Finite, Input, Summary, score_files};
use crate::sources::{FileSource, Opening};

use crate::app::collected::Collected;
use crate::app::common::{ScorerFactory, detect_context};
use crate::app::feeds::read_lists;
use crate::app::models::learned_model;
use crate::app::progress::Bar;

/// Scores files with the settings.
pub(in crate::app) struct Runner<'a> {
    factory: ScorerFactory<'a>,
    internal: InternalNetworks,
}

impl<'a> Runner<'a> {
    /// Returns a runner with the lists of the settings and further ones.
    pub(in crate::app) fn new(config: &'a Config, lists: &[PathBuf]) -> anyhow::Result<Self> {
        let context = detect_context(config, SharedList::default(), learned_model(config, None)?);
        context.blacklist.set(Arc::new(read_lists(config, lists)?.0));
        let internal = context.internal.clone();
        Ok(Self {
            factory: ScorerFactory { config, context, mode: Mode::Detect, rules: None },
            internal,
        })
    }

    /// Scores files as one input. Fails when there is no flow in them.
    pub(in crate::app) fn score(&self, paths: &[PathBuf]) -> anyhow::Result<(Summary, Found)> {
        let config = self.factory.config;
        let input = Input { paths: paths.to_vec(), format: config.format()?, ..Input::default() };
        let progress = Bar::new("scoring", None);
        let run = Finite {
            input: &input,
            settings: &config.windows,
            new_scorer: &|| self.factory.make(),
            in_memory_flows: None,
            progress: &progress,
        };
        let results = score_files(&run, &mut DeadLetters::discarded())?;
        progress.clear();
        let mut sink = Collected::default();
        results.spool.release(&mut sink)?;
        if results.summary.counters.flows == 0 {
            let reasons = [&results.summary.problems[..], &results.summary.rejected_samples];
            bail!("no flow could be scored in {}: {}", names(paths), reasons.concat().join("; "));
        }
        Ok((results.summary, sink.0))
    }

    /// Scores files with hidden episodes.
    pub(super) fn episodes(&self, paths: &[PathBuf], attacks: &[Attack]) -> anyhow::Result<Run> {
        let (summary, found) = self.score(paths)?;
        let evaluation = Evaluation::of(attacks, &[], &found, false);
        let capture = Capture::default();
        let presence = self.presence(&capture, paths)?;
        Ok(Run { presence, ..finished(&capture, paths, summary, (evaluation, &found))? })
    }

    /// Scores a capture and compares it with its labels and with what is expected of it.
    pub(super) fn capture(&self, capture: &Capture, paths: &[PathBuf]) -> anyhow::Result<Run> {
        let labelled = labels(capture, paths)?;
        let (summary, found) = self.score(paths)?;
        let extent = summary.extent.unwrap_or_default();
        let mut attacks = labelled.attacks;
        for attack in &mut attacks {
            attack.is_required = !capture.optional.contains(&attack.name);
        }
        attacks.extend(capture.attacks(extent));
        let evaluation = Evaluation::of(&attacks, &labelled.background, &found, capture.labels);
        let presence = self.presence(capture, paths)?;
        Ok(Run { presence, ..finished(capture, paths, summary, (evaluation, &found))? })
    }

    /// Counts how long own hosts were there: those that the truth names, else those inside, else all.
    fn presence(&self, capture: &Capture, paths: &[PathBuf]) -> anyhow::Result<Presence> {
        let mut seen = BTreeMap::<IpAddr, (Timestamp, Timestamp)>::new();
        for path in paths {
            let mut source = FileSource::open(path, &Opening::default())?;
            while let Some(batch) = source.next_batch(false)? {
                for located in batch.flows {
                    let Some(ip) = located.flow.source.ip else { continue };
                    let (start, end) = (located.flow.start, located.flow.end);
                    let (first, last) = seen.entry(ip).or_insert((start, end));
                    (*first, *last) = (start.min(*first), end.max(*last));
                }
            }
        }
        let is_own = |ip: IpAddr| match capture.own.is_empty() {
            true => self.internal.contains(ip),
            false => capture.own.contains(&ip),
        };
        let has_own = seen.keys().any(|&ip| is_own(ip));
        seen.retain(|&ip, _| !has_own || is_own(ip));
        let days = seen.values().map(|(first, last)| last.seconds_since(*first) / 86_400.0);
        Ok(Presence { hosts: seen.len(), host_days: days.sum() })
    }
}

/// Reads the labels of a capture that has them.
fn labels(capture: &Capture, paths: &[PathBuf]) -> anyhow::Result<Labelled> {
    let mut all = Labelled::default();
    for path in paths.iter().filter(|_| capture.labels) {
        let Some(labelled) = read_labels(path)? else {
            bail!("`{}` has no flows with a column of labels", path.display());
        };
        all.attacks.extend(labelled.attacks);
        all.background.extend(labelled.background);
        all.benign += labelled.benign;
    }
    Ok(all)
}

fn finished(
    capture: &Capture,
    paths: &[PathBuf],
    summary: Summary,
    (evaluation, found): (Evaluation, &Found),
) -> anyhow::Result<Run> {
    let first = summary.extent.unwrap_or_default().0;
    let rank = capture.rank.as_ref().map(|wanted| rank(found, wanted, first));
    Ok(Run {
        files: paths.iter().map(|path| file_fact(path)).collect::<anyhow::Result<_>>()?,
        problems: summary.problems,
        flows: summary.counters.flows,
        extent: summary.extent,
        checks: checks(capture, &evaluation, rank.as_ref()),
        evaluation: Some(evaluation),
        rank,
        ..empty(capture, paths)
    })
}

/// A run of which nothing is known yet.
pub(super) fn empty(capture: &Capture, paths: &[PathBuf]) -> Run {
    let files = if capture.files.is_empty() { paths } else { &capture.files };
    let name = files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    let folder = || paths.first().and_then(|path| path.parent()?.file_name());
    let set = match capture.files.is_empty() {
        true => folder().map_or(String::new(), |name| name.to_string_lossy().into_owned()),
        false => capture.set_name(),
    };
    Run {
        set,
        name,
        files: Vec::new(),
        problems: Vec::new(),
        flows: 0,
        extent: None,
        presence: Presence::default(),
        evaluation: None,
        rank: None,
        checks: Vec::new(),
    }
}

/// Paths in words.
pub(super) fn names(paths: &[PathBuf]) -> String {
    let names: Vec<_> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
    names.join(", ")
}

fn file_fact(path: &Path) -> anyhow::Result<FileFact> {
    let context = || format!("reading `{}`", path.display());
    let mut hash = Sha256::new();
    let mut file = File::open(path).with_context(context)?;
    let mut piece = vec![0; 1 << 16];
    loop {
        match file.read(&mut piece).with_context(context)? {
            0 => break,
            length => hash.update(&piece[..length]),
        }
    }
    Ok(FileFact { path: path.display().to_string(), sha256: hex(&hash.finalize()) })
}
