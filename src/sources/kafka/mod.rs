//! Kafka topics as a source: partitions that are read in order and can be read again.
//!
//! ```text
//! broker → poll thread: decode ─bounded queue→ judge → store → snapshot → commit
//!            └ the queue is full: wait, then pause and go on polling for the group's sake
//! ```
//!
//! Auto commit is off. Where reading begins is decided by the snapshot, not by the broker; what is
//! committed tells people and tools how far this group is.

mod config;
mod consumer;
mod context;
mod letters;
mod log;
mod records;
mod settings;
mod watch;

pub use config::client_config;
pub use consumer::KafkaSource;
pub use context::PartitionEnd;
pub use letters::letters_of_topic;
pub use log::KafkaLog;
pub use records::{RawRecord, RawTopics};
pub use settings::{KafkaInput, Mechanism, Sasl, Ssl, Start};
