//! An empty cluster, a second run, objects that went missing or were changed, objects of others.

use flowsentry::setup::{Action, GuardError, Installer, Plan, SCHEMA, Settings, SetupError, guard};
use flowsentry::stores::{Flavour, Method};
use serde_json::json;

use crate::server::{OTHER, Server, on_both, scope};

on_both!(
    an_empty_cluster_is_set_up_once,
    what_is_missing_is_named_and_only_that_is_repaired,
    what_was_changed_by_hand_is_named_and_restored,
    objects_of_others_are_refused_unless_forced,
    objects_of_a_newer_program_are_refused,
    a_failing_step_takes_back_what_was_written,
    a_template_that_wins_over_ours_is_named,
    a_probe_leaves_nothing_behind,
    nothing_is_written_before_the_templates_are_there,
);

/// The objects that a plan writes.
fn changes(plan: &Plan) -> Vec<String> {
    let changed = plan.steps.iter().filter(|step| step.action != Action::Keep);
    changed.map(|step| step.asset.name.clone()).collect()
}

fn an_empty_cluster_is_set_up_once(server: &Server) {
    let before = server.state();
    let installer = server.installer();
    let plan = installer.plan().expect("a plan");
    assert!(plan.steps.iter().all(|step| step.action == Action::Create));
    let objects = plan.steps.len() + plan.indices.len();
    assert!(plan.to_string().contains("+ index template flowsentry-flows\n"), "{plan}");
    assert_eq!(server.state(), before, "a plan writes nothing");

    let applied = installer.apply(&plan, false).expect("it is applied");
    assert_eq!(applied.created.len() + applied.indices.len(), objects);
    let verified = installer.verify().expect("it is verified");
    assert_eq!(verified.findings, []);
    // Raw flows are probed where a data stream can be removed again.
    let probes = match installer.capabilities().data_stream_api {
        true => 11,
        false => 10,
    };
    assert_eq!((verified.resolved, verified.proven), (11, probes));

    let before = server.state();
    let plan = installer.plan().expect("a plan");
    assert!(plan.is_empty(), "{plan}");
    assert_eq!(plan.up_to_date(), objects);
    let applied = installer.apply(&plan, false).expect("it is applied");
    assert_eq!((applied.created.len(), applied.replaced.len(), applied.kept), (0, 0, objects));
    assert_eq!(installer.check().expect("it is checked"), []);
    assert_eq!(server.state(), before);
}

fn what_is_missing_is_named_and_only_that_is_repaired(server: &Server) {
    server.set_up();
    let before = server.state();
    server.delete("/_index_template/flowsentry-alerts");
    let installer = server.installer();
    let findings = installer.check().expect("it is checked");
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].object, "index template flowsentry-alerts");
    assert_eq!(findings[0].cause, "it is missing");
    assert_eq!(findings[0].remedy, "run `flowsentry setup`");
    let plan = installer.plan().expect("a plan");
    assert_eq!(changes(&plan), ["flowsentry-alerts"]);
    installer.apply(&plan, false).expect("it is applied");
    assert_eq!(installer.check().expect("it is checked"), []);
    assert_eq!(server.state(), before);
}

fn what_was_changed_by_hand_is_named_and_restored(server: &Server) {
    server.set_up();
    let before = server.state();
    let mut changed = server.asset("flowsentry-windows@mappings");
    changed.body["template"]["mappings"]["properties"]["source"]["properties"]["ip"] =
        json!({"type": "keyword"});
    server.put(&changed);
    let installer = server.installer();
    let findings = installer.check().expect("it is checked");
    let component = findings
        .iter()
        .find(|finding| finding.object == "component template flowsentry-windows@mappings")
        .expect("it is named");
    assert!(component.cause.contains("properties.source.properties.ip.type"), "{component:?}");
    let resolved = findings
        .iter()
        .find(|finding| finding.object == "index template flowsentry-windows")
        .expect("what becomes of it is named");
    assert!(resolved.cause.contains("`source.ip` is keyword instead of ip"), "{resolved:?}");
    let plan = installer.plan().expect("a plan");
    assert_eq!(changes(&plan), ["flowsentry-windows@mappings"]);
    assert!(plan.to_string().contains("! component template flowsentry-windows@mappings"));
    installer.apply(&plan, false).expect("it is applied");
    assert_eq!(server.state(), before);
}

