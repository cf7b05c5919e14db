//! Elasticsearch and OpenSearch as stores.
//!
//! ```text
//! Cluster ─ call, demand, find ─→ nodes          raw calls: setup, tests
//! ClusterStore ─ bulk, search … ─→ Cluster       the contract of all stores
//! ```

mod aggregations;
mod answer;
mod bulk;
mod conditions;
mod connection;
mod error;
mod moment;
mod query;
mod results;

mod server;
mod settings;
mod store;
mod wire;

pub use connection::{Call, Cluster, Reply};
pub use error::ClusterError;
pub(crate) use error::bounded;
pub use server::{Flavour, InvalidVersion, Server, ServerVersion};
pub use settings::{ClusterSettings, SslSettings, VerificationMode, read_secret};
pub use store::ClusterStore;
pub use wire::Method;
