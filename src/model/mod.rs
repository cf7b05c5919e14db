//! What travels through flowsentry: flows in, findings, anomalies and alerts out.
//!
//! Pure data: no I/O, no clock, no randomness. Every other module speaks these types.

mod alert;
mod anomaly;
mod document;
mod evidence;
mod finding;
mod flow;
mod icmp;
mod kind;
mod letter;
mod prefix;
mod protocol;
mod score;
mod secret;
mod setting;
mod subject;
mod text;
mod time;

pub use alert::{Alert, AlertStatus};
pub use anomaly::{Anomaly, DetectorVerdict};
pub use document::{ECS_VERSION, WindowSummary, alert_document, anomaly_document, dataset, unique};
pub use evidence::{FlowEvidence, SampledCounts, ServicePort};
pub use finding::{FeatureEvidence, Finding};
pub use flow::{
    ConnectionState, Counters, Defects, Endpoint, Flow, FlowOrigin, NetworkType, Outcome, Role,
    is_group,
};
pub use icmp::IcmpMessage;
pub use kind::{Kind, Technique};
pub use letter::{Letter, LetterKind, Origin};
pub use prefix::{PrefixMap, canonical_net};
pub use protocol::{Protocol, TcpFlags};
pub use score::{Score, Severity};
pub use secret::Secret;
pub use setting::SettingError;
pub use subject::{Subject, SubjectType, WindowSpan, document_id, hex};
pub use text::{is_unprintable, one_line};
pub(crate) use time::nanos;
pub use time::{ParseTimestampError, Timestamp};
