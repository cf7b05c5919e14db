//! Flows per second of one core: decoding, windows with features, and the whole path.
//!
//! Everything runs on one thread, over records that lie in memory. The ratio after each workload says
//! how much of the speed of mere decoding is left when every flow is judged too.

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

mod measure;
mod records;
#[path = "../samples/mod.rs"]
mod samples;

use std::hint::black_box;
use std::io::Cursor;
use std::sync::Arc;

use flowsentry::alerts;
use flowsentry::detect::{self, Detector};
use flowsentry::features::{
    ClosedWindow, FeatureMatrix, MergedWindows, Partial, PartitionFold, WindowLimits, Windows,
};
use flowsentry::formats::{self, MessageDecoder};
use flowsentry::model::{Flow, Timestamp};
use flowsentry::scorer::{Scorer, Settings};
use flowsentry::sources::{FileSource, Opening};
use flowsentry::testkit::capture::{ETHERNET, packet, pcap};

use measure::times;
use samples::protobuf;

/// Flows of the two large workloads.
const FLOWS: u64 = 500_000;
/// Flows that are written anew in every other format.
const REWRITTEN: usize = 100_000;
/// Source partitions of the two stages.
const PARTITIONS: u32 = 4;

const LIMITS: WindowLimits = WindowLimits {
    pane_seconds: 10,
    window_seconds: 60,
    lateness_seconds: 30,
    max_subjects: 300_000,
    count_once: true,
};

/// Every detector, as settings without content have it.
fn detectors() -> Vec<Box<dyn Detector>> {
    detect::build(&detect::Settings::default(), &detect::Context::default())
        .expect("the defaults can be used")
}

/// Calls `visit` with every flow of the lines, whose format is told from their head.
fn decode(lines: &[u8], mut visit: impl FnMut(Flow)) {
    let head = &lines[..lines.len().min(4_096)];
    let format = formats::detect(head).expect("the records are of a known format");
    let mut decoder = format.decoder();
    for line in lines.split(|&byte| byte == b'\n') {
        if let Some(flow) = decoder.decode(line).expect("the records are sound") {
            visit(flow);
        }
    }
}

fn decoded(lines: &[u8]) -> Vec<Flow> {
    let mut flows = Vec::new();
    decode(lines, |flow| flows.push(flow));
    flows
}

/// Counts the flows in windows and writes the features of every subject of every closed window.
fn windows_and_features(flows: &[Flow]) -> usize {
    let mut windows = Windows::new(LIMITS);
    let mut values = 0;
    for flow in flows {
        windows.add(0, flow);
        while let Some(closed) = windows.next_closed() {
            values += features_of(&closed);
        }
    }
    windows.finish();
    while let Some(closed) = windows.next_closed() {
        values += features_of(&closed);
    }
    values
}

fn features_of(closed: &ClosedWindow) -> usize {
    match closed {
        ClosedWindow::Pairs(window) => {
            let pairs = FeatureMatrix::of(&window.pairs).values.len();
            pairs + window.batch_features().values().len()
        }
        ClosedWindow::Hosts(window) => {
            let sources = FeatureMatrix::of(&window.sources).values.len();
            let destinations = FeatureMatrix::of(&window.destinations).values.len();
            let network = FeatureMatrix::of(std::slice::from_ref(&window.network)).values.len();
            sources + destinations + network
        }
    }
}

/// Decodes and judges every flow.
fn whole_path(lines: &[u8]) -> usize {
    let mut scorer = Scorer::new(Settings::default(), alerts::Settings::default(), detectors());
    let (mut outputs, mut count) = (Vec::new(), 0);
    decode(lines, |flow| {
        scorer.add(0, flow, &mut outputs);
        count += outputs.len();
        outputs.clear();
    });
    scorer.finish(&mut outputs);
    count + outputs.len()
}

/// Judges decoded flows with the detectors that `wanted` names.
fn judge(flows: &[Flow], wanted: impl Fn(&str) -> bool) -> usize {
    let mut detectors = detectors();
    detectors.retain(|detector| wanted(detector.id()));
    let mut scorer = Scorer::new(Settings::default(), alerts::Settings::default(), detectors);
    let (mut outputs, mut count) = (Vec::new(), 0);
    for flow in flows {
        scorer.add(0, flow.clone(), &mut outputs);
        count += outputs.len();
        outputs.clear();
    }
    scorer.finish(&mut outputs);
    count + outputs.len()
}

