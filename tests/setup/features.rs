//! What no real server of the tests has: lifecycle policies, refused privileges, serverless.
//! The played server answers as the documentation of the products says.

use flowsentry::setup::{Action, Installer, SCHEMA, SetupError};
use flowsentry::stores::Flavour;
use serde_json::json;

use crate::fake::Fake;
use crate::server::scope;

const WINDOWS: &str = "flowsentry-windows-default-2026.11.21";
const ISM_WINDOWS: &str = "/_plugins/_ism/policies/flowsentry-windows";

fn set_up(fake: &Fake) {
    let installer = fake.installer();
    installer.apply(&installer.plan().expect("a plan"), false).expect("it is applied");
}

/// Puts an index with the right mapping and no policy under the server's hands.
fn add_index(fake: &Fake) {
    let mut state = fake.state();
    let (component, _) = &state.objects["/_component_template/flowsentry-windows@mappings"];
    let mapping = component["template"]["mappings"].clone();
    state.indices.insert(WINDOWS.to_owned(), (mapping, None));
}

#[test]
fn everything_is_put_in_place_in_the_order_in_which_it_is_needed() {
    for flavour in [Flavour::Elasticsearch, Flavour::OpenSearch] {
        let fake = Fake::start(flavour, &[]);
        set_up(&fake);
        let writes = fake.writes();
        let places = ["policies/", "policy/", "_ingest", "_component", "_index", "/flowsentry-"];
        let place = |write: &String| {
            let path = write.strip_prefix("PUT ").expect("only PUT");
            let is_index = path.starts_with("/flowsentry-");
            let found = places.iter().position(|place| !is_index && path.contains(place));
            found.unwrap_or(places.len())
        };
        let order: Vec<usize> = writes.iter().map(place).collect();
        assert!(order.is_sorted(), "{writes:#?}");
        // Eight policies, a pipeline, three components and a template for each of eleven, one of both
        // for rejected records, three indices.
        assert_eq!(writes.len(), 8 + 1 + 33 + 11 + 2 + 3);
        fake.forget();
        let plan = fake.installer().plan().expect("a plan");
        assert!(plan.notes.is_empty() && fake.writes().is_empty(), "{plan}");
        assert_eq!(plan.up_to_date(), 58, "{plan}");
    }
}

#[test]
fn indices_without_a_policy_get_ours() {
    for (flavour, wanted) in [
        (Flavour::Elasticsearch, format!("PUT /{WINDOWS}/_settings")),
        (Flavour::OpenSearch, format!("POST /_plugins/_ism/add/{WINDOWS}")),
    ] {
        let fake = Fake::start(flavour, &[]);
        set_up(&fake);
        add_index(&fake);
        let installer = fake.installer();
        let findings = installer.check().expect("it is checked");
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].cause.contains("gets the policy flowsentry-windows"), "{findings:?}");
        fake.forget();
        set_up(&fake);
        assert_eq!(fake.writes(), [wanted]);
        assert_eq!(fake.state().indices[WINDOWS].1.as_deref(), Some("flowsentry-windows"));
        assert_eq!(installer.check().expect("it is checked"), []);
    }
}

#[test]
fn a_changed_policy_of_ism_replaces_what_was_read_and_reaches_its_indices() {
    let fake = Fake::start(Flavour::OpenSearch, &[]);
    set_up(&fake);
    add_index(&fake);
    set_up(&fake);
    fake.forget();
    let mut changed = scope();
    changed.retention.windows += 5;
    let installer = Installer::new(&fake.cluster(), changed).expect("it can be asked");
    let plan = installer.plan().expect("a plan");
    assert!(plan.to_string().contains("! policy flowsentry-windows (differs in policy.states"));
    installer.apply(&plan, false).expect("it is applied");
    assert_eq!(
        fake.writes(),
        [format!("PUT {ISM_WINDOWS}"), format!("POST /_plugins/_ism/change_policy/{WINDOWS}")]
    );
    let written = fake.requests().into_iter().find(|request| request.method == "PUT");
    let written = written.expect("the policy was written");
    assert_eq!(written.parameter("if_seq_no"), Some("1"));
    assert_eq!(written.parameter("if_primary_term"), Some("1"));
    assert!(installer.plan().expect("a plan").is_empty());
}

#[test]
fn a_policy_that_somebody_changed_meanwhile_is_left_alone() {
    let fake = Fake::start(Flavour::OpenSearch, &[]);
    set_up(&fake);
    let mut changed = scope();
    changed.retention.windows += 5;
    let installer = Installer::new(&fake.cluster(), changed).expect("it can be asked");
    let plan = installer.plan().expect("a plan");
    fake.state().is_overtaken = true;
    let error = installer.apply(&plan, false).expect_err("somebody was faster").to_string();
    assert!(error.contains("409") && error.contains("nothing had been written"), "{error}");
}

