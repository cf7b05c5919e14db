//! Does what was planned; takes it back when a step fails.

use serde_json::json;

use super::error::{SetupError, privileges};
use super::indices::{Stuck, is_written_at, stuck_index};
use super::objects::{Lock, Present, read_one, remove, restore, write};
use super::plan::{Action, Plan, Step};
use super::{Asset, AssetKind, Installer, Standing, Upgrade, compare};
use crate::stores::{Call, Cluster, ClusterError, Flavour, Method, bounded};

/// What was done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Applied {
    /// Objects that were made.
    pub created: Vec<Written>,
    /// Objects that were replaced: older, changed, or not ours.
    pub replaced: Vec<Written>,
    /// Indices that were made.
    pub indices: Vec<String>,
    /// What existing indices got.
    pub upgrades: Vec<String>,
    /// Indices that cannot be brought up to date.
    pub stuck: Vec<Stuck>,
    /// How many objects were as they shall be.
    pub kept: usize,
}

/// An object that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its kind.
    pub kind: AssetKind,
    /// Its name.
    pub name: String,
}

/// Something that was done, with what takes it back.
enum Done<'a> {
    Created(&'a Asset),
    Replaced(&'a Asset, &'a Present),
    Index(String),
    Upgraded(String),
}

impl Installer {
    /// Does what `plan` says. `force` overwrites objects that are not ours or newer.
    ///
    /// # Errors
    /// Before the first write when something must not be touched. When a step fails: what was
    /// written before is taken back, and the error says what was and what could not be.
    pub fn apply(&self, plan: &Plan, force: bool) -> Result<Applied, SetupError> {
        let objects = plan.refused();
        if !force && !objects.is_empty() {
            return Err(SetupError::Refused { objects });
        }
        let mut run = Run {
            cluster: &self.cluster,
            done: Vec::new(),
            applied: Applied {
                kept: plan.up_to_date(),
                stuck: plan.stuck.clone(),
                ..Applied::default()
            },
        };
        match self.run(plan, &mut run) {
            Ok(()) => Ok(run.applied),
            Err(source) => Err(run.roll_back(source)),
        }
    }

    fn run<'a>(&self, plan: &'a Plan, run: &mut Run<'a>) -> Result<(), ClusterError> {
        for step in &plan.steps {
            run.put(step)?;
        }
        for index in &plan.indices {
            run.make_index(&index.to_string())?;
        }
        for upgrade in &plan.upgrades {
            self.upgrade(upgrade, run)?;
        }
        Ok(())
    }

    fn upgrade(&self, upgrade: &Upgrade, run: &mut Run<'_>) -> Result<(), ClusterError> {
        match upgrade {
            Upgrade::Extend { index, stream, additions, .. } => {
                let call = Call::new(
                    format!("extending the mapping of {index}"),
                    Method::Put,
                    format!("/{index}/_mapping"),
                );
                match (self.cluster.demand(&call.json(additions.clone())), stream) {
                    (Ok(_), _) => {}
                    // What an index cannot take, the next one of the stream can.
                    (Err(ClusterError::Refused { reason, .. }), Some(stream)) => {
                        let upgrade = Upgrade::RollOver { stream: stream.clone(), reason };
                        return self.upgrade(&upgrade, run);
                    }
                    (Err(ClusterError::Refused { reason, .. }), None) => {
                        let is_written = is_written_at(index, self.scope.now);
                        run.applied.stuck.push(stuck_index(index, &reason, is_written));
                        return Ok(());
                    }
                    (Err(error), _) => return Err(error),
                }
            }
            Upgrade::RollOver { stream, .. } => {
                let action = format!("rolling over {stream}");
                self.cluster.demand(
                    &Call::new(action, Method::Post, format!("/{stream}/_rollover")).once(),
                )?;
            }
            Upgrade::Attach { index, policy } => self.attach(index, policy)?,
            Upgrade::Follow { index, policy } => {
                self.tell_ism("change_policy", index, policy)?;
            }
        }
        run.applied.upgrades.push(upgrade.to_string());
        run.done.push(Done::Upgraded(upgrade.to_string()));
        Ok(())
    }

    fn attach(&self, index: &str, policy: &str) -> Result<(), ClusterError> {
        if self.cluster.server().flavour == Flavour::OpenSearch {
            return self.tell_ism("add", index, policy);
        }
        let action = format!("giving {index} the policy {policy}");
        let call = Call::new(action, Method::Put, format!("/{index}/_settings"))
            .json(json!({"index.lifecycle.name": policy}));
        self.cluster.demand(&call).map(|_| ())
    }

    fn tell_ism(&self, verb: &str, index: &str, policy: &str) -> Result<(), ClusterError> {
        let action = format!("giving {index} the policy {policy}");
        let call = Call::new(&action, Method::Post, format!("/_plugins/_ism/{verb}/{index}"))
            .json(json!({"policy_id": policy}));
        let answer = self.cluster.demand(&call)?;
        // Failures of single indices come with a status of success.
        if answer["failures"] == true {
            let reason =
                answer["failed_indices"][0]["reason"].as_str().unwrap_or("no reason given");
            return Err(ClusterError::Answer { action, reason: bounded(reason) });
        }
        Ok(())
    }
}