fn objects_of_others_are_refused_unless_forced(server: &Server) {
    let own = json!({"template": {"settings": {"index.number_of_shards": 3}}});
    server.send(Method::Put, "/_component_template/flowsentry-alerts@settings", own);
    let before = server.state();
    let installer = server.installer();
    let plan = installer.plan().expect("a plan");
    let error = installer.apply(&plan, false).expect_err("it is refused");
    assert!(matches!(&error, SetupError::Refused { objects } if objects.len() == 1), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("component template flowsentry-alerts@settings: it was not made by")
            && text.contains("--force"),
        "{text}"
    );
    assert_eq!(server.state(), before, "nothing was written");
    installer.apply(&plan, true).expect("it is forced");
    assert_eq!(installer.verify().expect("it is verified").findings, []);
}

fn objects_of_a_newer_program_are_refused(server: &Server) {
    let mut newer = server.asset("flowsentry-state@settings");
    newer.body["_meta"]["schema"] = json!(SCHEMA + 1);
    server.put(&newer);
    let installer = server.installer();
    let error = installer.apply(&installer.plan().expect("a plan"), false).expect_err("newer");
    assert!(error.to_string().contains("upgrade flowsentry"), "{error}");
    assert!(server.read("/_index_template/flowsentry-state")["index_templates"][0].is_null());
}

fn a_failing_step_takes_back_what_was_written(server: &Server) {
    // One of ours that is replaced, and one of others that refuses the last of our templates.
    let mut older = server.asset("flowsentry-windows@mappings");
    older.body["_meta"]["schema"] = json!(0);
    server.put(&older);
    let other = json!({"index_patterns": ["flowsentry-models-*"], "priority": 500});
    server.send(Method::Put, &format!("/_index_template/{OTHER}-flowsentry"), other);
    let before = server.state();

    let installer = server.installer();
    let plan = installer.plan().expect("a plan");
    let error = installer.apply(&plan, false).expect_err("the last template is refused");
    let text = error.to_string();
    assert!(text.starts_with("writing the index template flowsentry-models: refused"), "{text}");
    let SetupError::Failed { rolled_back, left, .. } = error else { panic!("{text}") };
    assert_eq!(left, []);
    assert_eq!(rolled_back.len(), plan.steps.len() - 1);
    assert_eq!(
        rolled_back[0], "index template flowsentry-predictions",
        "the last is taken back first"
    );
    assert_eq!(server.state(), before);
}

fn a_template_that_wins_over_ours_is_named(server: &Server) {
    server.set_up();
    let other = json!({"index_patterns": ["flowsentry-windows-*"], "priority": 900});
    server.send(Method::Put, &format!("/_index_template/{OTHER}"), other);
    let findings = server.installer().verify().expect("it is verified").findings;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].object, "index template flowsentry-windows");
    assert!(findings[0].cause.contains(&format!("`{OTHER}` (priority 900) wins")), "{findings:?}");
}

fn a_probe_leaves_nothing_behind(server: &Server) {
    server.set_up();
    let before = server.state();
    let index = "flowsentry-windows-setupcheck-2020.01.01";
    server.create(index, "probe", &json!({"@timestamp": "2020-01-01T00:00:00Z"}));
    let installer = server.installer();
    let findings = installer.check().expect("it is checked");
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].object, format!("index {index}"));
    assert_eq!(installer.verify().expect("it is verified").findings, []);
    assert_eq!(server.state(), before);
}

fn nothing_is_written_before_the_templates_are_there(server: &Server) {
    let guarded = |automatic| guard(&server.cluster, Settings { automatic }, scope());
    let error = guarded(false).expect_err("nothing is there").to_string();
    assert!(
        error.contains("the index template `flowsentry-windows` is missing")
            && error.contains("run `flowsentry setup`, or set `setup.automatic: true`"),
        "{error}"
    );
    guarded(true).expect("it is set up");
    guarded(false).expect("it is there");
    assert_eq!(server.installer().check().expect("it is checked"), []);

    let mut older = server.asset("flowsentry-anomalies");
    older.body["_meta"]["schema"] = json!(0);
    server.put(&older);
    let Err(GuardError::NotReady { problems }) = guarded(false) else { panic!("it is older") };
    assert_eq!(
        problems,
        [format!("the index template `flowsentry-anomalies` is of schema 0, older than {SCHEMA}")]
    );
}

#[test]
fn the_namespace_of_the_probe_is_nobodys() {
    let fake = crate::fake::Fake::start(Flavour::OpenSearch, &[]);
    let mut scope = scope();
    scope.namespace = flowsentry::stores::Namespace::new("setupcheck").expect("a namespace");
    let error = Installer::new(&fake.cluster(), scope).expect_err("it is taken").to_string();
    assert!(error.contains("choose another"), "{error}");
}
