//! Rendering: snapshots of what people read, and hostile data.

use serde_json::Value;

use super::fixtures::{blind_day, busy_day, quiet_first_day};
use super::*;

fn renderer() -> Renderer {
    Renderer::new(&Templates::embedded(), "Network report").unwrap()
}

/// Writes what the report looks like to `FLOWSENTRY_REPORT_LOOK` when that is set.
fn keep(name: &str, rendered: &Rendered) {
    let Ok(folder) = std::env::var("FLOWSENTRY_REPORT_LOOK") else { return };
    let path = std::path::Path::new(&folder);
    std::fs::write(path.join(format!("{name}.html")), &rendered.page).unwrap();
    std::fs::write(path.join(format!("{name}-mail.html")), &rendered.mail).unwrap();
    std::fs::write(path.join(format!("{name}.txt")), &rendered.text).unwrap();
    for picture in &rendered.pictures {
        std::fs::write(path.join(format!("{name}-{}", picture.name)), &picture.png).unwrap();
    }
}

#[test]
fn a_busy_day_reads_well() {
    let report = busy_day();
    let rendered = renderer().render(&report).unwrap();
    keep("busy", &rendered);
    assert_eq!(rendered.subject, "Network report 2026-11-20: 3 hosts need attention, 12 alerts");
    insta::assert_snapshot!("busy_text", rendered.text);
    insta::assert_snapshot!("busy_mail", rendered.mail);
    insta::assert_snapshot!("busy_json", rendered.json);
}

#[test]
fn a_quiet_first_day_compares_with_nothing() {
    let rendered = renderer().render(&quiet_first_day()).unwrap();
    keep("quiet", &rendered);
    assert_eq!(rendered.subject, "Network report 2026-11-20: A quiet day, no alerts");
    assert!(!rendered.mail.contains("on the day before"));
    insta::assert_snapshot!("quiet_text", rendered.text);
}

#[test]
fn a_day_without_traffic_points_at_the_pipeline() {
    let rendered = renderer().render(&blind_day()).unwrap();
    keep("blind", &rendered);
    assert_eq!(rendered.subject, "Network report 2026-11-20: No traffic was seen, no alerts");
    insta::assert_snapshot!("blind_text", rendered.text);
}

#[test]
fn the_same_data_gives_the_same_report() {
    assert_eq!(renderer().render(&busy_day()).unwrap(), renderer().render(&busy_day()).unwrap());
}

#[test]
fn the_page_needs_nothing_from_outside() {
    let rendered = renderer().render(&busy_day()).unwrap();
    assert_eq!(rendered.page.matches("<img").count(), rendered.pictures.len());
    assert_eq!(rendered.page.matches("src=\"data:image/svg+xml;base64,").count(), 7);
    assert!(!rendered.page.contains("http") && !rendered.page.contains("cid:"));
    for picture in &rendered.pictures {
        assert!(rendered.mail.contains(&format!("src=\"cid:{}\"", picture.content_id)));
    }
}

#[test]
fn a_full_mail_stays_below_what_mail_programs_cut() {
    let mut report = busy_day();
    let mut alert = report.alerts.worst[0].clone();
    alert.features = vec![alert.features[0].clone(); MOST_FEATURES];
    report.alerts.worst = vec![alert; MOST_ALERTS];
    report.hosts.worst = vec![report.hosts.worst[0].clone(); MOST_HOSTS];
    let length = renderer().render(&report).unwrap().mail.len();
    assert!(length < 102_000, "mail programs cut HTML at 102 kB, got {length} bytes");
}

const EVIL: &str = "<script>alert(1)</script>\"><img src=x onerror=alert(1)>\r\nBcc: x@y\0\u{202e}\
                    {{evil}}{{{evil}}}<!--]]>'`=";

/// Calls `change` for every string in `value`.
fn for_each_string(value: &mut Value, change: &mut impl FnMut(&mut String)) {
    match value {
        Value::String(text) => change(text),
        Value::Array(values) => values.iter_mut().for_each(|v| for_each_string(v, change)),
        Value::Object(entries) => entries.values_mut().for_each(|v| for_each_string(v, change)),
        _ => {}
    }
}

fn hostile_day() -> ReportData {
    let mut report = busy_day();
    let evil = || EVIL.to_owned();
    report.namespace = evil();
    report.period.time_zone = evil();
    report.period.title = evil();
    report.period.date = evil();
    report.verdict.headline = evil();
    report.verdict.detail = evil();
    report.verdict.alerts = evil();
    for host in &mut report.hosts.worst {
        (host.address, host.sentence, host.kinds) = (evil(), evil(), vec![evil(); 2]);
    }
    for alert in &mut report.alerts.worst {
        (alert.id, alert.title, alert.subject, alert.sentence) = (evil(), evil(), evil(), evil());
        (alert.when, alert.status, alert.exception) = (evil(), evil(), Some(evil()));
        alert.features.iter_mut().for_each(|line| (line.name, line.usual) = (evil(), evil()));
        for flow in &mut alert.flows {
            (flow.from, flow.to, flow.transport) = (evil(), evil(), evil());
            (flow.at, flow.id) = (evil(), evil());
        }
        alert.techniques.iter_mut().for_each(|line| (line.id, line.name) = (evil(), evil()));
    }
    report.attacks.kinds.iter_mut().for_each(|kind| kind.title = evil());
    report.attacks.hours.iter_mut().for_each(|hour| hour.label = evil());
    report.attacks.alerts.change = Some(evil());
    report.traffic.hours.iter_mut().for_each(|hour| hour.label = evil());
    report.traffic.protocols.iter_mut().for_each(|part| part.name = evil());
    report.traffic.busiest.as_mut().unwrap().label = evil();
    let Talkers { sources, destinations } = &mut report.talkers;
    sources.iter_mut().chain(destinations).for_each(|talker| talker.address = evil());
    report.pipeline.facts = vec![Fact::new(EVIL, EVIL)];
    report
}

