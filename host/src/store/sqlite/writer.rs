//! The thread that writes: group commit.

use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension as _};
use tokio::sync::oneshot;

use super::files::Identity;
use super::lock::patiently;
use super::shared::Shared;
use super::space;
use crate::store::{StoreError, sum};

/// The most operations in one transaction, so that the first need not wait long for the last.
const MAX_OPS: usize = 1_024;
/// The most bytes of values in one transaction, unless a single operation has more.
const MAX_BYTES: usize = 8 << 20;

/// How long nothing is to be written before space is given back.
const IDLE: Duration = Duration::from_millis(50);

/// How long the thread stays awake after a commit.
const AWAKE: Duration = Duration::from_micros(40);

const SET: &str = "INSERT INTO mcp_reporter_kv (key, value) VALUES (?1, ?2) \
                   ON CONFLICT (key) DO UPDATE SET value = excluded.value";

/// One operation.
#[derive(Debug)]
pub(super) enum Op {
    Set {
        key: String,
        value: Vec<u8>,
    },
    SetMany(Vec<(String, Vec<u8>)>),
    DeleteMany(Vec<String>),
    Increment {
        key: String,
        delta: i64,
    },
    Swap {
        key: String,
        expected: Option<Vec<u8>>,
        new: Vec<u8>,
    },
}

impl Op {
    /// The bytes of values in it.
    fn bytes(&self) -> usize {
        match self {
            Self::Set { value, .. } => value.len(),
            Self::SetMany(pairs) => pairs.iter().map(|(_, value)| value.len()).sum(),
            Self::Swap { new, .. } => new.len(),
            Self::DeleteMany(_) | Self::Increment { .. } => 0,
        }
    }
}

/// What an operation came to. Only `Increment` has a sum, only `Swap` a swap.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Done {
    pub(super) sum: i64,
    pub(super) swapped: bool,
}

/// An operation, since when it waits, and where its answer goes.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) op: Op,
    pub(super) since: Instant,
    pub(super) reply: oneshot::Sender<Result<Done, StoreError>>,
}

/// What the writer can be told.
#[derive(Debug)]
pub(super) enum Write {
    Job(Job),
    Stop,
}

/// Why an operation was not done.
enum Failure {
    /// It asks for what cannot be; nothing was changed, the transaction goes on.
    Refused(StoreError),
    /// SQLite failed; the transaction is of no use any more.
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// The writing connection and its queue.
pub(super) struct Writer {
    connection: Connection,
    queue: mpsc::Receiver<Write>,
    shared: Arc<Shared>,
    /// The file as it was opened.
    identity: Option<Identity>,
    /// Whether the file may have space to give back.
    roomy: bool,
    /// The operations of the current transaction, with what they came to.
    batch: Vec<(Job, Result<Done, StoreError>)>,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        queue: mpsc::Receiver<Write>,
        shared: Arc<Shared>,
    ) -> Self {
        let identity = Identity::of(&shared.path);
        Self {
            connection,
            queue,
            shared,
            identity,
            // Left by one that was killed, or in whose time a file could not be cut.
            roomy: true,
            batch: Vec::new(),
        }
    }

    /// Writes until it is told to stop, calls `stop_reader`, and copies the log into the file.
    pub(super) fn run(mut self, stop_reader: impl FnOnce()) {
        while let Ok(Write::Job(job)) = self.next() {
            if !self.serve(job) {
                break;
            }
        }
        stop_reader();
        // A command is often over before it was idle for once.
        if self.roomy {
            self.give_back();
        }
        self.checkpoint();
    }

    /// Waits for what comes next.
    fn next(&mut self) -> Result<Write, mpsc::RecvError> {
        // A caller that reports one by one is back in a few microseconds; falling asleep and
        // being woken takes several times that, and a lone caller waits for it each time.
        let began = Instant::now();
        while began.elapsed() < AWAKE {
            match self.queue.try_recv() {
                Ok(write) => return Ok(write),
                Err(_) => thread::yield_now(),
            }
        }
        if self.roomy {
            match self.queue.recv_timeout(IDLE) {
                Err(mpsc::RecvTimeoutError::Timeout) => self.give_back(),
                Err(mpsc::RecvTimeoutError::Disconnected) => {}
                Ok(write) => return Ok(write),
            }
        }
        self.queue.recv()
    }

    /// Gives back the space that the file no longer needs.
    fn give_back(&mut self) {
        self.roomy = false;
        // Should another process be writing, the next deletion is soon enough.
        if let Ok(true) = space::give_back(&self.connection) {
            self.checkpoint();
        }
    }

    /// Copies the log into the file and empties it, if no other process is in the way.
    fn checkpoint(&self) {
        // If it cannot be done, the log stays as valid as it was.
        let _ = space::checkpoint(&self.connection);
    }

    /// Commits `first` together with all that waits. Returns whether to go on.
    fn serve(&mut self, first: Job) -> bool {
        if let Err(error) = self.begin(first.since) {
            answer(first, Err(error));
            return true;
        }
        let (filled, stopped) = self.fill(first);
        let outcome = self.end(filled);
        if let Err(StoreError::Full { .. }) = outcome {
            // The space that the log takes may be all that is missing.
            self.checkpoint();
        }
        let mut batch = std::mem::take(&mut self.batch);
        for (job, result) in batch.drain(..) {
            let result = match &outcome {
                Ok(()) => result,
                // One that could not be done must not fail the others.
                Err(_) => self.alone(&job),
            };
            answer(job, result);
        }
        self.batch = batch;
        !stopped
    }