#[test]
fn two_that_set_up_at_once_do_not_hinder_each_other() {
    let fake = Fake::start(Flavour::OpenSearch, &[]);
    let (one, other) = (fake.installer(), fake.installer());
    let plan = one.plan().expect("a plan");
    other.apply(&plan, false).expect("it is applied");
    one.apply(&plan, false).expect("what is there is what was to be written");
    assert!(one.plan().expect("a plan").is_empty());
}

#[test]
fn a_cluster_that_dies_meanwhile_is_not_waited_for_again_and_again() {
    let fake = Fake::start(Flavour::OpenSearch, &[]);
    let installer = fake.installer();
    let plan = installer.plan().expect("a plan");
    fake.forget();
    // Six policies and the pipeline are written, the first component is not answered.
    fake.state().dies_after = Some(8);
    let error = installer.apply(&plan, false).expect_err("it died");
    let SetupError::Failed { rolled_back, left, .. } = error else { panic!("{error}") };
    // The component may have been written: its removal is tried, and nothing after it.
    assert_eq!((rolled_back.len(), left.len()), (0, 8));
    assert_eq!(fake.writes().iter().filter(|write| write.starts_with("DELETE")).count(), 1);
    assert_eq!(left[1].1, "the cluster no longer answers");
}

#[test]
fn replaced_policies_are_put_back_when_a_later_step_fails() {
    for flavour in [Flavour::Elasticsearch, Flavour::OpenSearch] {
        let fake = Fake::start(flavour, &[("PUT", "/_component_template")]);
        let installer = fake.installer();
        let plan = installer.plan().expect("a plan");
        // An older policy of ours is there.
        let policy = plan.steps.iter().find(|step| step.asset.name == "flowsentry-windows");
        let policy = policy.expect("a policy").asset.clone();
        let path = format!("/{}/{}", policy.kind.path(flavour), policy.name);
        let older = policy.body.to_string();
        let older = older.replace(&format!("\"schema\":{SCHEMA}"), "\"schema\":0");
        let older = older.replace(&format!("managed, schema {SCHEMA}"), "managed, schema 0");
        let older: serde_json::Value = serde_json::from_str(&older).expect("JSON");
        fake.state().objects.insert(path.clone(), (older.clone(), 7));

        let plan = installer.plan().expect("a plan");
        assert!(plan.steps.iter().any(|step| step.action == Action::Update { from: 0 }));
        let error = installer.apply(&plan, false).expect_err("components are refused");
        let text = error.to_string();
        assert!(
            text.starts_with(
                "writing the component template flowsentry-flows@mappings is not allowed (403"
            ),
            "{text}"
        );
        let privilege = match flavour {
            Flavour::Elasticsearch => "`manage_index_templates`",
            Flavour::OpenSearch => "`cluster_manage_index_templates`",
        };
        assert!(text.contains(privilege), "{text}");
        let SetupError::Failed { rolled_back, left, .. } = error else { panic!("{text}") };
        // Eight policies and the pipeline; one of them was there before.
        assert_eq!((rolled_back.len(), left.len()), (9, 0));
        let state = fake.state();
        assert_eq!(state.objects.keys().collect::<Vec<_>>(), [&path]);
        // Read, replaced, put back: for ISM each over the state before.
        assert_eq!(state.objects[&path], (older, 9));
    }
}

#[test]
fn what_cannot_be_taken_back_is_said() {
    let fake = Fake::start(
        Flavour::Elasticsearch,
        &[("PUT", "/_component_template"), ("DELETE", "/_ingest")],
    );
    let installer = fake.installer();
    let error = installer.apply(&installer.plan().expect("a plan"), false).expect_err("refused");
    let text = error.to_string();
    assert!(text.contains("; still there: pipeline flowsentry-flows: removing the"), "{text}");
}

#[test]
fn who_may_not_even_ask_learns_which_privileges_are_needed() {
    for (flavour, path, privilege) in [
        (Flavour::Elasticsearch, "/_ilm", "`manage_ilm`"),
        (Flavour::OpenSearch, "/_plugins/_ism", "`cluster:admin/opendistro/ism/*`"),
    ] {
        let fake = Fake::start(flavour, &[("GET", path)]);
        let error = Installer::new(&fake.cluster(), scope()).expect_err("it is refused");
        let text = error.to_string();
        assert!(text.starts_with("looking for lifecycle policies is not allowed (403"), "{text}");
        assert!(text.contains(privilege), "{text}");
    }
}

#[test]
fn a_serverless_project_gets_no_policies_and_hears_why() {
    let fake = Fake::serverless();
    set_up(&fake);
    let requests = fake.requests();
    assert!(requests.iter().all(|request| !request.path.contains("_ilm")));
    let settings = {
        let state = fake.state();
        state.objects["/_component_template/flowsentry-flows@settings"].0.clone()
    };
    assert_eq!(settings["template"]["settings"].get("index.lifecycle.name"), None);
    assert_eq!(settings["template"]["lifecycle"], json!({"data_retention": "14d"}));
    let plan = fake.installer().plan();
    let notes = plan.expect("a plan").notes;
    assert_eq!(notes.len(), 1);
    assert!(notes[0].starts_with("a serverless project has no lifecycle policies"), "{notes:?}");
}