#[test]
fn hostile_strings_never_become_markup() {
    let report = hostile_day();
    let rendered = Renderer::new(&Templates::embedded(), EVIL).unwrap().render(&report).unwrap();
    let ordinary = renderer().render(&busy_day()).unwrap();
    for html in [&rendered.mail, &rendered.page] {
        assert!(!html.contains("<script") && !html.contains("<img src=x"), "no new element");
        assert_eq!(html.matches("<img").count(), ordinary.mail.matches("<img").count());
        assert!(!html.contains("onerror=alert"), "`=` is escaped in data");
        assert!(html.contains("{{evil}}"), "template language in data is only text");
    }
    for text in [&rendered.mail, &rendered.page, &rendered.text, &rendered.subject] {
        assert!(!text.contains('\0') && !text.contains('\u{202e}') && !text.contains('\r'));
        assert!(!text.contains("\nBcc:"), "data cannot begin a line of its own");
    }
    assert!(!rendered.subject.contains('\n'));
}

#[test]
fn the_hostile_day_leaves_no_free_text_out() {
    let closed = ["critical", "high", "medium", "low", "quiet", "blind"];
    let mut left = Vec::new();
    let mut data = serde_json::to_value(hostile_day()).unwrap();
    for_each_string(&mut data, &mut |text| {
        let is_time = text.parse::<crate::model::Timestamp>().is_ok();
        let is_kind = crate::model::Kind::parse(text).is_some();
        let is_figure = text.ends_with("on the day before");
        if text != EVIL && !is_time && !is_kind && !is_figure && !closed.contains(&text.as_str()) {
            left.push(text.clone());
        }
    });
    assert_eq!(left, Vec::<String>::new(), "strings that the hostile day does not replace");
}

/// Names that templates call; a key of that name would read as empty.
const CALLABLE: &[&str] = &[
    "if", "unless", "each", "with", "lookup", "raw", "log", "len", "eq", "ne", "gt", "gte", "lt",
    "lte", "and", "or", "not", "inline", "this",
];

#[test]
fn no_key_of_the_data_is_the_name_of_a_helper() {
    fn check(value: &Value) {
        match value {
            Value::Object(entries) => entries.iter().for_each(|(key, value)| {
                assert!(!CALLABLE.contains(&key.as_str()), "`{key}` would be called");
                assert!(!key.starts_with("as_") && !key.starts_with("pad_"), "`{key}`");
                check(value);
            }),
            Value::Array(values) => values.iter().for_each(check),
            _ => {}
        }
    }
    check(&serde_json::to_value(busy_day()).unwrap());
}

#[test]
fn no_template_writes_data_without_escaping() {
    for (name, template) in Templates::embedded().files {
        assert!(!template.text.contains("{{{") && !template.text.contains("{{&"), "{name}");
    }
}

fn folder_with(name: &str, text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(name), text).unwrap();
    folder
}

#[test]
fn a_folder_replaces_templates_by_name() {
    let folder = folder_with("pipeline.txt.hbs", "OURS {{namespace}}\n");
    let templates = Templates::with_folder(folder.path()).unwrap();
    let rendered = Renderer::new(&templates, "").unwrap().render(&busy_day()).unwrap();
    assert!(rendered.text.contains("OURS default") && !rendered.text.contains("Records read"));
}

#[test]
fn a_broken_template_names_file_and_line() {
    let folder = folder_with("alerts.txt.hbs", "fine\n\n{{#if}\n");
    let templates = Templates::with_folder(folder.path()).unwrap();
    let Err(ReportError::Template { file, line, .. }) = Renderer::new(&templates, "") else {
        panic!("a template that does not parse is an error");
    };
    assert!(file.ends_with("alerts.txt.hbs") && file.contains('/') && line == 3, "{file}:{line}");
}

#[test]
fn an_unknown_value_names_file_and_line() {
    for text in ["fine\n{{no_such_value}}\n", "fine\n{{as_bytes no_such_value}}\n"] {
        let folder = folder_with("alerts.txt.hbs", text);
        let templates = Templates::with_folder(folder.path()).unwrap();
        let error = Renderer::new(&templates, "").unwrap().render(&busy_day()).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("alerts.txt.hbs`, line 2"), "{message}");
        assert!(message.contains("no_such_value"), "{message}");
    }
}

#[test]
fn a_template_of_an_unknown_name_is_an_error() {
    let folder = folder_with("alert.txt.hbs", "");
    let message = Templates::with_folder(folder.path()).unwrap_err().to_string();
    assert!(message.contains("alert.txt.hbs") && message.contains("alerts.txt.hbs"), "{message}");
}