/// Folds flows, dealt out to partitions in turn, into partials small enough for a message.
fn partials(flows: &[Flow]) -> Vec<(u32, Partial)> {
    let parts_of = |partition: u32| {
        let mut fold = PartitionFold::new(LIMITS);
        let own = flows.iter().skip(partition as usize).step_by(PARTITIONS as usize);
        own.for_each(|flow| _ = fold.add(flow));
        fold.finish();
        let parts = fold.take_complete().into_iter().flat_map(|partial| partial.split(900_000));
        parts.map(move |part| (partition, part)).collect::<Vec<_>>()
    };
    (0..PARTITIONS).flat_map(parts_of).collect()
}

/// Puts windows together from messages.
fn merge(messages: &[(u32, Vec<u8>)]) -> usize {
    let mut windows = MergedWindows::new(LIMITS);
    (0..PARTITIONS).for_each(|partition| windows.expect(partition));
    for (partition, bytes) in messages {
        windows.put(*partition, Partial::decode(bytes).expect("it was just written"));
    }
    (0..PARTITIONS).for_each(|partition| windows.pass(partition, Timestamp::MAX));
    std::iter::from_fn(|| windows.next_closed()).count()
}

/// The way between two stages, in subjects per second.
fn bench_stages(name: &str, flows: &[Flow]) {
    let partials = partials(flows);
    let subjects = partials.iter().map(|(_, partial)| partial.subjects()).sum();
    let encode = || partials.iter().map(|(n, part)| (*n, part.encode())).collect::<Vec<_>>();
    println!("{}", times(encode).line(name, "encode partials (subjects)", subjects));
    let messages = encode();
    println!("{}", times(|| merge(&messages)).line(name, "decode and merge (subjects)", subjects));
    let bytes: usize = messages.iter().map(|(_, bytes)| bytes.len()).sum();
    let each = bytes as f64 / subjects as f64;
    println!("{name:<12} {} messages, {each:.0} bytes per subject", messages.len());
}

fn bench_workload(name: &str, lines: &[u8]) {
    let flows = decoded(lines);
    let count = flows.len();
    let decoding = times(|| decode(lines, |flow| _ = black_box(flow)));
    println!("{}", decoding.line(name, "decode only", count));
    println!(
        "{}",
        times(|| windows_and_features(&flows)).line(name, "windows and features", count)
    );
    println!("{}", times(|| judge(&flows, |_| false)).line(name, "windows alone", count));
    for entry in detect::DETECTORS {
        let step = format!("windows and {}", entry.id);
        println!("{}", times(|| judge(&flows, |id| id == entry.id)).line(name, &step, count));
    }
    bench_stages(name, &flows);
    drop(flows);
    let whole = times(|| whole_path(lines));
    let step = format!("whole path, {} detectors", detectors().len());
    println!("{}", whole.line(name, &step, count));
    let ratio = decoding.median.as_secs_f64() / whole.median.as_secs_f64();
    println!("{name:<12} whole path / decode only = {ratio:.2}");
}

fn bench_format(name: &str, lines: &[u8]) {
    let mut flows = 0;
    decode(lines, |_| flows += 1);
    let found = formats::detect(&lines[..lines.len().min(4_096)]).map(|format| format.name());
    assert_eq!(found, Some(name), "the records are what they should be");
    println!("{}", times(|| decode(lines, |flow| _ = black_box(flow))).line(name, "decode", flows));
}

/// Every line as a message of its own, with its format given and with its format found.
fn bench_messages(name: &str, messages: &[Vec<u8>]) {
    let format = formats::by_name(name);
    let decode_all = |decoder: &mut MessageDecoder| {
        let mut flows = 0;
        for message in messages {
            decoder.decode(message, &mut |_, flow| {
                flows += usize::from(black_box(flow).is_ok_and(|flow| flow.is_some()));
            });
        }
        flows
    };
    let flows = decode_all(&mut MessageDecoder::new(format));
    assert_eq!(flows, messages.len(), "the records are sound");
    let mut alone = format.expect("a known format").decoder();
    let fixed = times(|| messages.iter().for_each(|message| _ = black_box(alone.decode(message))));
    let mut decoder = MessageDecoder::new(None);
    let found = times(|| decode_all(&mut decoder));
    println!("{}", fixed.line(name, "decode single messages", flows));
    println!("{}", found.line(name, "messages of any format", flows));
    let ratio = fixed.best.as_secs_f64() / found.best.as_secs_f64();
    println!("{name:<12} any format / given format = {ratio:.2}");
}

