//! What can go wrong with a coordinator.

use std::{io, net::SocketAddr, path::PathBuf, time::Duration};

use thiserror::Error;

use super::ledger::Stats;

/// Why the coordinator could not do what it was asked.
#[derive(Debug, Error)]
pub enum CoordinatorError {
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: {source}; choose a free port with --listen, or 0 for any")]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The file of the events cannot be used.
    #[error("cannot use {} as the coordinator's event file: {source}", path.display())]
    Store {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The thread that serves could not be started.
    #[error("cannot start the coordinator's thread: {0}")]
    Thread(io::Error),
    /// What was waited for has not come.
    #[error("what was waited for did not come within {within:?}; seen so far: {stats:?}")]
    Deadline {
        /// How long was waited.
        within: Duration,
        /// What had come.
        stats: Stats,
    },
}
