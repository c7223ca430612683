//! Building a reporter.

use super::accept::Accepting;
use super::deliver::Delivering;
use super::edge::Edge;
use super::factory::Factory;
use super::merge;
use super::shares::Shares;
use super::{BuildError, Inner, LegacyImport, MetricsError, Reporter};
use crate::config::{self, Config};
use crate::engine::{self, Egress, Engine, EngineError, EngineOptions};
use crate::metrics::{Listener, Metrics, Refresh};
use crate::store::{
    Agreed, Durability, MemoryStore, RedisOptions, RedisStore, SqliteOptions, SqliteStore, Store,
    StoreError, StoreWarning, agree_on_shards, shard,
};
use etcetera::BaseStrategy;
use mcp_reporter_core::settings::{LEAST_BYTES, LEAST_EVENTS, Settings};
use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// Configures a [`Reporter`]. Either a whole [`Config`], or single settings
/// under the names of the configuration file.
#[derive(Default)]
#[must_use]
pub struct ReporterBuilder {
    config: Option<Config>,
    pairs: Vec<(String, String)>,
    store: Option<Arc<dyn Store>>,
    component: Option<Cow<'static, [u8]>>,
    cache_dir: Option<PathBuf>,
    without_timer: bool,
    without_metrics: bool,
}

impl std::fmt::Debug for ReporterBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The settings may hold the API key.
        f.debug_struct("ReporterBuilder").finish_non_exhaustive()
    }
}

impl ReporterBuilder {
    /// Takes a loaded configuration; [`set`](Self::set) is ignored then.
    pub fn config(mut self, config: Config) -> Self {
        self.config = Some(config);
        self
    }

    /// Sets one key of the configuration.
    pub fn set(mut self, key: &str, value: impl Into<String>) -> Self {
        self.pairs.push((key.to_owned(), value.into()));
        self
    }

    /// Uses this store instead of the configured one.
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Runs this component instead of the one that the crate carries.
    pub fn component(mut self, wasm: impl Into<Cow<'static, [u8]>>) -> Self {
        self.component = Some(wasm.into());
        self
    }