/// goflow2's JSON lines as the messages of a topic, and the same in protobuf.
fn bench_topics(lines: &[u8]) {
    let lines = lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let messages: Vec<_> = lines.map(<[u8]>::to_vec).collect();
    bench_messages("goflow2", &messages);
    let in_protobuf = |message: &Vec<u8>| {
        let record = serde_json::from_slice(message).expect("the records are sound");
        protobuf::delimited(&protobuf::message(&record))
    };
    bench_messages("goflow2_protobuf", &messages.iter().map(in_protobuf).collect::<Vec<_>>());
}

/// A capture in memory: connections of ten packets, a hundred of them at a time.
fn captured(connections: u64) -> Vec<u8> {
    let frames = (0..connections).flat_map(|number| {
        let client = format!("10.{}.{}.{}", number >> 16 & 255, number >> 8 & 255, number & 255);
        let port = 1_024 + (number % 60_000) as u16;
        let ahead = packet().from(&client, port).sequence(1);
        [0x02, 0x12, 0x10, 0x18, 0x10, 0x18, 0x10, 0x11, 0x11, 0x10].into_iter().enumerate().map(
            move |(step, flags)| {
                let is_answer = [1, 4, 5, 8].contains(&step);
                let payload = if flags == 0x18 { 400 } else { 0 };
                let packet = ahead.clone().flags(flags).payload(payload);
                let packet = if is_answer { packet.back() } else { packet };
                packet.at_millis(number + 100 * step as u64).ethernet().cut(96)
            },
        )
    });
    let mut frames: Vec<_> = frames.collect();
    frames.sort_by_key(|frame| frame.nanos);
    pcap(ETHERNET, &frames)
}

/// Packets per second, from the bytes of a capture to flows.
fn bench_capture() {
    const CONNECTIONS: u64 = 50_000;
    let file: Arc<[u8]> = captured(CONNECTIONS).into();
    let flows_of = || {
        let reader = Box::new(Cursor::new(Arc::clone(&file)));
        let mut source = FileSource::from_reader("made".into(), reader, &Opening::default())
            .expect("it is a capture");
        let mut flows = 0;
        while let Some(batch) = source.next_batch(false).expect("it is sound") {
            flows += batch.flows.len();
        }
        flows
    };
    assert_eq!(flows_of() as u64, CONNECTIONS, "every connection is a flow");
    println!(
        "{}",
        times(flows_of).line("pcap", "packets to flows (packets)", 10 * CONNECTIONS as usize)
    );
}

fn main() {
    println!("flows per second of one core: median and best of five runs after one to warm up");
    println!("{:<12} {:<28} {:>9} {:>12} {:>12}", "workload", "step", "flows", "median", "best");
    let simulated = records::simulated(FLOWS);
    let mut flows = decoded(&simulated);
    flows.truncate(REWRITTEN);
    let first: usize =
        simulated.split_inclusive(|&byte| byte == b'\n').take(REWRITTEN).map(<[u8]>::len).sum();
    bench_format("goflow2", &simulated[..first]);
    bench_topics(&simulated[..first]);
    bench_format("zeek", &records::rewritten(&flows, records::ZEEK_HEAD, records::zeek));
    bench_format("zeek_json", &records::rewritten(&flows, "", records::zeek_json));
    bench_format("argus", &records::rewritten(&flows, records::ARGUS_HEAD, records::argus));
    bench_format("table", &records::rewritten(&flows, "", records::table));
    bench_format("ecs", &records::rewritten(&flows, "", records::ecs));
    drop(flows);
    bench_capture();
    bench_workload("simulated", &simulated);
    drop(simulated);
    bench_workload("flooded", &records::flooded(FLOWS));
}
