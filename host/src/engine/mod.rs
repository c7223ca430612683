//! Runs the reporter's component on wasmtime.
//!
//! ```text
//! Engine ── load ─► Component ── Reporter::new(settings, egress) ── instantiate(store) ─► Instance
//! ```
//!
//! An [`Engine`] and its [`Component`] are made once and shared. A [`Reporter`] adds the settings
//! and the one way to the network, and makes any number of [`Instance`]s. An instance runs one
//! call at a time; when a call traps, the instance is lost and its owner makes another. What an
//! instance can reach is what the world in `wit/` names: clocks, random bytes, log lines, the
//! [`Store`] and the settings that it was given, and HTTP to the configured
//! coordinator.

mod bindings;
mod cache;
mod clock;
mod config;
mod deadline;
mod egress;
mod error;
mod instance;
mod keyvalue;
mod state;
mod stderr;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, sync::Arc, time::Duration};

use wasmtime::{
    Config,
    component::{InstancePre, Linker},
};
use wasmtime_wasi_http::p2::bindings::ProxyIndices;

pub(crate) use self::egress::Answered;
use self::{
    bindings::McpReporterIndices,
    deadline::{Deadline, Ticker},
    state::State,
};
pub use self::{
    bindings::{
        exports::mcp_reporter::interactions::{
            coordinator::Probe,
            outbox::{BreakerState, Delivery, Entry, EntryPage, OutboxStatus, PurgeFilter},
            reporter::{InteractionReport, Outcome},
        },
        mcp_reporter::interactions::types::{Action, Failure},
    },
    egress::Egress,
    error::EngineError,
    instance::{HandlerAnswer, Instance},
};
use crate::store::Store;
use mcp_reporter_core::event;

/// The action of the contract that the core's stands for.
pub(crate) fn action_of(action: event::Action) -> Action {
    match action {
        event::Action::Start => Action::Start,
        event::Action::Progress => Action::Progress,
        event::Action::Complete => Action::Complete,
        event::Action::Error => Action::Error,
    }
}

/// What a component must export.
const EXPORTS: [&str; 3] = [
    "mcp-reporter:interactions/reporter@0.1.0",
    "mcp-reporter:interactions/outbox@0.1.0",
    "mcp-reporter:interactions/coordinator@0.1.0",
];

/// How an [`Engine`] runs components.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Folder for compiled code, so that only the first start compiles; none to compile at every
    /// start. It is made if absent, and refused if others can write it.
    pub cache_dir: Option<PathBuf>,
    /// How long a component may compute without calling the host. Waiting does not count.
    pub guest_limit: Duration,
}

impl Default for EngineOptions {
    /// No cache; 10 s.
    fn default() -> Self {
        Self {
            cache_dir: None,
            guest_limit: Duration::from_secs(10),
        }
    }
}

/// Compiles and runs components. Cheap to clone; all clones are one engine.
#[derive(Clone)]
pub struct Engine {
    engine: wasmtime::Engine,
    linker: Arc<Linker<State>>,
    guest_limit: Duration,
    ticker: Ticker,
}

impl Engine {
    /// Starts an engine, with one thread that watches over its components' run time.
    ///
    /// # Errors
    ///
    /// When the cache folder cannot be used or is not safe, or WebAssembly cannot run here.
    pub fn new(options: &EngineOptions) -> Result<Self, EngineError> {
        let start = |error: wasmtime::Error| EngineError::Start(format!("{error:#}"));
        let mut config = Config::new();
        config
            .wasm_component_model(true)
            .concurrency_support(false)
            .epoch_interruption(true)
            // The component is compiled for size: small functions are inlined here instead.
            .compiler_inlining(wasmtime::Inlining::Yes);
        if let Some(dir) = &options.cache_dir {
            config.cache(Some(cache::open(dir)?));
        }
        let engine = wasmtime::Engine::new(&config).map_err(start)?;
        let mut linker = Linker::new(&engine);
        state::link(&mut linker).map_err(start)?;
        let ticker = Ticker::start(&engine)?;
        Ok(Self {
            engine,
            linker: Arc::new(linker),
            guest_limit: options.guest_limit,
            ticker,
        })
    }

