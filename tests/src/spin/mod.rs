//! The Spin profile: the component under the rules of Spin 4.1, for which there is no binary in the
//! registries.
//!
//! - The linker has WASI 0.2, `wasi:http`, `wasi:keyvalue@0.2.0-draft2` and
//!   `wasi:config@0.2.0-draft-2024-09-27`. A component that imports anything else does not start.
//! - Each request gets a fresh instance. So many at once live ([`SpinOptions::instances`]); further
//!   requests wait. An instance lives until it returns, which may be long after its answer.
//! - An application may have several components, each with a route and variables of its own
//!   ([`SpinComponent`]). One that depends on another component is composed with it as Spin does
//!   that ([`Manifest`]).
//! - The one store, `default`, is SQLite's or Redis's as Spin has them, faults included
//!   ([`Backend`]).
//! - Requests go to the listed hosts and are denied to all others.
//! - Instances are killed as a seed has it ([`Mortality`]). A client then sees a 500 or a closed
//!   connection.
//!
//! ```text
//! listener ─► place ─► fresh instance ─► answer ─► work after it ─► the place is free
//!                        │      │
//!                        │      └─ wasi:http ─► allowed_outbound_hosts
//!                        └─ wasi:keyvalue ─► 256 handles of each kind ─► SQLite | Redis
//! ```

mod application;
mod bindings;
mod clock;
mod compose;
mod counts;
mod egress;
mod example;
mod ground;
mod http;
mod keyvalue;
mod load;
mod manifest;
mod mortality;
mod redis;
mod sqlite;
mod state;
mod store;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::net::TcpListener;
use tokio::runtime::Runtime;

pub use counts::Counts;
pub use example::mcp_server;
pub use ground::{Ground, Mode, variables};
pub use load::{Load, Outcome};
pub use manifest::Manifest;
pub use mortality::Mortality;
pub use store::{Cas, Done, Store, StoreError, SwapError};

use application::Application;
use redis::Redis;
use sqlite::Sqlite;

/// How many instances live at once unless something else is said.
const INSTANCES: usize = 16;

/// Where the store is.
#[derive(Debug, Clone)]
pub enum Backend {
    /// Spin's default, in this file.
    Sqlite(PathBuf),
    /// Spin's Redis backend, with this URL.
    Redis(String),
}

/// What `spin.toml` and the command line say.
#[derive(Debug, Clone)]
pub struct SpinOptions {
    /// The application's variables.
    pub variables: BTreeMap<String, String>,
    /// The hosts that requests may go to: `scheme://host:port`, without a path.
    pub allowed_outbound_hosts: Vec<String>,
    /// Where the store is.
    pub backend: Backend,
    /// How many instances live at once.
    pub instances: usize,
    /// How many of them are killed.
    pub mortality: Mortality,
}

impl SpinOptions {
    /// With these variables and this store: no outbound host, 16 instances, none of which is
    /// killed.
    pub fn new(variables: BTreeMap<String, String>, backend: Backend) -> Self {
        Self {
            variables,
            allowed_outbound_hosts: Vec::new(),
            backend,
            instances: INSTANCES,
            mortality: Mortality::default(),
        }
    }
}

/// A component of an application.
#[derive(Debug, Clone)]
pub struct SpinComponent {
    /// What is asked of it: a path, or all paths under one that ends in `/...`.
    pub route: String,
    /// The component itself, composed with what it depends on.
    pub bytes: Vec<u8>,
    /// Its variables.
    pub variables: BTreeMap<String, String>,
    /// The hosts that its requests may go to: `scheme://host:port`, without a path.
    pub allowed_outbound_hosts: Vec<String>,
}

/// A running application. It ends, with all its instances, when it is dropped.
pub struct Spin {
    /// None only while it is dropped.
    runtime: Option<Runtime>,
    application: Arc<Application>,
    address: SocketAddr,
}

impl fmt::Debug for Spin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spin")
            .field("address", &self.address)
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

