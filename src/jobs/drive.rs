//! The life of a job in a worker: waits, works, tells the others.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tracing::{error, info, warn};

use super::lease::{Ended, Lease};
use super::run_record::RENEW_SECONDS;
use super::runner::{Runner, Step};
use crate::model::Timestamp;

/// The pause after a store has failed.
const STORE_PAUSE: Duration = Duration::from_secs(15);

/// What a run does. It gets the moment at which the run was due, however late it is. It blocks.
pub type Work = dyn Fn(Timestamp) -> anyhow::Result<()> + Send + Sync;

/// Does what is due until `asked` says stop, and ends when the run that is in work then has ended.
/// `clock` tells the present.
///
/// A run that fails, or panics, is tried again after a pause by whichever worker is first. Not
/// cancel-safe: a run whose future is dropped goes on, and the others wait for the end of its lease.
pub async fn drive(
    mut runner: Runner,
    clock: fn() -> Timestamp,
    mut asked: watch::Receiver<bool>,
    work: Arc<Work>,
) {
    while !*asked.borrow() {
        let step;
        (runner, step) = blocking(runner, move |runner| runner.step(clock())).await;
        let pause = match step {
            Ok(Step::Run(lease)) => {
                let run = Run { clock, attempt: lease.attempt(), name: lease.run().to_owned() };
                run.work(lease, &mut asked, Arc::clone(&work)).await;
                continue;
            }
            Ok(Step::Sleep(until)) => {
                Duration::from_nanos(until.nanos_since(clock()).max(0).unsigned_abs())
            }
            Err(error) => {
                warn!(job = runner.job(), %error, "the store cannot be asked for runs");
                STORE_PAUSE
            }
        };
        if is_asked_within(&mut asked, tokio::time::sleep(pause)).await {
            return;
        }
    }
}

/// A run in work, for the log.
struct Run {
    clock: fn() -> Timestamp,
    name: String,
    attempt: u32,
}

impl Run {
    async fn work(self, lease: Box<Lease>, asked: &mut watch::Receiver<bool>, work: Arc<Work>) {
        let due = lease.due();
        let working = tokio::task::spawn_blocking(move || work(due));
        let (lease, done) = self.renew_until_done(lease, working).await;
        let failure = match done {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("{error:#}")),
            Err(panic) => Some(panic.to_string()),
        };
        self.write_end(lease, failure, asked).await;
    }

    /// Returns what `working` gave.
    async fn renew_until_done<T>(
        &self,
        mut lease: Box<Lease>,
        mut working: JoinHandle<T>,
    ) -> (Box<Lease>, Result<T, JoinError>) {
        let clock = self.clock;
        loop {
            tokio::select! {
                done = &mut working => return (lease, done),
                () = tokio::time::sleep(Duration::from_secs(RENEW_SECONDS)) => {}
            }
            let renewed;
            (lease, renewed) = blocking(lease, move |lease| lease.renew(clock())).await;
            match renewed {
                Ok(true) => {}
                Ok(false) => warn!(run = self.name, "the run is somebody else's by now"),
                Err(error) => warn!(run = self.name, %error, "a lease cannot be renewed"),
            }
        }
    }

    async fn write_end(
        &self,
        mut lease: Box<Lease>,
        failure: Option<String>,
        asked: &mut watch::Receiver<bool>,
    ) {
        let clock = self.clock;
        loop {
            let reason = failure.clone();
            let ended;
            (lease, ended) =
                blocking(lease, move |lease| lease.finish(clock(), reason.as_deref())).await;
            match ended {
                Ok(ended) => return self.log(ended, failure.as_deref()),
                Err(error) => warn!(run = self.name, %error, "the end of a run cannot be written"),
            }
            // Without a word from us the others would do it again.
            if is_asked_within(asked, tokio::time::sleep(STORE_PAUSE)).await {
                return;
            }
        }
    }

    fn log(&self, ended: Ended, failure: Option<&str>) {
        let Self { name: run, attempt, .. } = self;
        match ended {
            Ended::Done => info!(run, attempt, "a run is done"),
            Ended::Failed { retry_at } => {
                warn!(run, attempt, %retry_at, error = failure, "a run failed and will be tried again");
            }
            Ended::GivenUp => {
                error!(run, attempts = attempt, error = failure, "a run failed and is given up");
            }
            Ended::Lost => {
                warn!(
                    run,
                    attempt,
                    error = failure,
                    "a run took longer than its lease, and somebody else has begun it again"
                );
            }
        }
    }
}

/// Returns whether the stop came first. Cancel-safe.
pub(crate) async fn is_asked_within(
    asked: &mut watch::Receiver<bool>,
    pause: impl Future<Output = ()>,
) -> bool {
    tokio::select! {
        // The sender lives as long as the worker; if it is gone, so is the reason to go on.
        _ = asked.wait_for(|asked| *asked) => true,
        () = pause => false,
    }
}

