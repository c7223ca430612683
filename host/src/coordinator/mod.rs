//! A development coordinator: the v2 API that the reporter talks to, as a real
//! server on a real port, with faults on demand and everything it saw on show.
//!
//! ```
//! # use std::time::Duration;
//! # async fn example() -> Result<(), mcp_reporter::coordinator::CoordinatorError> {
//! use mcp_reporter::coordinator::{Coordinator, CoordinatorOptions, Fault};
//!
//! let coordinator = Coordinator::start(CoordinatorOptions {
//!     api_keys: vec!["key".to_owned()],
//!     ..CoordinatorOptions::default()
//! })?;
//! coordinator.set_fault_for(Fault::RetryAfter(1), 3)?;
//! // … let a reporter send to coordinator.url() …
//! coordinator
//!     .wait_for(|seen| seen.stats().processed == 1, Duration::from_secs(10))
//!     .await?;
//! assert_eq!(coordinator.receipts().len(), 4);
//! coordinator.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! It answers as the real server does, status, body and key order. It keeps the
//! real one's rules: any JSON object is taken; a progress, complete or error whose
//! start it has not seen is answered 200 and dropped; a second start resets the
//! interaction. What it adds: an event is stored before its 200 (so the queue is
//! always empty), a repeated `Idempotency-Key` is answered 200 and not stored
//! again, and no start is forgotten unless [`Fault::Forget`] says so. A body that is not a JSON object gets 422.

mod answers;
mod command;
mod error;
mod faults;
mod ledger;
mod listener;
mod reply;
mod shared;
mod store;
#[cfg(test)]
mod tests;

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use tokio::sync::{mpsc, watch};

pub use self::{
    command::run,
    error::CoordinatorError,
    faults::{Fault, UnknownFault},
    ledger::{Receipt, Stats, View},
    store::{InteractionState, StoredEvent, read_db},
};
use self::{
    faults::InForce,
    ledger::Ledger,
    listener::{Port, Switch},
    shared::Shared,
    store::Store,
};

/// What a coordinator keeps of what it sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// The stored events and a receipt for each request.
    #[default]
    Everything,
    /// The stored events: for one that runs for long.
    Events,
    /// Only counts: the bare sink of a benchmark. Without events it neither knows
    /// a repeated key nor misses a start. With a `db` the same as `Events`.
    Counts,
}

/// How a coordinator is set up.
#[derive(Clone)]
pub struct CoordinatorOptions {
    /// Where to listen; port 0, the default on 127.0.0.1, takes a free one.
    pub listen: SocketAddr,
    /// The SQLite file of the stored events, made if need be; none for memory.
    pub db: Option<PathBuf>,
    /// The API keys let in; when empty, any is.
    pub api_keys: Vec<String>,
    /// The fault to begin with.
    pub fault: Fault,
    /// Whether there is a `POST /api/v2/validate`; the real server has none.
    pub validate: bool,
    /// What is kept.
    pub keep: Keep,
}

impl Default for CoordinatorOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            db: None,
            api_keys: Vec::new(),
            fault: Fault::None,
            validate: false,
            keep: Keep::Everything,
        }
    }
}

impl fmt::Debug for CoordinatorOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoordinatorOptions")
            .field("listen", &self.listen)
            .field("db", &self.db)
            .field("api_keys", &format_args!("[{} keys]", self.api_keys.len()))
            .field("fault", &self.fault)
            .field("validate", &self.validate)
            .field("keep", &self.keep)
            .finish()
    }
}

/// A running coordinator. Dropping it stops it.
pub struct Coordinator {
    addr: SocketAddr,
    db: Option<PathBuf>,
    shared: Arc<Shared>,
    switches: Option<mpsc::UnboundedSender<Switch>>,
    thread: Option<JoinHandle<()>>,
}

impl Coordinator {
    /// Starts one, on a thread of its own; needs no runtime.
    ///
    /// # Errors
    ///
    /// When the address is taken, or the file cannot be opened or is no SQLite file.
    pub fn start(options: CoordinatorOptions) -> Result<Self, CoordinatorError> {
        Self::start_printing(options, None)
    }

