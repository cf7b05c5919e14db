//! Waits for a store that is away.

use std::fmt;
use std::time::Duration;

use super::{Document, Sink, SinkError};

/// First and longest pause between two attempts.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Repeats a failed flush until it succeeds or `give_up` says so. Meanwhile nothing more is taken,
/// so that the source is held back and memory stays bounded.
///
/// The sink below must keep what it could not write, as [`super::StoreSink`] does.
pub struct PatientSink<S> {
    inner: S,
    /// Waits for the given time; returns whether to give up.
    give_up: Box<dyn Fn(Duration) -> bool + Send>,
}

impl<S: Sink> PatientSink<S> {
    /// Returns a patient `inner`. `give_up` waits for the pause it is given, and says whether
    /// waiting is over.
    pub fn new(inner: S, give_up: Box<dyn Fn(Duration) -> bool + Send>) -> Self {
        Self { inner, give_up }
    }

    /// The sink below.
    pub fn inner(&self) -> &S {
        &self.inner
    }
}

/// Repeats `attempt` with growing pauses while it fails for a reason that `passes`, until `give_up`,
/// which waits for the pause it is given, says that waiting is over.
///
/// # Errors
/// The last one of `attempt`.
pub fn until_done<E: fmt::Display>(
    give_up: &dyn Fn(Duration) -> bool,
    passes: impl Fn(&E) -> bool,
    mut attempt: impl FnMut() -> Result<(), E>,
) -> Result<(), E> {
    let mut pause = PAUSES.0;
    loop {
        let error = match attempt() {
            Err(error) if passes(&error) => error,
            done => return done,
        };
        let seconds = pause.as_secs();
        tracing::error!(%error, seconds, "results wait: they are not taken");
        if give_up(pause) {
            return Err(error);
        }
        pause = (pause * 2).min(PAUSES.1);
    }
}

impl<S: Sink> Sink for PatientSink<S> {
    fn write(&mut self, document: &Document) -> Result<(), SinkError> {
        // A write keeps the document first and may flush then: only the flush is repeated.
        match self.inner.write(document) {
            Err(SinkError::Store(_) | SinkError::Busy { .. }) => self.flush(),
            done => done,
        }
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        let passes =
            |error: &SinkError| matches!(error, SinkError::Store(_) | SinkError::Busy { .. });
        until_done(&*self.give_up, passes, || self.inner.flush())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    use crate::sinks::Dataset;

    /// Fails so many times, then takes everything.
    struct Away {
        failures: u32,
        flushed: Rc<RefCell<u32>>,
    }

    impl Sink for Away {
        fn write(&mut self, _: &Document) -> Result<(), SinkError> {
            self.flush()
        }

        fn flush(&mut self) -> Result<(), SinkError> {
            if self.failures > 0 {
                self.failures -= 1;
                return Err(SinkError::Busy { count: 1, reason: "away".to_owned() });
            }
            *self.flushed.borrow_mut() += 1;
            Ok(())
        }
    }

    #[test]
    fn a_store_that_comes_back_gets_everything_and_pauses_grow() {
        let flushed = Rc::new(RefCell::new(0));
        let pauses = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let seen = std::sync::Arc::clone(&pauses);
        let away = Away { failures: 7, flushed: Rc::clone(&flushed) };
        let wait = move |pause: Duration| {
            seen.lock().unwrap().push(pause.as_secs());
            false
        };
        let mut sink = PatientSink::new(away, Box::new(wait));
        let document = Document { dataset: Dataset::Anomaly, body: serde_json::json!({}) };
        sink.write(&document).unwrap();
        assert_eq!(*flushed.borrow(), 1);
        assert_eq!(*pauses.lock().unwrap(), [1, 2, 4, 8, 16, 30]);
    }

    #[test]
    fn whoever_gives_up_gets_the_reason() {
        let away = Away { failures: 3, flushed: Rc::default() };
        let mut sink = PatientSink::new(away, Box::new(|_| true));
        assert!(matches!(sink.flush(), Err(SinkError::Busy { .. })));
    }
}
