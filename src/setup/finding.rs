//! What is off, with its cause and the way out.

use super::plan::{Action, Plan};

/// The way out of most.
pub(super) const SETUP: &str = "run `flowsentry setup`";

/// Something that is off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub object: String,
    /// What is wrong.
    pub cause: String,
    /// The way out.
    pub remedy: String,
}

/// What a plan has yet to do, as findings.
pub(super) fn pending(plan: &Plan) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |object: String, cause: String, remedy: &str| {
        findings.push(Finding { object, cause, remedy: remedy.to_owned() });
    };
    for step in &plan.steps {
        let title = step.asset.title();
        match &step.action {
            Action::Keep => {}
            Action::Create => find(title, "it is missing".to_owned(), SETUP),
            Action::Update { from } => {
                find(title, format!("it is of the older schema {from}"), SETUP);
            }
            Action::Repair { differences } => find(
                title,
                format!("it differs from what flowsentry writes, in {}", differences.join(", ")),
                "run `flowsentry setup` to restore it; additions of your own belong into the \
                 component templates `flowsentry-…@custom`",
            ),
            Action::Refuse { reason } => find(
                title,
                reason.clone(),
                "move it out of the way, or let `flowsentry setup --force` overwrite it",
            ),
        }
    }
    for index in &plan.indices {
        find(format!("index {index}"), "it is missing".to_owned(), SETUP);
    }
    for upgrade in &plan.upgrades {
        find(upgrade.object(), format!("not done yet: {upgrade}"), SETUP);
    }
    for stuck in plan.stuck.iter().filter(|stuck| stuck.is_written) {
        find(format!("index {}", stuck.index), stuck.cause.clone(), &stuck.remedy);
    }
    findings
}
