//! One application: the component, its variables, its store, and what it may reach.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use wasmtime::component::{Component, Linker};
use wasmtime::{Cache, CacheConfig, Config, Engine};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi_http::p2::bindings::ProxyPre;

use super::SpinOptions;
use super::clock::Timers;
use super::counts::Counters;
use super::egress::Egress;
use super::keyvalue::KeyValue;
use super::mortality::{Death, Mortality};
use super::state::{State, link};
use super::store::Store;

/// How much of what the component writes to its standard error is kept.
const STDERR_BYTES: usize = 64 * 1024 * 1024;

/// What all instances share.
pub(super) struct Application {
    pub engine: Engine,
    pub component: ProxyPre<State>,
    pub places: Semaphore,
    pub counters: Arc<Counters>,
    pub store: Arc<dyn Store>,
    pub stderr: MemoryOutputPipe,
    egress: Egress,
    variables: Arc<BTreeMap<String, String>>,
    mortality: Mutex<Mortality>,
}

impl Application {
    /// Compiles and links the component.
    pub(super) fn new(
        component: &[u8],
        options: SpinOptions,
        store: Arc<dyn Store>,
    ) -> Result<Self, String> {
        let engine = engine().map_err(|error| format!("{error:#}"))?;
        let component = linked(&engine, component).map_err(|error| format!("{error:#}"))?;
        let counters = Arc::new(Counters::default());
        Ok(Self {
            egress: Egress::new(&options.allowed_outbound_hosts, counters.clone())?,
            engine,
            component,
            places: Semaphore::new(options.instances),
            counters,
            store,
            stderr: MemoryOutputPipe::new(STDERR_BYTES),
            variables: Arc::new(options.variables),
            mortality: Mutex::new(options.mortality),
        })
    }

    /// The host's side of a new instance that dies in this way.
    pub(super) fn state(&self, death: Option<Death>) -> State {
        State::new(
            KeyValue::new(self.store.clone(), self.counters.clone(), death),
            Timers::new(self.counters.clone()),
            self.variables.clone(),
            self.stderr.clone(),
            &self.egress,
        )
    }

    pub(super) fn mortality(&self) -> Mortality {
        *self
            .mortality
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_mortality(&self, mortality: Mortality) {
        *self
            .mortality
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = mortality;
    }
}

fn engine() -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .cache(Some(cache()?));
    Engine::new(&config)
}

/// Compiled components are kept beside the executable that runs.
fn cache() -> wasmtime::Result<Cache> {
    let folder = crate::cache_dir().with_file_name("spin-component-cache");
    std::fs::create_dir_all(&folder)?;
    let mut config = CacheConfig::new();
    config.with_directory(folder.canonicalize()?);
    Cache::new(config)
}

fn linked(engine: &Engine, component: &[u8]) -> wasmtime::Result<ProxyPre<State>> {
    let component = Component::new(engine, component)?;
    let mut linker = Linker::new(engine);
    link(&mut linker)?;
    ProxyPre::new(linker.instantiate_pre(&component)?)
}