impl Spin {
    /// Starts a component on a free loopback port, with threads of its own.
    ///
    /// # Errors
    ///
    /// What Spin would say: the component imports what is not linked, or is none; the store cannot
    /// be opened; an outbound host is malformed.
    pub async fn start(component: &[u8], options: SpinOptions) -> Result<Self, String> {
        let component = SpinComponent {
            route: "/...".to_owned(),
            bytes: component.to_vec(),
            variables: options.variables,
            allowed_outbound_hosts: options.allowed_outbound_hosts,
        };
        let (instances, mortality) = (options.instances, options.mortality);
        Self::start_with(vec![component], options.backend, instances, mortality).await
    }

    /// The same with several components, of which 16 instances live at once and none is killed.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn start_all(
        components: Vec<SpinComponent>,
        backend: Backend,
    ) -> Result<Self, String> {
        Self::start_with(components, backend, INSTANCES, Mortality::default()).await
    }

    async fn start_with(
        components: Vec<SpinComponent>,
        backend: Backend,
        instances: usize,
        mortality: Mortality,
    ) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        let started = runtime.spawn(async move {
            let store: Arc<dyn Store> = match &backend {
                Backend::Sqlite(path) => Arc::new(Sqlite::open(path).map_err(|e| e.to_string())?),
                Backend::Redis(url) => {
                    Arc::new(Redis::connect(url).await.map_err(|e| e.to_string())?)
                }
            };
            let application = Application::new(components, instances, mortality, store)?;
            let application = Arc::new(application);
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
            let listener = listener.map_err(|error| error.to_string())?;
            let address = listener.local_addr().map_err(|error| error.to_string())?;
            tokio::spawn(http::listen(listener, application.clone()));
            Ok((application, address))
        });
        let started = started.await.map_err(|error| error.to_string());
        match started.and_then(|started| started) {
            Ok((application, address)) => Ok(Self {
                runtime: Some(runtime),
                application,
                address,
            }),
            Err(error) => {
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has happened so far.
    pub fn counts(&self) -> Counts {
        self.application.counters.counts()
    }

    /// When instances were killed.
    pub fn deaths(&self) -> Vec<SystemTime> {
        self.application.counters.deaths()
    }

    /// From now on so many are killed.
    pub fn set_mortality(&self, mortality: Mortality) {
        self.application.set_mortality(mortality);
    }

    /// What the component wrote to its standard error.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&self.application.stderr.contents()).into_owned()
    }

    /// The store that all instances share.
    pub fn store(&self) -> Arc<dyn Store> {
        self.application.store.clone()
    }

    /// How long the store itself takes for so many `set`s of `bytes` bytes by `clients` at once:
    /// what an application on it can reach at best. Their keys are deleted again.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn time_of_sets(&self, count: usize, bytes: usize, clients: usize) -> Done<Duration> {
        let store = self.store();
        let Some(runtime) = &self.runtime else {
            return Ok(Duration::ZERO); // it is being dropped
        };
        let timed = runtime.spawn(async move {
            let keys: Vec<String> = (0..count).map(|n| format!("time-of-sets.{n}")).collect();
            let since = Instant::now();
            let tasks: Vec<_> = keys
                .chunks(count.div_ceil(clients.max(1)).max(1))
                .map(|keys| {
                    let (store, keys) = (store.clone(), keys.to_vec());
                    tokio::spawn(async move {
                        let value = vec![b'x'; bytes];
                        for key in keys {
                            store.set(&key, &value).await?;
                        }
                        Ok(())
                    })
                })
                .collect();
            for task in tasks {
                let failed = |error: tokio::task::JoinError| StoreError::Failed(error.to_string());
                task.await.map_err(failed)??;
            }
            let took = since.elapsed();
            store.delete_many(keys).await?;
            Ok(took)
        });
        let timed = timed.await;
        timed.map_err(|error| StoreError::Failed(error.to_string()))?
    }
}

impl Drop for Spin {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