    /// Keeps the compiled component in this folder, for a faster start, instead
    /// of in `mcp-reporter` in the user's cache folder.
    pub fn cache_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cache_dir = Some(dir.into());
        self
    }

    /// Delivers nothing but on [`deliver_now`](Reporter::deliver_now); another
    /// process, or a later one, does.
    pub fn without_timer(mut self) -> Self {
        self.without_timer = true;
        self
    }

    /// Serves no metrics, whatever `metrics_listen` says: for a short-lived process beside the
    /// one that serves them.
    pub fn without_metrics(mut self) -> Self {
        self.without_metrics = true;
        self
    }

    /// Builds the reporter. One that is switched off is built at once, and
    /// nothing is opened for it. One whose metrics cannot be served says so in
    /// [`metrics_address`](Reporter::metrics_address) and works.
    ///
    /// # Errors
    ///
    /// The configuration is wrong, the store cannot be opened, or the
    /// component is not one of ours.
    pub async fn build(self) -> Result<Reporter, BuildError> {
        let config = match self.config {
            Some(config) => config,
            None => Config::from_pairs(self.pairs)?,
        };
        for warning in config.warnings() {
            tracing::warn!("{warning}");
        }
        let Some(settings) = config.settings() else {
            return Ok(Reporter::disabled());
        };
        let request_timeout = settings.request_timeout;
        let endpoint = &settings.endpoint;
        let scheme = if endpoint.tls { "https" } else { "http" };
        let url = format!("{scheme}://{}", endpoint.authority);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("mcp-reporter")
            .enable_all()
            .build()
            .map_err(BuildError::Threads)?;
        let handle = runtime.handle().clone();
        // From here on it must not be dropped by a return: that would block.
        let inner = handle
            .spawn(async move {
                let legacy = config
                    .legacy_cache()
                    .filter(|_| self.store.is_none())
                    // Only where it is the store itself was it made by now.
                    .filter(|path| config.redis().is_none() || path.exists())
                    .map(ToOwned::to_owned);
                let holder = lease_holder(config.store());
                let cache_dir = self.cache_dir.or_else(cache_dir);
                let store = match self.store {
                    Some(store) => store,
                    None => open(&config).await?,
                };
                let store = agreed(store, config.shards()).await?;
                let listen = config.metrics_listen().filter(|_| !self.without_metrics);
                let (served, metrics) = match bind(listen).await {
                    Ok(served) => {
                        let (listener, metrics) = served.unzip();
                        (Ok(listener), metrics)
                    }
                    Err(failed) => {
                        tracing::error!("no metrics are served: {failed}");
                        (Err(failed), None)
                    }
                };
                let component = self
                    .component
                    .unwrap_or(Cow::Borrowed(mcp_reporter_artifacts::REPORTER));
                let mut pairs: Vec<_> = config
                    .pairs()
                    .map(|(k, v)| (k.to_owned(), v.to_owned()))
                    .collect();
                pairs.push(("lease_holder".to_owned(), holder.clone()));
                if let Some(settings) = config.settings() {
                    pairs.extend(bounds(settings, config.shards()));
                }
                let component = tokio::task::spawn_blocking({
                    let ca_file = config.ca_file().map(ToOwned::to_owned);
                    let metrics = metrics.clone();
                    move || -> Result<engine::Reporter, BuildError> {
                        let engine = engine(cache_dir)?;
                        let component = engine.load(&component)?;
                        let mut egress = Egress::new(&url, ca_file.as_deref())?;
                        if let Some(metrics) = metrics {
                            egress = egress.observed(Arc::new(move |answered, took| {
                                metrics.request(answered, took);
                            }));
                        }
                        Ok(engine::Reporter::new(component, pairs, egress))
                    }
                })
                .await
                .map_err(|e| BuildError::Threads(std::io::Error::other(e)))??;
                let shards = shards(&store, config.shards());
                let shares = match config.settings() {
                    Some(settings) if shards.len() > 1 => {
                        Shares::new(store.clone(), shards.clone(), settings)
                    }
                    _ => None,
                };
                let factory = Arc::new(Factory {
                    component,
                    store,
                    shards,
                    shares,
                    metrics,
                });
                let instance = factory.accepting(0).await?;
                let delivering: Vec<_> = (0..factory.shards.len())
                    .map(|shard| {
                        let timer = !self.without_timer;
                        Delivering::start(factory.clone(), shard, request_timeout, timer)
                    })
                    .collect();
                let edge = match &delivering[..] {
                    [one] => Some(Edge::new(factory.clone(), one.arrival())),
                    _ => None,
                };
                let arrivals = delivering.iter().map(Delivering::arrival).collect();
                let accepting = Accepting::start(factory.clone(), instance, arrivals);
                let address = served.map(|listener| {
                    let listener = listener?;
                    let address = listener.address();
                    serve(listener, &factory, &holder);
                    Some(address)
                });
                Ok::<_, BuildError>((accepting, delivering, factory, edge, legacy, address))
            })
            .await;
        let built = match inner {
            Ok(built) => built,
            Err(panicked) => Err(BuildError::Threads(std::io::Error::other(panicked))),
        };
        let (accepting, delivering, factory, edge, legacy, metrics) = match built {
            Ok(parts) => parts,
            Err(failed) => {
                runtime.shutdown_background();
                return Err(failed);
            }
        };
        let reporter = Reporter {
            inner: Some(Arc::new(Inner {
                accepting,
                delivering,
                factory,
                edge,
                runtime: Mutex::new(Some(runtime)),
                metrics,
            })),
        };
        if let Some(path) = legacy {
            take_over(&reporter, &path).await?;
        }
        Ok(reporter)
    }
}

/// `store`, when its outbox has so many shards. One that cannot be asked yet is asked before it is
/// used.
async fn agreed(store: Arc<dyn Store>, shards: u32) -> Result<Arc<dyn Store>, StoreError> {
    match agree_on_shards(&*store, shards).await {
        Ok(()) if shards == 1 => return Ok(store),
        Err(differs @ StoreError::Shards { .. }) => {
            store.close().await;
            return Err(differs);
        }
        Ok(()) | Err(_) => {}
    }
    Ok(Arc::new(Agreed::new(store, shards)))
}

/// A view of each shard.
fn shards(store: &Arc<dyn Store>, shards: u32) -> Vec<Arc<dyn Store>> {
    if shards == 1 {
        return vec![store.clone()];
    }
    (0..shards as usize)
        .map(|number| Arc::new(shard::Shard::new(store.clone(), number)) as Arc<dyn Store>)
        .collect()
}

/// The bounds of one shard, as settings: its part of those of all.
fn bounds(settings: &Settings, shards: u32) -> Vec<(String, String)> {
    if shards == 1 {
        return Vec::new();
    }
    let part = |all: u64, least: u64| (all / u64::from(shards)).max(least).to_string();
    vec![
        (
            "max_events".to_owned(),
            part(settings.max_events, LEAST_EVENTS),
        ),
        (
            "max_bytes".to_owned(),
            part(settings.max_bytes, LEAST_BYTES),
        ),
    ]
}

