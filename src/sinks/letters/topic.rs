//! Letters as messages of a topic.

use std::time::{Duration, Instant};

use super::{LetterPlace, WAITING_BYTES};
use crate::model::Letter;
use crate::sinks::SinkError;
use crate::sinks::kafka::{KafkaProducer, ProduceError};
use crate::sources::kafka::KafkaInput;

/// How long brokers may take for the letters in waiting before somebody is told.
const ATTEMPT: Duration = Duration::from_secs(30);

/// Sends letters, keyed by their ids, and waits until the brokers have them.
pub struct LetterTopic {
    settings: KafkaInput,
    topic: String,
    is_stopped: Box<dyn Fn() -> bool + Send>,
    producer: Option<KafkaProducer>,
    /// Id and JSON.
    waiting: Vec<(String, Vec<u8>)>,
    bytes: usize,
}

impl LetterTopic {
    /// Returns the letters of `topic` on the brokers of `settings`. The topic is made when it is
    /// missing and may be made. Waiting for brokers that are away ends early when `is_stopped`.
    pub fn new(
        settings: KafkaInput,
        topic: String,
        is_stopped: Box<dyn Fn() -> bool + Send>,
    ) -> Self {
        Self { settings, topic, is_stopped, producer: None, waiting: Vec::new(), bytes: 0 }
    }

    fn send_all(&mut self) -> Result<(), ProduceError> {
        let begun = Instant::now();
        let is_over = || (self.is_stopped)() || begun.elapsed() >= ATTEMPT;
        let producer = match &mut self.producer {
            Some(producer) => producer,
            none => none.insert(KafkaProducer::open_letters(&self.settings, &self.topic)?),
        };
        let mut too_large = 0;
        for letter in &self.waiting {
            too_large += send(producer, letter)?;
        }
        too_large += producer.settle(&is_over)?;
        if too_large == 0 {
            return Ok(());
        }
        // Brokers refuse what is too large together with all that came in one batch.
        for letter in &self.waiting {
            if send(producer, letter)? + producer.settle(&is_over)? > 0 {
                let (id, bytes) = (&letter.0, letter.1.len());
                tracing::error!(id, bytes, "a dead letter is too large for its topic: it is lost");
            }
        }
        Ok(())
    }
}

/// Sends a letter; returns 1 when it is too large even for the client.
fn send(producer: &KafkaProducer, (id, letter): &(String, Vec<u8>)) -> Result<u64, ProduceError> {
    match producer.send(letter, Some(id.as_bytes()), None) {
        Err(error) if error.is_too_large() => Ok(1),
        sent => sent.map(|()| 0),
    }
}

impl LetterPlace for LetterTopic {
    fn write(&mut self, letter: &Letter) -> Result<(), SinkError> {
        let json = serde_json::to_vec(letter).map_err(std::io::Error::from)?;
        self.bytes += json.len();
        self.waiting.push((letter.id.clone(), json));
        if self.bytes >= WAITING_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.send_all() {
            // A client may be broken for good: the next attempt has a new one. What was taken comes
            // again under the same id.
            self.producer = None;
            return Err(error.into());
        }
        self.waiting.clear();
        self.bytes = 0;
        Ok(())
    }
}