    /// Does `first` and what waits, and returns whether SQLite did it all, and whether it
    /// was told to stop after it.
    fn fill(&mut self, first: Job) -> (Result<(), StoreError>, bool) {
        let mut bytes = 0;
        let mut job = first;
        loop {
            bytes += job.op.bytes();
            let (result, filled) = match self.apply(&job.op) {
                Ok(done) => (Ok(done), Ok(())),
                Err(Failure::Refused(error)) => (Err(error), Ok(())),
                Err(Failure::Sqlite(error)) => {
                    let error = StoreError::from_sqlite(&self.shared.path, &error);
                    (Err(error.clone()), Err(error))
                }
            };
            self.batch.push((job, result));
            if filled.is_err() || self.batch.len() >= MAX_OPS || bytes >= MAX_BYTES {
                return (filled, false);
            }
            match self.queue.try_recv() {
                Ok(Write::Job(next)) => job = next,
                Ok(Write::Stop) => return (Ok(()), true),
                Err(_) => return (Ok(()), false),
            }
        }
    }

    /// Does one operation in a transaction of its own.
    fn alone(&mut self, job: &Job) -> Result<Done, StoreError> {
        self.begin(job.since)?;
        let (done, applied) = match self.apply(&job.op) {
            Ok(done) => (done, Ok(())),
            Err(Failure::Refused(error)) => (Done::default(), Err(error)),
            Err(Failure::Sqlite(error)) => (
                Done::default(),
                Err(StoreError::from_sqlite(&self.shared.path, &error)),
            ),
        };
        self.end(applied).map(|()| done)
    }

    /// Begins a transaction, waiting for the lock until the job from `since` loses patience.
    fn begin(&self, since: Instant) -> Result<(), StoreError> {
        // What is written into a file that was deleted is lost at the next start.
        if self
            .identity
            .is_some_and(|identity| identity.has_left(&self.shared.path))
        {
            return Err(StoreError::Moved {
                path: self.shared.path.clone(),
            });
        }
        let begun = patiently(&self.shared, since, || self.execute("BEGIN IMMEDIATE"));
        begun.inspect_err(|error| self.shared.note_damage(error))
    }

    /// Commits, or rolls back if `filled` or the commit failed.
    fn end(&self, filled: Result<(), StoreError>) -> Result<(), StoreError> {
        let outcome = filled.and_then(|()| {
            self.execute("COMMIT")
                .map_err(|e| StoreError::from_sqlite(&self.shared.path, &e))
        });
        match &outcome {
            Ok(()) => {
                self.shared.commits.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                self.shared.note_damage(error);
                // After some failures SQLite has rolled back already.
                if !self.connection.is_autocommit() {
                    let _ = self.execute("ROLLBACK");
                }
            }
        }
        outcome
    }

    fn apply(&mut self, op: &Op) -> Result<Done, Failure> {
        let prepare = |sql| self.connection.prepare_cached(sql);
        match op {
            Op::Set { key, value } => {
                prepare(SET)?.execute((key, value))?;
            }
            Op::SetMany(pairs) => {
                let mut set = prepare(SET)?;
                for (key, value) in pairs {
                    set.execute((key, value))?;
                }
            }
            Op::DeleteMany(keys) => {
                self.roomy = true;
                let mut delete = prepare("DELETE FROM mcp_reporter_kv WHERE key = ?1")?;
                for key in keys {
                    delete.execute([key])?;
                }
            }
            Op::Increment { key, delta } => {
                let current: Option<Vec<u8>> =
                    prepare("SELECT value FROM mcp_reporter_kv WHERE key = ?1")?
                        .query_row([key], |row| row.get(0))
                        .optional()?;
                let sum = sum(key, current.as_deref(), *delta).map_err(Failure::Refused)?;
                prepare(SET)?.execute((key, sum.to_string().into_bytes()))?;
                return Ok(Done {
                    sum,
                    ..Done::default()
                });
            }
            Op::Swap {
                key,
                expected: None,
                new,
            } => {
                let swapped = prepare(
                    "INSERT INTO mcp_reporter_kv (key, value) VALUES (?1, ?2) \
                     ON CONFLICT (key) DO NOTHING",
                )?
                .execute((key, new))?;
                return Ok(Done {
                    swapped: swapped == 1,
                    ..Done::default()
                });
            }
            Op::Swap {
                key,
                expected: Some(expected),
                new,
            } => {
                let swapped =
                    prepare("UPDATE mcp_reporter_kv SET value = ?3 WHERE key = ?1 AND value = ?2")?
                        .execute((key, expected, new))?;
                return Ok(Done {
                    swapped: swapped == 1,
                    ..Done::default()
                });
            }
        }
        Ok(Done::default())
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }
}

/// Whoever waits for the answer may have gone: a failed send is no failure.
fn answer(job: Job, result: Result<Done, StoreError>) {
    let _ = job.reply.send(result);
}