    fn start_printing(
        options: CoordinatorOptions,
        printer: Option<std::sync::mpsc::Sender<String>>,
    ) -> Result<Self, CoordinatorError> {
        let store = match (&options.db, options.keep) {
            (Some(path), _) => Store::open(path).map_err(|source| CoordinatorError::Store {
                path: path.clone(),
                source,
            })?,
            (None, Keep::Counts) => Store::Sink,
            (None, _) => Store::Memory(Default::default()),
        };
        let listen_error = |source| CoordinatorError::Listen {
            addr: options.listen,
            source,
        };
        let (port, addr) = Port::bind(options.listen).map_err(listen_error)?;
        let keep_receipts = options.keep == Keep::Everything;
        let shared = Arc::new(Shared {
            api_keys: options.api_keys,
            validate: options.validate,
            ledger: Ledger::new(store, keep_receipts, InForce::default()),
            no_read: watch::Sender::new(false),
            printer,
        });
        let (switches, switched) = mpsc::unbounded_channel();
        let thread = listener::spawn(port, Arc::clone(&shared), switched)
            .map_err(CoordinatorError::Thread)?;
        let coordinator = Self {
            addr,
            db: options.db,
            shared,
            switches: Some(switches),
            thread: Some(thread),
        };
        coordinator.put_in_force(options.fault, None)?;
        Ok(coordinator)
    }

    /// Its base URL, `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Sets the fault, from now on and until the next call. It is in force when this returns:
    /// with [`Fault::Refuse`] all connections are closed and new ones are refused.
    ///
    /// # Errors
    ///
    /// When the port cannot be listened on again after [`Fault::Refuse`].
    pub fn set_fault(&self, fault: Fault) -> Result<(), CoordinatorError> {
        self.put_in_force(fault, None)
    }

    /// Sets the fault for the next `requests` requests that it concerns, after which
    /// there is none. [`Fault::Refuse`] and [`Fault::NoRead`] never see a request and
    /// stay until the next call.
    ///
    /// # Errors
    ///
    /// As [`set_fault`](Self::set_fault).
    pub fn set_fault_for(&self, fault: Fault, requests: u32) -> Result<(), CoordinatorError> {
        self.put_in_force(fault, Some(requests))
    }

    fn put_in_force(&self, fault: Fault, requests: Option<u32>) -> Result<(), CoordinatorError> {
        let in_force = InForce::new(fault, requests);
        let listen = *in_force.fault() != Fault::Refuse;
        let no_read = *in_force.fault() == Fault::NoRead;
        self.shared.ledger.change(|state| state.in_force = in_force);
        self.shared.no_read.send_replace(no_read);
        let (done, switched) = std::sync::mpsc::sync_channel(1);
        if let Some(switches) = &self.switches {
            // A thread that is gone answers neither.
            let _ = switches.send(Switch { listen, done });
        }
        switched
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("the coordinator's thread has died")))
            .map_err(|source| CoordinatorError::Listen {
                addr: self.addr,
                source,
            })
    }

    /// A receipt for every `POST /api/v2/interactions` so far, in order; empty
    /// unless everything is [kept](Keep).
    pub fn receipts(&self) -> Vec<Receipt> {
        self.shared.ledger.state().receipts.clone()
    }

    /// The events stored, in order; those of earlier runs too when they are in a file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn stored(&self) -> Result<Vec<StoredEvent>, CoordinatorError> {
        let events = self.shared.ledger.state().store.events();
        events.map_err(|source| self.store_error(source))
    }

    /// The counts since the start of this coordinator.
    pub fn stats(&self) -> Stats {
        self.shared.ledger.state().stats
    }

    /// How far an interaction has come; none when its start was not seen.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn interaction(&self, id: &str) -> Result<Option<InteractionState>, CoordinatorError> {
        let state = self.shared.ledger.state().store.interaction(id);
        state.map_err(|source| self.store_error(source))
    }

    fn store_error(&self, source: rusqlite::Error) -> CoordinatorError {
        CoordinatorError::Store {
            path: self.db.clone().unwrap_or_default(),
            source,
        }
    }

    /// Waits until `done` says so. It is asked now and after every change.
    ///
    /// # Errors
    ///
    /// [`CoordinatorError::Deadline`] when `within` has passed first.
    pub async fn wait_for(
        &self,
        done: impl FnMut(&View<'_>) -> bool,
        within: Duration,
    ) -> Result<(), CoordinatorError> {
        if self.shared.ledger.wait_for(done, within).await {
            Ok(())
        } else {
            Err(CoordinatorError::Deadline {
                within,
                stats: self.stats(),
            })
        }
    }

    /// Stops at once: closes the socket and all connections, hanging ones too. When
    /// this returns the port is free.
    pub async fn stop(self) {
        // Dropping joins the thread; that must not hold up the caller's runtime. It
        // cannot panic.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        self.switches = None;
        if let Some(thread) = self.thread.take() {
            // It ends at its next step; a panic in it has been printed.
            let _ = thread.join();
        }
    }
}
