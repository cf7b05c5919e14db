//! Dead letters of a topic, read once from its start to its end.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset, TopicPartitionList};

use super::config::client_config;
use super::settings::KafkaInput;
use crate::sources::SourceError;
use crate::sources::letters::{EachLetter, LetterFilter, read_letter};

/// How long the brokers may take for an answer, or for the next message.
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest poll.
const POLL: Duration = Duration::from_millis(100);

/// Hands the letters of a topic to `each`, those of a partition in the order in which they were
/// written; returns how many messages are no letters. Leaves nothing behind on the brokers.
///
/// # Errors
/// When there is no such topic, or the brokers do not answer for twenty seconds.
pub fn letters_of_topic(
    settings: &KafkaInput,
    topic: &str,
    filter: &LetterFilter,
    each: &mut EachLetter<'_>,
) -> Result<u64, SourceError> {
    let failed = |reason: String| SourceError::Failed {
        action: format!("reading the topic `{topic}`"),
        reason,
    };
    let consumer = consumer(settings)?;
    let broken = |error: KafkaError| failed(error.to_string());
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).map_err(broken)?;
    let mut list = TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        list.add_partition_offset(topic, partition.id(), Offset::Beginning).map_err(broken)?;
    }
    if list.count() == 0 {
        return Err(failed("there is no such topic".to_owned()));
    }
    consumer.assign(&list).map_err(broken)?;
    let (mut damaged, mut heard) = (0, Instant::now());
    // An end is told again when something came meanwhile.
    let mut ended = BTreeSet::new();
    while ended.len() < list.count() {
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                heard = Instant::now();
                let letter =
                    read_letter(message.payload().unwrap_or_default(), filter, &mut damaged);
                if letter.is_some_and(|letter| each(letter).is_break()) {
                    return Ok(damaged);
                }
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                ended.insert(partition);
                heard = Instant::now();
            }
            // Brokers that are away come back, or do not.
            Some(Err(error)) if heard.elapsed() > PATIENCE => return Err(broken(error)),
            None if heard.elapsed() > PATIENCE => {
                return Err(failed("the brokers do not answer".to_owned()));
            }
            Some(Err(_)) | None => {}
        }
    }
    Ok(damaged)
}

fn consumer(settings: &KafkaInput) -> Result<BaseConsumer, SourceError> {
    let mut config = client_config(settings)?;
    config
        // Named because the client wants a name; nothing is shared out or committed.
        .set("group.id", format!("{}-letters", settings.group_id))
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("enable.partition.eof", "true");
    config.create().map_err(|error: KafkaError| SourceError::Failed {
        action: "opening the consumer".to_owned(),
        reason: error.to_string(),
    })
}