/// The socket for the metrics, and the metrics; none when they are not wanted.
async fn bind(
    listen: Option<SocketAddr>,
) -> Result<Option<(Listener, Arc<Metrics>)>, MetricsError> {
    let Some(address) = listen else {
        return Ok(None);
    };
    let failed = |why: &dyn std::fmt::Display| MetricsError {
        address,
        why: why.to_string(),
    };
    let metrics = Metrics::new().map_err(|e| failed(&e))?;
    let listener = Listener::bind(address).await.map_err(|e| failed(&e))?;
    Ok(Some((listener, Arc::new(metrics))))
}

/// Serves the metrics until the runtime ends.
fn serve(listener: Listener, factory: &Arc<Factory>, holder: &str) {
    let Some(metrics) = factory.metrics.clone() else {
        return;
    };
    tracing::info!("metrics are at http://{}/metrics", listener.address());
    let own = format!("{holder}#");
    let (factory, sink) = (factory.clone(), metrics.clone());
    let refresh: Refresh = Arc::new(move || {
        let (factory, sink, own) = (factory.clone(), sink.clone(), own.clone());
        Box::pin(async move {
            let status = factory.status().await;
            let holders = status.as_ref().ok().and_then(|s| s.lease_holder.as_deref());
            let held = holders.is_some_and(|all| merge::holders(all).any(|h| h.starts_with(&own)));
            sink.outbox(status.as_ref().ok(), held);
            status.map(drop).map_err(|failed| failed.to_string())
        })
    });
    tokio::spawn(listener.serve(metrics, refresh));
}

/// Imports what the old client left in the file that now is the store, or in
/// the one that is named beside it.
async fn take_over(reporter: &Reporter, path: &std::path::Path) -> Result<(), BuildError> {
    let import = match LegacyImport::open(path) {
        Ok(import) => import,
        Err(StoreError::NoLegacyTable { .. }) => return Ok(()),
        Err(failed) => return Err(failed.into()),
    };
    match import.run(reporter, |_| {}).await {
        Ok(imported) if imported.events > 0 => {
            tracing::info!("took over {} events of the old client", imported.events);
        }
        Ok(_) => {}
        // The outbox may be full: it will be tried again at the next start.
        Err(failed) => tracing::warn!("the old client's events were not taken over: {failed}"),
    }
    Ok(())
}

/// The user's cache folder; none where there is no home.
fn cache_dir() -> Option<PathBuf> {
    let base = etcetera::choose_base_strategy().ok()?;
    Some(base.cache_dir().join("mcp-reporter"))
}

/// Without a cache the component is compiled at each start, which is no
/// reason not to report.
fn engine(cache_dir: Option<PathBuf>) -> Result<Engine, EngineError> {
    let options = EngineOptions {
        cache_dir,
        ..EngineOptions::default()
    };
    match Engine::new(&options) {
        Err(failed @ (EngineError::CacheUnusable { .. } | EngineError::CacheExposed { .. })) => {
            tracing::warn!("{failed}; every start will take longer");
            Engine::new(&EngineOptions {
                cache_dir: None,
                ..options
            })
        }
        result => result,
    }
}

async fn open(config: &Config) -> Result<Arc<dyn Store>, BuildError> {
    let durability = match config.durability() {
        config::Durability::Process => Durability::Process,
        config::Durability::Power => Durability::Power,
    };
    if let Some(url) = config.redis() {
        let options = RedisOptions {
            url: url.clone(),
            ca_file: config.ca_file().map(ToOwned::to_owned),
            durability,
        };
        let (store, warnings) = RedisStore::open(options).await?;
        warn(&warnings);
        return Ok(Arc::new(store));
    }
    if config.store() == config::StoreKind::Memory {
        return Ok(Arc::new(MemoryStore::new()));
    }
    let options = SqliteOptions {
        path: config.local_cache_path().to_owned(),
        durability,
    };
    let opened = tokio::task::spawn_blocking(|| SqliteStore::open(options)).await;
    let (store, warnings) = opened.map_err(|e| BuildError::Threads(std::io::Error::other(e)))??;
    warn(&warnings);
    Ok(Arc::new(store))
}

fn warn(warnings: &[StoreWarning]) {
    for warning in warnings {
        tracing::warn!("{warning}");
    }
}

/// How others see who delivers.
fn lease_holder(store: config::StoreKind) -> String {
    let pid = std::process::id();
    // Who shares a Redis may be on another machine.
    let machine = (store == config::StoreKind::Redis)
        .then(sysinfo::System::host_name)
        .and_then(Result::ok);
    match machine {
        Some(machine) => format!("pid-{pid}@{machine}"),
        None => format!("pid-{pid}"),
    }
}
