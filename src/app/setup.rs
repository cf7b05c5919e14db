//! `setup`: makes a cluster ready and proves it.

use std::fmt::Write as _;

use anyhow::{Context, bail};

use super::Outcome;
use super::common::{Patience, now, open_cluster, print_line};
use crate::cli::SetupArgs;
use crate::config::Config;
use crate::setup::{Applied, AssetKind, Finding, Installer, Plan, Scope, Selection, Verified};

/// Sets up the cluster of the settings.
pub(super) fn setup(config: &Config, args: &SetupArgs) -> anyhow::Result<Outcome> {
    let Some(cluster) = open_cluster(config, Patience::None)? else {
        print_line(
            "Nothing to set up: the embedded store needs no templates. A cluster is named under \
             `output.elasticsearch` or `output.opensearch`.",
        )?;
        return Ok(Outcome::Done);
    };
    let installer = Installer::new(&cluster, scope(config, selection(args))?)?;
    let place = format!("{} at {}", cluster.server(), cluster.hosts());
    if args.check {
        return check(&installer, &place);
    }
    let plan = installer.plan()?;
    if args.diff {
        return print_plan(&plan);
    }
    let applied = installer.apply(&plan, args.force)?;
    let changes = describe_changes(&plan, &applied);
    match changes.is_empty() {
        true => print_line(&nothing_to_change(&plan))?,
        false => print_line(&format!("Set up {place}:\n{}", changes.trim_end()))?,
    }
    let verified = installer.verify().context("the objects are in place, verifying them failed")?;
    for note in plan.notes.iter().chain(&verified.notes) {
        print_line(&format!("note: {note}"))?;
    }
    for stuck in applied.stuck.iter().filter(|stuck| !stuck.is_written) {
        print_line(&format!("note: index {}: {}; {}", stuck.index, stuck.cause, stuck.remedy))?;
    }
    if !verified.findings.is_empty() {
        print_findings(&verified.findings)?;
        bail!("the objects are in place, but the set-up does not work yet: see above");
    }
    print_line(&describe_proof(&verified))?;
    if !changes.is_empty() {
        print_line("Index setup finished.")?;
    }
    Ok(Outcome::Done)
}

/// What setup looks after with these settings.
pub(super) fn scope(config: &Config, selection: Selection) -> anyhow::Result<Scope> {
    let retention = config.output.keep_days;
    Ok(Scope { retention, namespace: config.namespace()?, selection, now: now() })
}

fn selection(args: &SetupArgs) -> Selection {
    if !args.index_management && !args.pipelines {
        return Selection::ALL;
    }
    Selection { index_management: args.index_management, pipelines: args.pipelines }
}

fn check(installer: &Installer, place: &str) -> anyhow::Result<Outcome> {
    let findings = installer.check()?;
    if findings.is_empty() {
        print_line(&format!("OK: {place} is set up."))?;
        return Ok(Outcome::Done);
    }
    print_findings(&findings)?;
    Ok(Outcome::Code(1))
}

fn print_findings(findings: &[Finding]) -> anyhow::Result<()> {
    for (at, Finding { object, cause, remedy }) in findings.iter().enumerate() {
        print_line(&format!("ERROR {object}: {cause}"))?;
        // What many have in common is said once.
        if findings.get(at + 1).is_none_or(|next| next.remedy != *remedy) {
            print_line(&format!("      remedy: {remedy}"))?;
        }
    }
    Ok(())
}

fn print_plan(plan: &Plan) -> anyhow::Result<Outcome> {
    if plan.is_empty() && plan.refused().is_empty() {
        print_line(&nothing_to_change(plan))?;
    } else {
        print_line(plan.to_string().trim_end())?;
    }
    Ok(Outcome::Done)
}

fn nothing_to_change(plan: &Plan) -> String {
    format!("Nothing to change: {} objects are up to date.", plan.up_to_date())
}

/// One line per kind of object that changed.
fn describe_changes(plan: &Plan, applied: &Applied) -> String {
    let mut text = String::new();
    for kind in [AssetKind::Policy, AssetKind::Pipeline, AssetKind::Component, AssetKind::Template]
    {
        let count = |list: &[crate::setup::Written]| {
            list.iter().filter(|written| written.kind == kind).count()
        };
        let names = |list: &[crate::setup::Written]| {
            let names = list.iter().filter(|written| written.kind == kind);
            names.map(|written| written.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        let mut parts = Vec::new();
        match count(&applied.created) {
            0 => {}
            created => parts.push(format!("{created} created")),
        }
        match count(&applied.replaced) {
            0 => {}
            replaced => {
                parts.push(format!("{replaced} replaced ({})", names(&applied.replaced)));
            }
        }
        if !parts.is_empty() {
            let _ = writeln!(text, "  {:<20} {}", kind.plural(), parts.join(", "));
        }
    }
    if !applied.indices.is_empty() {
        let _ = writeln!(text, "  {:<20} {}", "indices created", applied.indices.join(", "));
    }
    for upgrade in &applied.upgrades {
        let _ = writeln!(text, "  {:<20} {upgrade}", "upgraded");
    }
    if !text.is_empty() && plan.up_to_date() > 0 {
        let _ = writeln!(text, "  {:<20} {} objects", "up to date before", plan.up_to_date());
    }
    text
}

fn describe_proof(verified: &Verified) -> String {
    let mut proofs = Vec::new();
    if verified.resolved > 0 {
        proofs.push(format!("{} index templates resolve as written", verified.resolved));
    }
    if verified.proven > 0 {
        proofs.push(format!(
            "{} probe documents were stored, found by every field and removed again",
            verified.proven
        ));
    }
    if proofs.is_empty() {
        proofs.push("everything is as written".to_owned());
    }
    format!("Verified: {}.", proofs.join("; "))
}