    /// Compiles a component, or takes it from the cache. The reporter's own is
    /// [`mcp_reporter_artifacts::REPORTER`].
    ///
    /// # Errors
    ///
    /// When `bytes` is no component, not one for the world `mcp-reporter`, or cannot be compiled.
    pub fn load(&self, bytes: &[u8]) -> Result<Component, EngineError> {
        refuse_other_formats(bytes)?;
        let component = wasmtime::component::Component::new(&self.engine, bytes)
            .map_err(|error| EngineError::Compile(format!("{error:#}")))?;
        let wrong = |mismatch: String| EngineError::WrongComponent { mismatch };
        let kind = component.component_type();
        let missing: Vec<&str> = EXPORTS
            .into_iter()
            .filter(|export| kind.get_export(&self.engine, export).is_none())
            .collect();
        if !missing.is_empty() {
            return Err(wrong(format!("it does not export {}", missing.join(", "))));
        }
        let pre = self
            .linker
            .instantiate_pre(&component)
            .map_err(|error| wrong(format!("{error:#}")))?;
        let exports = McpReporterIndices::new(&pre).map_err(|error| wrong(format!("{error:#}")))?;
        Ok(Component {
            // One that is asked for nothing over HTTP needs no handler.
            handler: ProxyIndices::new(&pre).ok(),
            pre,
            exports,
            guest_limit: self.guest_limit,
            _ticker: self.ticker.clone(),
        })
    }
}

/// Tells what `bytes` is, when that is not a component: both kinds of WebAssembly binary begin
/// with `\0asm`, and the next four bytes tell them apart.
fn refuse_other_formats(bytes: &[u8]) -> Result<(), EngineError> {
    let found = match (bytes.get(..4), bytes.get(4..8)) {
        (Some(b"\0asm"), Some([0x0d, 0, 1, 0])) => return Ok(()),
        (Some(b"\0asm"), Some([1, 0, 0, 0])) => "it is a core WebAssembly module",
        (Some(b"\0asm"), _) => "it is WebAssembly of an unknown version",
        _ if bytes.is_empty() => "it is empty",
        _ => "it is not WebAssembly in binary form",
    };
    Err(EngineError::NotAComponent { found })
}

/// A compiled component of the world `mcp-reporter`. Cheap to clone.
#[derive(Clone)]
pub struct Component {
    pre: InstancePre<State>,
    exports: McpReporterIndices,
    handler: Option<ProxyIndices>,
    guest_limit: Duration,
    _ticker: Ticker,
}

/// A component with its settings and its way to the network: makes instances. Cheap to clone.
#[derive(Clone)]
pub struct Reporter {
    component: Component,
    settings: Arc<[(String, String)]>,
    egress: Egress,
}

impl Reporter {
    /// Instances will see `settings` as `wasi:config`, and reach the network through `egress`.
    #[must_use]
    pub fn new(component: Component, settings: Vec<(String, String)>, egress: Egress) -> Self {
        Self {
            component,
            settings: settings.into(),
            egress,
        }
    }

    /// The same with these settings besides; of equal names they count.
    #[must_use]
    pub fn with(&self, more: impl IntoIterator<Item = (String, String)>) -> Self {
        let settings = self.settings.iter().cloned().chain(more).collect();
        Self {
            settings,
            ..self.clone()
        }
    }

    /// Makes an instance whose outbox is in `store`.
    ///
    /// # Errors
    ///
    /// When the component does not start.
    pub async fn instantiate(&self, store: Arc<dyn Store>) -> Result<Instance, EngineError> {
        self.make(store, false).await
    }

    /// The same for one that takes reports: by its clock, which all such instances of this
    /// process share, time never goes back and never repeats, so that events of one interaction
    /// keep their order whoever took them.
    ///
    /// # Errors
    ///
    /// As [`instantiate`](Self::instantiate).
    pub async fn instantiate_accepting(
        &self,
        store: Arc<dyn Store>,
    ) -> Result<Instance, EngineError> {
        self.make(store, true).await
    }

    async fn make(&self, store: Arc<dyn Store>, accepting: bool) -> Result<Instance, EngineError> {
        let deadline = Deadline::new(self.component.guest_limit);
        let settings = self.settings.clone();
        let state = State::new(store, settings, &self.egress, deadline, accepting);
        Instance::new(&self.component, state).await
    }
}
