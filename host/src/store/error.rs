//! What can go wrong with a store, in words that say what to do.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use thiserror::Error;

/// Why a store could not be opened, or an operation could not be done.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The path names something that is not a regular file.
    #[error("the store {} is not a file; local_cache_path must name a file, existing or new", path.display())]
    NotAFile {
        /// What was named.
        path: PathBuf,
    },
    /// The file or its folder cannot be made, read or written.
    #[error("the store {} cannot be used: {detail}; give this user the right to write the file and its folder, or set local_cache_path to another place", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What the system or SQLite said.
        detail: String,
    },
    /// Other users can write the file or its folder.
    #[error("the store is not safe: others can write {} (mode {mode:04o}); run `chmod go-w` on it, or set local_cache_path to another place", path.display())]
    Exposed {
        /// The file, or its folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A newer version of this program has written the file.
    #[error("the store {} has schema version {found}, this program knows versions up to {supported}; use the newer mcp-reporter that wrote it, or set local_cache_path to another file", path.display())]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version this program knows.
        supported: i64,
    },
    /// The file is damaged. The next start keeps it aside and begins a fresh one.
    #[error("the store {} is damaged ({detail}); restart every process that uses it: the damaged file is then kept aside and a fresh one begun", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        detail: String,
    },
    /// The disk, or the user's share of it, is full.
    #[error("the store {} cannot grow: {detail}; free some space on its disk", path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        detail: String,
    },
    /// Another process kept the file locked for too long.
    #[error("the store {} was locked by another process for {waited_s} s; end the program that holds it (a database shell, a backup)", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
        /// How long the lock was waited for, in seconds.
        waited_s: u64,
    },
    /// The file was moved, deleted or replaced while in use.
    #[error("the store {} was moved, deleted or replaced while in use; restart to use what is at that path now", path.display())]
    Moved {
        /// Where the file was.
        path: PathBuf,
    },
    /// `increment` met a value that is no number, or a sum beyond 64 bits.
    #[error(
        "cannot add {delta} to the value of {key}: it is not a whole number, or the sum does not fit into 64 bits"
    )]
    NotANumber {
        /// The key.
        key: String,
        /// What was to be added.
        delta: i64,
    },
    /// The file has no table of the old client.
    #[error("{} has no table failed_interactions; the old client's cache (local_cache_path in its mcp_config.toml) is expected", path.display())]
    NoLegacyTable {
        /// The file.
        path: PathBuf,
    },
    /// There is no store to back up.
    #[error("there is no outbox at {}: nothing was reported yet, or local_cache_path names another file (`mcp-reporter config show`)", path.display())]
    NoStore {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Something is where the backup was to be.
    #[error("{} exists; name another file, or replace it with --force", path.display())]
    BackupExists {
        /// What exists.
        path: PathBuf,
    },
    /// The backup cannot be written.
    #[error("the backup {} cannot be made: {detail}", path.display())]
    Backup {
        /// The backup.
        path: PathBuf,
        /// What the system or SQLite said.
        detail: String,
    },
    /// Any other failure, such as an I/O error.
    #[error("the store {} failed: {detail}", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// What the system or SQLite said.
        detail: String,
    },
    /// A server cannot be reached, or the connection to it broke.
    #[error("the store {store} cannot be reached: {detail}; it is tried again when next needed")]
    Unreachable {
        /// Its URL, without the password.
        store: String,
        /// What the system or the server said.
        detail: String,
    },
    /// A server did not answer. A write may have been done or not.
    #[error(
        "the store {store} did not answer within {waited_s} s; a write that was under way may have been done or not"
    )]
    Unanswered {
        /// Its URL, without the password.
        store: String,
        /// How long it was waited for, in seconds.
        waited_s: u64,
    },
    /// A server is there and does not do what it is asked.
    #[error("the store {store} refuses: {detail}")]
    Refused {
        /// Its URL, without the password.
        store: String,
        /// What the server said, or what is wrong with it.
        detail: String,
    },
    /// The outbox has another number of shards than is configured.
    #[error(
        "the outbox has shards = {stored} and holds {events} event{}, but shards = {configured} is set; set shards = {stored}, or first drain it with that (`mcp-reporter deliver`; dead letters: `outbox redrive` or `outbox purge`) and stop every host that uses it: an empty outbox takes any number",
        if *events == 1 { "" } else { "s" }
    )]
    Shards {
        /// The number of the outbox; 0 when what is noted of it is no number.
        stored: u32,
        /// The number of the configuration.
        configured: u32,
        /// How many events were in it, dead letters included; 0 when another host has just
        /// changed the number.
        events: u64,
    },
    /// Another host is changing the number of shards.
    #[error(
        "the number of shards of the outbox, which is {stored}, is being changed by another host; try again in some seconds"
    )]
    ShardsChanging {
        /// The number so far.
        stored: u32,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// What `error`, met while using the file at `path`, means to the user.
    pub(super) fn from_sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        let path = path.to_owned();
        let detail = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full { path, detail },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Corrupt { path, detail }
            }
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                Self::Unusable { path, detail }
            }
            _ => Self::Failed { path, detail },
        }
    }

    /// What `error`, met while preparing the file at `path`, means to the user.
    pub(super) fn unusable(path: &Path, error: &std::io::Error) -> Self {
        Self::Unusable {
            path: path.to_owned(),
            detail: error.to_string(),
        }
    }
}

/// What the user should know about a store that was opened all the same.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StoreWarning {
    /// A damaged file was kept aside, and a fresh one begun.
    #[error("the store {} was damaged ({detail}); it is kept as {}, and a fresh one was begun. Events in it were not sent; `sqlite3 {} .recover` may bring them back", path.display(), kept.display(), kept.display())]
    KeptAside {
        /// Where the file was and the fresh one is.
        path: PathBuf,
        /// Where the damaged one is now.
        kept: PathBuf,
        /// What SQLite said.
        detail: String,
    },
    /// The file could be read by others; now only its owner can read and write it.
    #[error("the store {} could be read by others (mode {mode:04o}); it is now 0600", path.display())]
    Tightened {
        /// The file.
        path: PathBuf,
        /// The permission bits it had.
        mode: u32,
    },
    /// A server cannot be reached yet.
    #[error("{error}; until then, reports fail")]
    Away {
        /// Why not.
        error: Box<StoreError>,
    },
    /// A server may drop keys to make room.
    #[error(
        "the store {store} may drop events when its memory is full (maxmemory-policy {policy}); set maxmemory-policy noeviction there"
    )]
    Evicts {
        /// Its URL, without the password.
        store: String,
        /// Its policy.
        policy: String,
    },
    /// A server does not keep what it acknowledged.
    #[error("the store {store} does not keep events as durability wants it; set {wanted} there")]
    Volatile {
        /// Its URL, without the password.
        store: String,
        /// What to set it to.
        wanted: &'static str,
    },
}
