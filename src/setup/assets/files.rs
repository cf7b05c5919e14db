//! The files of `index-templates/`, compiled in.

use crate::stores::{Family, Flavour};

macro_rules! file {
    ($($part:literal),+) => {
        include_str!(concat!("../../../index-templates/", $($part,)+ ".json"))
    };
}

macro_rules! family {
    ($name:literal) => {
        family!($name, None)
    };
    ($name:literal, ages) => {
        family!(
            $name,
            Some(Policies {
                ilm: file!("policy/ilm/flowsentry-", $name),
                ism: file!("policy/ism/flowsentry-", $name),
            })
        )
    };
    ($name:literal, $policies:expr) => {
        FamilyFiles {
            mappings: file!("component/flowsentry-", $name, "@mappings"),
            settings: file!("component/flowsentry-", $name, "@settings"),
            template: file!("template/flowsentry-", $name),
            policies: $policies,
        }
    };
}

/// The files of one family.
#[derive(Clone, Copy, Debug)]
pub(super) struct FamilyFiles {
    /// Component template with the fields.
    pub mappings: &'static str,
    /// Component template with the settings.
    pub settings: &'static str,
    /// Index template that puts the components together.
    pub template: &'static str,
    /// Lifecycle policy; absent for families that do not age.
    policies: Option<Policies>,
}

/// The files of the records that are no flows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rejected {
    /// Component template with the fields.
    pub mappings: &'static str,
    /// Index template; the settings are those of raw flows.
    pub template: &'static str,
}

/// The same policy in both languages.
#[derive(Clone, Copy, Debug)]
struct Policies {
    ilm: &'static str,
    ism: &'static str,
}

impl FamilyFiles {
    /// The lifecycle policy in the language of `flavour`.
    pub(super) fn policy(&self, flavour: Flavour) -> Option<&'static str> {
        let policies = self.policies?;
        Some(match flavour {
            Flavour::Elasticsearch => policies.ilm,
            Flavour::OpenSearch => policies.ism,
        })
    }
}

/// The component template of every family that belongs to the user.
pub(super) const CUSTOM: &str = file!("component/custom");

/// The ingest pipeline of raw flows.
pub(super) const FLOWS_PIPELINE: &str = file!("pipeline/flowsentry-flows");

/// The records that are no flows: kept like raw flows, beside them, under fields of their own.
pub(super) const REJECTED: Rejected = Rejected {
    mappings: file!("component/flowsentry-rejected@mappings"),
    template: file!("template/flowsentry-rejected"),
};

/// Returns the files of `family`.
pub(super) const fn of_family(family: Family) -> FamilyFiles {
    match family {
        Family::Flows => family!("flows", ages),
        Family::Windows => family!("windows", ages),
        Family::Anomalies => family!("anomalies", ages),
        Family::Alerts => family!("alerts", ages),
        Family::Health => family!("health", ages),
        Family::Reports => family!("reports", ages),
        Family::State => family!("state"),
        Family::Exceptions => family!("exceptions"),
        Family::DeadLetters => family!("deadletters", ages),
        Family::Predictions => family!("predictions", ages),
        Family::Models => family!("models"),
    }
}
