//! Finds out what a cluster lacks.

use std::collections::BTreeSet;

use super::capabilities::find_capabilities;
use super::error::{SetupError, missing_feature};
use super::indices::{STREAM_PREFIX, find_needs};
use super::objects::{Existing, Present, read_all};
use super::plan::{Action, Plan, Step};
use super::probe::PROBE_NAMESPACE;
use super::{Asset, AssetKind, Capabilities, Retention, Standing, compare, render};
use crate::model::Timestamp;
use crate::stores::{Cluster, ClusterError, Family, IndexName, Namespace};

/// What setup shall look after.
#[derive(Clone, Debug)]
pub struct Scope {
    /// How long documents are kept.
    pub retention: Retention,
    /// Whose indices are made beforehand and looked at.
    pub namespace: Namespace,
    /// Which objects.
    pub selection: Selection,
    /// The present: which indices are written to.
    pub now: Timestamp,
}

/// Which objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Policies, templates and indices.
    pub index_management: bool,
    /// Ingest pipelines.
    pub pipelines: bool,
}

impl Selection {
    /// Everything.
    pub const ALL: Self = Self { index_management: true, pipelines: true };

    const fn has(self, kind: AssetKind) -> bool {
        match kind {
            AssetKind::Policy | AssetKind::Component | AssetKind::Template => self.index_management,
            AssetKind::Pipeline => self.pipelines,
        }
    }
}

/// Installs what a cluster needs: plans, applies, verifies.
#[derive(Clone, Debug)]
pub struct Installer {
    pub(super) cluster: Cluster,
    pub(super) scope: Scope,
    pub(super) capabilities: Capabilities,
    /// Everything for this server, also what is not selected.
    pub(super) assets: Vec<Asset>,
}

impl Installer {
    /// Asks the server what it can do and makes the objects for it.
    ///
    /// # Errors
    /// When the server does not answer, or does not let itself be asked.
    pub fn new(cluster: &Cluster, scope: Scope) -> Result<Self, SetupError> {
        if scope.namespace.as_str() == PROBE_NAMESPACE {
            return Err(SetupError::Namespace(scope.namespace.to_string()));
        }
        let cluster = cluster.clone();
        let flavour = cluster.server().flavour;
        let capabilities =
            find_capabilities(&cluster).map_err(|error| SetupError::reading(error, flavour))?;
        let assets = render(cluster.server(), capabilities, scope.retention);
        Ok(Self { cluster, scope, capabilities, assets })
    }

    /// What the server can do.
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// Finds what is missing, old, changed, or in the way. Reads only.
    ///
    /// # Errors
    /// When the cluster cannot be read.
    pub fn plan(&self) -> Result<Plan, SetupError> {
        self.find_plan().map_err(|error| self.reading(error))
    }

    pub(super) fn reading(&self, error: ClusterError) -> SetupError {
        SetupError::reading(error, self.cluster.server().flavour)
    }

    /// The objects that are looked after.
    pub(super) fn selected(&self) -> Vec<Asset> {
        let selected = self.assets.iter().filter(|asset| self.scope.selection.has(asset.kind));
        selected.cloned().collect()
    }

    fn find_plan(&self) -> Result<Plan, ClusterError> {
        let assets = self.selected();
        let mut existing = read_all(&self.cluster, &assets)?;
        let steps: Vec<Step> =
            assets.into_iter().map(|asset| plan_step(asset, &mut existing)).collect();
        let mut plan = Plan {
            server: self.cluster.server(),
            steps,
            indices: Vec::new(),
            upgrades: Vec::new(),
            stuck: Vec::new(),
            notes: self.notes(),
            indices_present: 0,
        };
        if self.scope.selection.index_management {
            self.plan_indices(&mut plan)?;
        }
        Ok(plan)
    }

    fn plan_indices(&self, plan: &mut Plan) -> Result<(), ClusterError> {
        let renewed: BTreeSet<String> = plan
            .steps
            .iter()
            .filter(|step| step.asset.kind == AssetKind::Policy && step.action != Action::Keep)
            .map(|step| step.asset.name.clone())
            .collect();
        let needs = find_needs(&self.cluster, &self.assets, &renewed, self.scope.now)?;
        for family in [Family::State, Family::Exceptions, Family::Models] {
            let index = self.live_index(family);
            match needs.present.contains(&index.to_string()) {
                true => plan.indices_present += 1,
                false => plan.indices.push(index),
            }
        }
        plan.upgrades = needs.upgrades;
        plan.stuck = needs.stuck;
        Ok(())
    }

    /// The index that documents of the present go to.
    fn live_index(&self, family: Family) -> IndexName {
        IndexName::for_event(family, &self.scope.namespace, self.scope.now)
    }

    /// The index, for raw flows the data stream, that documents of the present go to.
    pub(super) fn written_name(&self, family: Family, namespace: &Namespace) -> String {
        match family {
            Family::Flows => format!("{STREAM_PREFIX}{namespace}"),
            Family::Windows
            | Family::Anomalies
            | Family::Alerts
            | Family::Health
            | Family::Reports
            | Family::State
            | Family::Exceptions
            | Family::DeadLetters
            | Family::Predictions
            | Family::Models => IndexName::for_event(family, namespace, self.scope.now).to_string(),
        }
    }

    fn notes(&self) -> Vec<String> {
        let server = self.cluster.server();
        let lacks = [
            (AssetKind::Policy, self.capabilities.lifecycle),
            (AssetKind::Pipeline, self.capabilities.ingest),
        ];
        let lacks = lacks.iter().filter(|(kind, has)| !has && self.scope.selection.has(*kind));
        lacks
            .map(|(kind, _)| missing_feature(*kind, server.flavour, server.serverless).to_owned())
            .collect()
    }
}

fn plan_step(asset: Asset, existing: &mut Existing) -> Step {
    let previous = existing.remove(&(asset.kind, asset.name.clone()));
    let action = match &previous {
        None => Action::Create,
        Some(present) => plan_action(&asset, present),
    };
    Step { asset, action, previous }
}

fn plan_action(asset: &Asset, present: &Present) -> Action {
    match compare(asset, &present.body) {
        Standing::Same => Action::Keep,
        Standing::Older { schema } => Action::Update { from: schema },
        Standing::Edited { differences } => Action::Repair { differences },
        Standing::Newer { schema } => Action::Refuse {
            reason: format!(
                "its schema {schema} is newer than this program knows: upgrade flowsentry"
            ),
        },
        Standing::Foreign => Action::Refuse { reason: "it was not made by flowsentry".to_owned() },
    }
}
