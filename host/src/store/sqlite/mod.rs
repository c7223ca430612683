//! The store in an SQLite file: the default, embedded, shared by several processes.
//!
//! # How it works
//!
//! Two threads own a connection each, so no thread of the async runtime waits for SQLite.
//!
//! - The *writer* ([`writer`]) takes every operation that waits, runs them in one
//!   transaction, commits, and then answers all of them (group commit). Each operation sees
//!   the effects of those before it. If anything fails, the transaction is rolled back and
//!   every operation runs again in one of its own, so that each gets the answer it deserves.
//! - The *reader* ([`reader`]) answers reads, each from one snapshot. A write is answered
//!   after its commit, so a read that follows it sees it.
//!
//! # The file
//!
//! `mcp_reporter_kv` holds the pairs, `mcp_reporter_meta` the schema version; other tables
//! in the file are left alone ([`schema`]). A rowid table with an index on the key, since a
//! listing then reads the index only, a tenth of the file. The file is in WAL mode: a commit
//! survives the death of the process, and with [`Durability::Power`] that of the machine.
//!
//! A file that was large and is nearly empty is made small again ([`space`]).
//!
//! A damaged file is renamed, never deleted, and a fresh one begun ([`files`]). Damage found
//! while in use is noted in a file `<name>.damaged`, which makes the next start look closely.

mod backup;
#[cfg(test)]
mod backup_tests;
#[cfg(test)]
mod file_tests;
mod files;
mod lock;
#[cfg(test)]
mod migration_tests;
mod reader;
mod schema;
mod shared;
mod space;
#[cfg(test)]
mod space_tests;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::oneshot;

pub use self::backup::{Backup, backup};
use self::reader::{Read, Reader};
pub use self::shared::Durability;
use self::shared::Shared;
pub use self::space::{Compacted, compact};
use self::writer::{Done, Job, Op, Write, Writer};
use super::{Store, StoreError, StoreWarning};

/// How long dropping a store waits for what was begun; the threads end on their own after it.
const DROP_LIMIT: Duration = Duration::from_secs(1);

/// Where an SQLite store is, and how durable.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// The file. It and its folder are made if absent.
    pub path: PathBuf,
    /// What an acknowledged write survives.
    pub durability: Durability,
}

/// A store in an SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    writes: mpsc::Sender<Write>,
    reads: mpsc::Sender<Read>,
    shared: Arc<Shared>,
    /// The writer, which ends the reader; none once closed.
    thread: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

impl SqliteStore {
    /// Opens the store, making the file (0600) and its folder (0700) if absent.
    ///
    /// Blocks while it reads the disk, and for up to 30 s while another process holds the
    /// file locked. What the user should know beside success is returned with the store.
    pub fn open(options: SqliteOptions) -> Result<(Self, Vec<StoreWarning>), StoreError> {
        let path = std::path::absolute(&options.path)
            .map_err(|e| StoreError::unusable(&options.path, &e))?;
        let shared = Arc::new(Shared {
            path,
            commits: AtomicU64::new(0),
            closing: AtomicBool::new(false),
        });
        let (connections, warnings) = schema::open(&shared, options.durability)?;

        let (reads, read_queue) = mpsc::channel();
        let (writes, write_queue) = mpsc::channel();
        let reader = Reader::new(connections.reader, read_queue, Arc::clone(&shared));
        let reader = spawn("store-reader", &shared.path, move || reader.run())?;
        let writer = Writer::new(connections.writer, write_queue, Arc::clone(&shared));
        let stop_reads = reads.clone();
        let thread = spawn("store-writer", &shared.path, move || {
            writer.run(|| {
                // An error means that the thread has ended already.
                let _ = stop_reads.send(Read::Stop);
                let _ = reader.join();
            });
        })?;
        let thread = tokio::sync::Mutex::new(Some(thread));
        Ok((
            Self {
                writes,
                reads,
                shared,
                thread,
            },
            warnings,
        ))
    }

    /// The file, as an absolute path.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// How many transactions this handle has committed.
    pub fn commits(&self) -> u64 {
        self.shared.commits.load(Ordering::Relaxed)
    }

    async fn write(&self, op: Op) -> Result<Done, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = Job {
            op,
            since: Instant::now(),
            reply,
        };
        self.writes
            .send(Write::Job(job))
            .map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    async fn read<T>(
        &self,
        ask: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Read,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.reads
            .send(ask(reply))
            .map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    fn stop(&self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        // An error means that the thread has ended already.
        let _ = self.writes.send(Write::Stop);
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let key = key.to_owned();
        self.read(|reply| Read::Get { key, reply }).await
    }

    async fn get_many(
        &self,
        keys: Vec<String>,
    ) -> Result<Vec<(String, Option<Vec<u8>>)>, StoreError> {
        self.read(|reply| Read::GetMany { keys, reply }).await
    }

    async fn list_keys(&self) -> Result<Vec<String>, StoreError> {
        let prefix = None;
        self.read(|reply| Read::List { prefix, reply }).await
    }

    async fn list_keys_with(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let prefix = Some(prefix.to_owned());
        self.read(|reply| Read::List { prefix, reply }).await
    }

    async fn set(&self, key: String, value: Vec<u8>) -> Result<(), StoreError> {
        self.write(Op::Set { key, value }).await.map(drop)
    }

    async fn set_many(&self, pairs: Vec<(String, Vec<u8>)>) -> Result<(), StoreError> {
        self.write(Op::SetMany(pairs)).await.map(drop)
    }

    async fn delete_many(&self, keys: Vec<String>) -> Result<(), StoreError> {
        self.write(Op::DeleteMany(keys)).await.map(drop)
    }

    async fn increment(&self, key: String, delta: i64) -> Result<i64, StoreError> {
        self.write(Op::Increment { key, delta })
            .await
            .map(|done| done.sum)
    }

    async fn compare_and_swap(
        &self,
        key: String,
        expected: Option<Vec<u8>>,
        new: Vec<u8>,
    ) -> Result<bool, StoreError> {
        self.write(Op::Swap { key, expected, new })
            .await
            .map(|done| done.swapped)
    }

    async fn close(&self) {
        // Held until the thread has ended, so that whoever closes second waits as well.
        let mut thread = self.thread.lock().await;
        if let Some(thread) = thread.take() {
            self.stop();
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        let Some(thread) = self.thread.get_mut().take() else {
            return;
        };
        self.stop();
        let began = Instant::now();
        while !thread.is_finished() && began.elapsed() < DROP_LIMIT {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn spawn(
    name: &str,
    path: &Path,
    work: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, StoreError> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|e| StoreError::Failed {
            path: path.to_owned(),
            detail: format!("cannot start a thread: {e}"),
        })
}
