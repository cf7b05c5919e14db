//! `score`: flow records in, ECS documents out.

use std::io::{self, BufWriter, Stdout};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};

use crate::cli::{Mode, Only, OutputForm, ScoreArgs};
use crate::config::{Config, DeadLetterSettings, format_named};
use crate::detect::SharedList;
use crate::pipeline::{DeadLetters, Finite, Input, Stream, Summary, score_files, score_stream};
use crate::sinks::{
    Dataset, Document, EnrichedSink, NdjsonSink, Sink, SinkError, StoreSink, TableSink,
};
use crate::stores::Store;

use super::common::{
    ScorerFactory, detect_context, open_dead_letters, open_enrichment, open_store_to_write,
    present, summary_text,
};
use super::feeds::read_lists;
use super::models::learned_model;
use super::progress::Bar;
use super::{Outcome, rules};

/// Scores files or standard input.
pub(super) fn score(config: &Config, args: &ScoreArgs) -> anyhow::Result<Outcome> {
    let is_stream = args.files.iter().any(|path| path == Path::new("-"));
    if is_stream && args.files.len() > 1 {
        bail!("`-` (standard input) cannot be mixed with files");
    }
    let format = match &args.format {
        None => config.format()?,
        Some(name) => {
            Some(format_named(name).map_err(|problem| anyhow::anyhow!("`--format` {problem}"))?)
        }
    };
    let context = detect_context(config, SharedList::default(), learned_model(config, None)?);
    context.blacklist.set(Arc::new(read_lists(config, &args.blacklist)?.0));
    let letters = match &args.dead_letters {
        Some(path) => DeadLetterSettings { path: Some(path.clone()), ..Default::default() },
        None => config.dead_letters.clone(),
    };
    let store = match args.store || letters.index {
        true => Some(open_store_to_write(config)?),
        false => None,
    };
    let stored = store.as_ref().filter(|_| args.store);
    let rules = stored.map(|store| rules::load(config, store)).transpose()?;
    let factory = ScorerFactory { config, context, mode: Mode::Detect, rules };
    let store_of_letters = || store.clone().context("the store is open");
    let mut dead = open_dead_letters(config, &letters, &store_of_letters, None)?;
    let outputs = Outputs::open(config, args, store.clone(), &dead)?;
    let mut sink = EnrichedSink::new(outputs, open_enrichment(config)?);
    let input = Input {
        paths: args.files.clone(),
        format,
        present: Some(present(config)),
        capture: config.input.capture,
        ..Input::default()
    };
    let progress = Bar::new("scoring", None);
    let begun = Instant::now();
    let summary = if is_stream {
        let stream = Stream {
            input: &input,
            leap_seconds: config.windows.leap_seconds,
            progress: &progress,
        };
        score_stream(&stream, &mut factory.make(), &mut sink, &mut dead)?
    } else {
        let run = Finite {
            input: &input,
            settings: &config.windows,
            new_scorer: &|| factory.make(),
            in_memory_flows: None,
            progress: &progress,
        };
        let results = score_files(&run, &mut dead)?;
        results.spool.release(&mut sink)?;
        results.summary
    };
    sink.inner().finish()?;
    progress.clear();
    eprint!("{}", summary_text(&summary, begun.elapsed().as_secs_f64()));
    finish(&summary, sink.inner())
}

/// The exit code tells whether anything was scored, and whether the store took all of it.
fn finish(summary: &Summary, outputs: &Outputs) -> anyhow::Result<Outcome> {
    if summary.counters.flows == 0 {
        bail!("no flow could be scored");
    }
    outputs.store.as_ref().map_or(Ok(()), |(_, sink)| sink.verdict())?;
    Ok(Outcome::Done)
}

/// Standard output for what was asked for, and the store for everything.
struct Outputs {
    stdout: Box<dyn Sink>,
    only: Option<Only>,
    is_stored: bool,
    /// Open also when dead letters alone go there.
    store: Option<(Arc<dyn Store>, StoreSink)>,
}

impl Outputs {
    fn open(
        config: &Config,
        args: &ScoreArgs,
        store: Option<Arc<dyn Store>>,
        letters: &DeadLetters,
    ) -> anyhow::Result<Self> {
        let writer: BufWriter<Stdout> = BufWriter::with_capacity(1 << 16, io::stdout());
        let stdout: Box<dyn Sink> = match args.output {
            OutputForm::Ndjson => Box::new(NdjsonSink::new(writer)),
            OutputForm::Table => Box::new(TableSink::new(writer)),
        };
        let namespace = config.namespace()?;
        let store = store.map(|store| {
            let sink = StoreSink::new(Arc::clone(&store), namespace).with_letters(letters.clone());
            (store, sink)
        });
        Ok(Self { stdout, only: args.only, is_stored: args.store, store })
    }

    /// Lets other programs see what was stored: the next one may be the health check.
    fn finish(&self) -> anyhow::Result<()> {
        let Some((store, _)) = &self.store else { return Ok(()) };
        store.flush().context("flushing the store")
    }

    fn prints(&self, dataset: Dataset) -> bool {
        match self.only {
            None => dataset != Dataset::Window,
            Some(Only::Anomalies) => dataset == Dataset::Anomaly,
            Some(Only::Alerts) => dataset == Dataset::Alert,
            Some(Only::Windows) => dataset == Dataset::Window,
        }
    }
}

impl Sink for Outputs {
    fn write(&mut self, document: &Document) -> Result<(), SinkError> {
        if self.prints(document.dataset) {
            self.stdout.write(document)?;
        }
        match &mut self.store {
            Some((_, sink)) if self.is_stored => sink.write(document),
            Some(_) | None => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.stdout.flush()?;
        self.store.as_mut().map_or(Ok(()), |(_, sink)| sink.flush())
    }
}
