//! Installing what a cluster needs: what is missing or old is planned, applied, verified.
//!
//! ```text
//! index-templates/ ─render→ Asset ─┐
//! Installer::plan ─ reads, compares ─→ Plan ─ apply ─→ Applied ─ verify ─→ Verified
//!                                        └ printed: a diff     └ a failing step rolls back
//! guard: before the first write of a worker
//! ```

mod apply;
mod assets;
mod capabilities;
mod error;
mod finding;
mod guard;
mod indices;
mod installer;
mod mapping;
mod objects;
mod plan;
mod probe;
mod rivals;
mod verify;

pub use apply::{Applied, Written};
pub use assets::{
    Asset, AssetKind, Capabilities, Retention, SCHEMA, Standing, compare, constant_keyword_probe,
    render,
};
pub use capabilities::find_capabilities;
pub use error::SetupError;
pub use finding::Finding;
pub use guard::{GuardError, Settings, find_problems, guard};
pub use indices::{Stuck, Upgrade};
pub use installer::{Installer, Scope, Selection};
pub use objects::{Lock, Present};
pub use plan::{Action, Plan, Step};
pub use probe::PROBE_NAMESPACE;
pub use verify::Verified;
