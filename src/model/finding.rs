//! What one detector says about one subject in one window.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Kind, ServicePort, Subject, WindowSpan};

/// What one detector says about one subject in one window.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The detector's id, for example `port_scan`.
    pub detector: &'static str,
    /// What is wrong.
    pub kind: Kind,
    /// Who it is about; its type is the kind's.
    pub subject: Subject,
    /// When.
    pub window: WindowSpan,
    /// Probability, in (0, 1], of something at least as extreme in this network's ordinary traffic.
    pub probability: f64,
    /// How bad, from 0 (just over the rule) to 1 (as bad as this kind gets).
    pub strength: f64,
    /// The numbers behind it, most telling first.
    pub features: Vec<FeatureEvidence>,
    /// One clause without final stop: "tried 150 ports of 10.77.0.21 within 60 s (typical: 3)".
    pub reason: String,
    /// Other hosts involved (victims, peers), most involved first, at most
    /// [`Finding::MAX_RELATED`].
    pub related: Vec<IpAddr>,
    /// The services that it is about; empty when it is about no particular one.
    pub services: Vec<ServicePort>,
}

impl Finding {
    /// How many other hosts a finding names: enough for a person, bounded in a flood.
    pub const MAX_RELATED: usize = 10;
}

/// One number: what it was against what it usually is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureEvidence {
    /// The published feature name, for example `uniqDstPorts`.
    pub name: Cow<'static, str>,
    /// What was seen.
    pub actual: f64,
    /// What is usual, where a basis exists.
    pub typical: Option<f64>,
    /// Lower end of the usual band.
    pub lower: Option<f64>,
    /// Upper end of the usual band; also the threshold of a rule.
    pub upper: Option<f64>,
    /// The part (0–1) of the score that comes from this number, where a detector can tell.
    #[serde(default)]
    pub share: Option<f64>,
}
