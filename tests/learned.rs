//! The detector `learned`: a model that was trained on the numbers of hosts judges hosts.

use std::fmt::Write as _;

use flowsentry::alerts;
use flowsentry::detect::{self, Context};
use flowsentry::features::{NamedFeatures, SourceWindow};
use flowsentry::learn::params::Params;
use flowsentry::learn::table::Table;
use flowsentry::learn::train::train;
use flowsentry::model::{Anomaly, Flow};
use flowsentry::models::schema::Schema;
use flowsentry::models::{Model, shipped};
use flowsentry::scorer::{Output, Scorer, Settings};
use flowsentry::testkit::flow;

/// A model that learned that hosts with hundreds of receivers are attacks.
fn model() -> Model {
    let mut rows = SourceWindow::NAMES.join(",") + ",label\n";
    for n in 0..900u32 {
        let (flows, receivers, label) = match n % 3 {
            0 => (400 + n, 380 + n, "attack"),
            _ => (5 + n % 40, 1 + n % 9, "normal"),
        };
        let (bytes, packets, ports) = (flows * (60 + n % 900), flows * 3, n % 5);
        let _ = writeln!(rows, "{flows},{bytes},{packets},{receivers},{ports},{flows},0,0,{label}");
    }
    let schema = Schema::built_in("flow").expect("it is built in");
    let table = Table::read(&schema, rows.as_bytes()).expect("it is a table");
    train(&table, &Params::default(), 1, "test").expect("there is enough to learn from")
}

/// A minute of a host that contacts so many others.
fn minute(number: i64, receivers: u32) -> impl Iterator<Item = Flow> {
    (0..receivers).map(move |n| {
        let to = format!("10.9.{}.{}", n / 250, 1 + n % 250);
        let flow = flow().from("10.0.0.66").to(&to).to_port(443).flags(0x1b).bytes(900);
        flow.at(60 * number + 5).build()
    })
}

/// What the detector alone finds, with the memory that `settings` give it.
fn found(flows: impl Iterator<Item = Flow>, context: &Context) -> Vec<Anomaly> {
    let mut settings = detect::Settings::default();
    settings.learned.model = Some("given".to_owned());
    settings.learned.alarms.warm_up_windows = 30;
    settings.learned.alarms.max_probability = 0.05;
    let mut detectors = detect::build(&settings, context).expect("the settings are sound");
    detectors.retain(|detector| detector.id() == "learned");
    let mut scorer = Scorer::new(Settings::default(), alerts::Settings::default(), detectors);
    let mut outputs = Vec::new();
    for flow in flows {
        scorer.add(0, flow, &mut outputs);
    }
    scorer.finish(&mut outputs);
    let anomalies = outputs.into_iter().filter_map(|output| match output {
        Output::Anomaly(anomaly) => Some(anomaly),
        _ => None,
    });
    anomalies.collect()
}

#[test]
fn a_host_that_the_model_calls_an_attack_is_told_with_its_reasons() {
    let context = Context::default();
    context.learned.set(model()).expect("it reads the numbers of hosts");
    let calm = || (0..60).flat_map(|n| minute(n, 5 + (n % 4) as u32));
    assert!(found(calm(), &context).is_empty());
    let anomalies = found(calm().chain(minute(60, 600)), &context);
    assert_eq!(anomalies.len(), 1, "{anomalies:?}");
    let sentence = &anomalies[0].sentence;
    assert!(sentence.contains("is called attack by a learned model (probability "), "{sentence}");
    assert!(sentence.contains("uniqDstIPs = 600"), "{sentence}");
}

#[test]
fn a_model_of_other_records_is_refused_and_without_one_nothing_is_said() {
    let context = Context::default();
    let kdd = Model::from_bytes(shipped::FILE).expect("it is sound");
    let told = context.learned.set(kdd).expect_err("it reads connections");
    assert!(told.starts_with("the model does not read the numbers of hosts"), "{told}");
    let calm = (0..60).flat_map(|n| minute(n, 5)).chain(minute(60, 600));
    assert!(found(calm, &context).is_empty());
    let detectors = detect::build(&detect::Settings::default(), &Context::default());
    let is_there = |id: &str| detectors.as_ref().is_ok_and(|all| all.iter().any(|d| d.id() == id));
    assert!(is_there("port_scan") && !is_there("learned"), "no model, no detector");
}
