//! One application: its components, their variables, the store, and what they may reach.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use wasmtime::component::{Component, Linker};
use wasmtime::{Cache, CacheConfig, Config, Engine};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi_http::p2::bindings::ProxyPre;

use super::SpinComponent;
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
    pub places: Semaphore,
    pub counters: Arc<Counters>,
    pub store: Arc<dyn Store>,
    pub stderr: MemoryOutputPipe,
    components: Vec<Loaded>,
    mortality: Mutex<Mortality>,
}

/// A component that is linked, and what is its own.
pub(super) struct Loaded {
    pub proxy: ProxyPre<State>,
    route: String,
    egress: Egress,
    variables: Arc<BTreeMap<String, String>>,
}

impl Loaded {
    /// How well its route fits a path: none if not at all.
    fn fits(&self, path: &str) -> Option<usize> {
        match self.route.strip_suffix("/...") {
            Some(prefix) => {
                let rest = path.strip_prefix(prefix)?;
                (rest.is_empty() || rest.starts_with('/')).then_some(prefix.len())
            }
            None => (path == self.route).then_some(usize::MAX),
        }
    }
}

impl Application {
    /// Compiles and links the components.
    pub(super) fn new(
        components: Vec<SpinComponent>,
        instances: usize,
        mortality: Mortality,
        store: Arc<dyn Store>,
    ) -> Result<Self, String> {
        let engine = engine().map_err(|error| format!("{error:#}"))?;
        let counters = Arc::new(Counters::default());
        let load = |component: SpinComponent| {
            let proxy = linked(&engine, &component.bytes).map_err(|error| format!("{error:#}"))?;
            Ok(Loaded {
                proxy,
                route: component.route,
                egress: Egress::new(&component.allowed_outbound_hosts, counters.clone())?,
                variables: Arc::new(component.variables),
            })
        };
        let components = components.into_iter().map(load);
        Ok(Self {
            components: components.collect::<Result<_, String>>()?,
            engine,
            places: Semaphore::new(instances),
            counters,
            store,
            stderr: MemoryOutputPipe::new(STDERR_BYTES),
            mortality: Mutex::new(mortality),
        })
    }

    /// The component whose route fits a path best.
    pub(super) fn component(&self, path: &str) -> Option<&Loaded> {
        let fitting = self.components.iter();
        let fitting = fitting.filter_map(|component| Some((component.fits(path)?, component)));
        let best = fitting.max_by_key(|(length, _)| *length);
        best.map(|(_, component)| component)
    }

    /// The host's side of a new instance of a component, which dies in this way.
    pub(super) fn state(&self, component: &Loaded, death: Option<Death>) -> State {
        State::new(
            KeyValue::new(self.store.clone(), self.counters.clone(), death),
            Timers::new(self.counters.clone()),
            component.variables.clone(),
            self.stderr.clone(),
            &component.egress,
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