/// One application of a plan.
struct Run<'a> {
    cluster: &'a Cluster,
    done: Vec<Done<'a>>,
    applied: Applied,
}

impl<'a> Run<'a> {
    fn put(&mut self, step: &'a Step) -> Result<(), ClusterError> {
        if step.action == Action::Keep {
            return Ok(());
        }
        let asset = &step.asset;
        let written = Written { kind: asset.kind, name: asset.name.clone() };
        let lock: Option<Lock> = step.previous.as_ref().and_then(|present| present.lock);
        let result = match write(self.cluster, asset, lock) {
            Err(ClusterError::Refused { status: 409, .. }) if self.is_done_by_others(asset)? => {
                return Ok(());
            }
            result => result,
        };
        // A write whose answer was lost may have been done.
        if result.is_ok() || result.as_ref().is_err_and(may_be_done) {
            let (done, list) = match &step.previous {
                None => (Done::Created(asset), &mut self.applied.created),
                Some(previous) => (Done::Replaced(asset, previous), &mut self.applied.replaced),
            };
            self.done.push(done);
            list.push(written);
        }
        result
    }

    /// Whether somebody, perhaps the first attempt of this very request, was faster and wrote the
    /// same.
    fn is_done_by_others(&self, asset: &Asset) -> Result<bool, ClusterError> {
        let present = read_one(self.cluster, asset.kind, &asset.name)?;
        Ok(present.is_some_and(|present| compare(asset, &present.body) == Standing::Same))
    }

    fn make_index(&mut self, index: &str) -> Result<(), ClusterError> {
        let call = Call::new(format!("making the index {index}"), Method::Put, format!("/{index}"));
        match self.cluster.demand(&call) {
            // Somebody was faster.
            Err(ClusterError::Refused { kind, .. })
                if kind == "resource_already_exists_exception" => {}
            Err(error) => {
                if may_be_done(&error) {
                    self.done.push(Done::Index(index.to_owned()));
                }
                return Err(error);
            }
            Ok(_) => self.done.push(Done::Index(index.to_owned())),
        }
        self.applied.indices.push(index.to_owned());
        Ok(())
    }

    /// Takes back everything, the last first, and says what became of it.
    fn roll_back(&mut self, source: ClusterError) -> SetupError {
        let (mut rolled_back, mut left) = (Vec::new(), Vec::new());
        let mut is_gone = false;
        while let Some(done) = self.done.pop() {
            let (name, result) = match done {
                Done::Created(asset) | Done::Replaced(asset, _) if is_gone => {
                    left.push((asset.title(), "the cluster no longer answers".to_owned()));
                    continue;
                }
                Done::Created(asset) => (asset.title(), remove(self.cluster, asset)),
                Done::Replaced(asset, previous) => {
                    (asset.title(), restore(self.cluster, asset, previous))
                }
                Done::Index(index) => (format!("index {index}"), self.drop_index(&index)),
                Done::Upgraded(upgrade) => {
                    left.push((upgrade, "harms nothing and cannot be undone".to_owned()));
                    continue;
                }
            };
            match result {
                Ok(()) => rolled_back.push(name),
                Err(error) => {
                    // Each attempt waits as long as the settings allow: once is enough.
                    is_gone = may_be_done(&error);
                    left.push((name, error.to_string()));
                }
            }
        }
        let privileges = matches!(source, ClusterError::Forbidden { .. })
            .then(|| privileges(self.cluster.server().flavour));
        SetupError::Failed { source: Box::new(source), privileges, rolled_back, left }
    }

    /// Removes an index that this run made, unless somebody has written to it since.
    fn drop_index(&self, index: &str) -> Result<(), ClusterError> {
        let action = format!("counting the documents of {index}");
        // What was written just now is counted only after a refresh.
        let refresh = Call::new(&action, Method::Post, format!("/{index}/_refresh"));
        if self.cluster.find(&refresh)?.is_none() {
            return Ok(());
        }
        let count = Call::new(action, Method::Get, format!("/{index}/_count"));
        let Some(answer) = self.cluster.find(&count)? else { return Ok(()) };
        let action = format!("removing the index {index}");
        if answer["count"] != 0 {
            let reason = "it holds documents already".to_owned();
            return Err(ClusterError::Answer { action, reason });
        }
        self.cluster.find(&Call::new(action, Method::Delete, format!("/{index}"))).map(|_| ())
    }
}

/// Whether a failed write may have been done after all.
const fn may_be_done(error: &ClusterError) -> bool {
    matches!(
        error,
        ClusterError::Unreachable { .. }
            | ClusterError::Timeout { .. }
            | ClusterError::Unavailable { .. }
            | ClusterError::Proxy { .. }
            | ClusterError::NotACluster { .. }
    )
}
