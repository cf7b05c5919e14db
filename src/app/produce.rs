//! `replay` and `simulate --to kafka`: records as messages, at a rate.

use std::ops::ControlFlow;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::Outcome;
use super::common::grouped;
use super::progress::Bar;
use crate::cli::{ProduceArgs, ReplayArgs};
use crate::config::Config;
use crate::formats::MessageDecoder;
use crate::model::{Flow, Timestamp};
use crate::pipeline::Progress;
use crate::simulate::{Simulation, write_goflow2};
use crate::sinks::KafkaProducer;
use crate::sources::for_each_record;

/// Sends the records of files, one message each.
pub(super) fn replay(config: &Config, args: &ReplayArgs) -> anyhow::Result<Outcome> {
    if args.repeat && args.files.iter().any(|path| path == Path::new("-")) {
        bail!("`--loop` needs files: standard input cannot be read again");
    }
    let mut sender = Sender::open(config, &args.produce, None)?;
    let mut decoder = MessageDecoder::new(None);
    loop {
        let before = sender.sent;
        for path in &args.files {
            let mut failed = None;
            for_each_record(path, |record| {
                let mut first = None;
                decoder.decode(record, &mut |_, decoded| first = first.take().or(decoded.ok()));
                let flow = first.flatten();
                match sender.send_record(record, flow.as_ref()) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(error) => {
                        failed = Some(error);
                        ControlFlow::Break(())
                    }
                }
            })?;
            failed.map_or(Ok(()), Err)?;
        }
        if !args.repeat || sender.sent == before {
            return sender.finish();
        }
    }
}

/// Sends simulated records.
pub(super) fn simulate(
    config: &Config,
    args: &ProduceArgs,
    simulation: Simulation,
) -> anyhow::Result<Outcome> {
    let mut sender = Sender::open(config, args, Some(simulation.expected_flows()))?;
    let mut record = Vec::new();
    for flow in simulation {
        record.clear();
        write_goflow2(&flow, &mut record);
        let key = flow.source.map(|ip| ip.to_string()).unwrap_or_default();
        sender.send(record.trim_ascii_end(), &key, None)?;
    }
    sender.finish()
}

/// Sends messages at a rate.
struct Sender {
    producer: KafkaProducer,
    is_keyed: bool,
    rate: Option<f64>,
    begun: Instant,
    sent: u64,
    bar: Bar,
    topic: String,
}

impl Sender {
    fn open(config: &Config, args: &ProduceArgs, expected: Option<u64>) -> anyhow::Result<Self> {
        let kafka = config.input.kafka.clone().unwrap_or_default();
        let topic = match (&args.topic, kafka.topics.as_slice()) {
            (Some(topic), _) => topic.clone(),
            (None, [topic]) if !topic.starts_with('^') => topic.clone(),
            (None, _) => bail!("`--topic` must say to which of the topics"),
        };
        if args.rate.is_some_and(|rate| rate.is_nan() || rate <= 0.0) {
            bail!("`--rate` must be positive");
        }
        Ok(Self {
            producer: KafkaProducer::open(&kafka, &topic)?,
            is_keyed: args.keyed,
            rate: args.rate,
            begun: Instant::now(),
            sent: 0,
            bar: Bar::new("sending", expected),
            topic,
        })
    }

    fn send_record(&mut self, record: &[u8], flow: Option<&Flow>) -> anyhow::Result<()> {
        let key = flow.and_then(|flow| flow.source.ip).map(|ip| ip.to_string()).unwrap_or_default();
        // The time of a message stands for the receive time of a record without one. All others get
        // the present: brokers delete old messages by their times.
        let is_timeless = |flow: &&Flow| flow.received.is_none();
        self.send(record, &key, flow.filter(is_timeless).map(|flow| flow.end))
    }

    fn send(&mut self, message: &[u8], key: &str, time: Option<Timestamp>) -> anyhow::Result<()> {
        let key = (self.is_keyed && !key.is_empty()).then_some(key.as_bytes());
        self.producer.send(message, key, time).context("sending")?;
        self.sent += 1;
        self.bar.scored(1);
        if let Some(rate) = self.rate {
            let due = Duration::from_secs_f64(self.sent as f64 / rate);
            let early = due.saturating_sub(self.begun.elapsed());
            // Short pauses are collected: sleeping costs more than it asks for.
            if early > Duration::from_millis(5) {
                thread::sleep(early);
            }
        }
        Ok(())
    }

    fn finish(self) -> anyhow::Result<Outcome> {
        self.producer.flush()?;
        self.bar.clear();
        let seconds = self.begun.elapsed().as_secs_f64();
        eprintln!(
            "Sent {} messages to `{}` in {seconds:.1} s ({}/s).",
            grouped(self.sent),
            self.topic,
            grouped((self.sent as f64 / seconds.max(1e-9)) as u64)
        );
        Ok(Outcome::Done)
    }
}