/// Lends `subject` to `ask` on a thread that may block.
async fn blocking<S: Send + 'static, T: Send + 'static>(
    mut subject: S,
    ask: impl FnOnce(&mut S) -> T + Send + 'static,
) -> (S, T) {
    let asking = tokio::task::spawn_blocking(move || {
        let answer = ask(&mut subject);
        (subject, answer)
    });
    asking.await.expect("asking the store does not panic")
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::jobs::{Cadence, Claim, Election, Job, Owner, Schedule, Watermark};
    use crate::stores::{EmbeddedConfig, EmbeddedStore, Namespace};

    /// 12:00 on 2026-11-21, three hours after the first start.
    fn noon() -> Timestamp {
        Timestamp::from_seconds(1_795_262_400)
    }

    /// A worker of a namespace of its own.
    struct Site {
        _folder: tempfile::TempDir,
        election: Election,
        other: Election,
    }

    impl Site {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store = EmbeddedStore::open(EmbeddedConfig::at(folder.path())).unwrap();
            let store: Arc<EmbeddedStore> = Arc::new(store);
            let namespace = Namespace::default();
            let [election, other] = ["anna", "bert"]
                .map(|name| Election::new(store.clone(), &namespace, Owner::named(name)));
            election.first_start(noon().plus_seconds(-3 * 3_600)).unwrap();
            Self { _folder: folder, election, other }
        }

        /// Drives an hourly job whose run `work` does, given how many came before; returns the hours
        /// that were begun. `work` says whether to stop.
        fn drive(&self, work: fn(usize) -> (bool, anyhow::Result<()>)) -> Vec<String> {
            let watermark = Watermark::default();
            watermark.advance_to(noon());
            let job = Job {
                name: "health",
                schedule: Schedule::parse("5 * * * *").unwrap(),
                zone: chrono_tz::UTC,
                cadence: Cadence::Hourly,
                catch_up_hours: 6,
            };
            let runner = Runner::new(job, self.election.clone(), watermark, noon());
            let (ask, asked) = watch::channel(false);
            let begun = Arc::new(Mutex::new(Vec::new()));
            let noted = Arc::clone(&begun);
            let work = Arc::new(move |due: Timestamp| {
                let before = noted.lock().unwrap().len();
                noted.lock().unwrap().push(due.to_string()[11..16].to_owned());
                let (stops, result) = work(before);
                ask.send_replace(stops);
                result
            });
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
            runtime.unwrap().block_on(drive(runner, noon, asked, work));
            begun.lock().unwrap().clone()
        }

        fn claim(&self, hour: &str) -> Claim {
            self.other.claim("health", hour, noon(), noon()).unwrap()
        }
    }

    #[test]
    fn runs_are_done_in_order_and_the_last_is_finished_before_the_stop() {
        let site = Site::new();
        assert_eq!(site.drive(|before| (before == 1, Ok(()))), ["09:05", "10:05"]);
        assert!(matches!(site.claim("2026-11-21T09"), Claim::Over));
        assert!(matches!(site.claim("2026-11-21T10"), Claim::Over));
        assert!(matches!(site.claim("2026-11-21T11"), Claim::Won(_)), "nobody has begun it");
    }

    #[test]
    fn a_run_that_fails_or_panics_rests_and_those_after_it_are_done() {
        let site = Site::new();
        let begun = site.drive(|before| match before {
            0 => (false, Err(anyhow::anyhow!("no disk"))),
            1 => panic!("a bug"),
            _ => (true, Ok(())),
        });
        assert_eq!(begun, ["09:05", "10:05", "11:05"]);
        for (hour, is_over) in [("09", false), ("10", false), ("11", true)] {
            let claim = site.claim(&format!("2026-11-21T{hour}"));
            assert_eq!(matches!(claim, Claim::Over), is_over, "{claim:?}");
            assert_eq!(matches!(claim, Claim::Paused { .. }), !is_over, "{claim:?}");
        }
    }

    /// What is logged about an attempt that ends so.
    fn logged(attempt: u32, ended: Ended, failure: Option<&str>) -> String {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let writer = Arc::clone(&lines);
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .without_time()
            .with_target(false)
            .with_writer(move || Lines(Arc::clone(&writer)))
            .finish();
        let run = Run { clock: noon, name: "report-2026-11-21".to_owned(), attempt };
        tracing::subscriber::with_default(subscriber, || run.log(ended, failure));
        let lines = lines.lock().unwrap();
        String::from_utf8_lossy(&lines).trim().to_owned()
    }

    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_end_of_every_attempt_is_said() {
        let ends = [
            logged(1, Ended::Failed { retry_at: noon() }, Some("no disk")),
            logged(5, Ended::GivenUp, Some("no disk")),
            logged(1, Ended::Lost, None),
            logged(2, Ended::Done, None),
        ];
        insta::assert_snapshot!(ends.join("\n"), @r#"
        WARN a run failed and will be tried again run="report-2026-11-21" attempt=1 retry_at=2026-11-21T12:00:00.000Z error="no disk"
        ERROR a run failed and is given up run="report-2026-11-21" attempts=5 error="no disk"
        WARN a run took longer than its lease, and somebody else has begun it again run="report-2026-11-21" attempt=1
        INFO a run is done run="report-2026-11-21" attempt=2
        "#);
    }
}
