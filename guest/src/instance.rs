//! What one instance of the component keeps between calls.

use std::{cell::RefCell, sync::Arc};

use mcp_reporter_core::{accept::Acceptor, drain::Drainer, settings::Settings};

use crate::{
    bindings::Failure,
    config,
    log::{Level, log},
    random::Pool,
    store::KeyValue,
};

/// The state of an instance that is switched on.
pub struct Instance {
    /// The settings, as they were at the first call.
    pub settings: Arc<Settings>,
    /// The outbox's bucket.
    pub store: KeyValue,
    /// Random bytes.
    pub random: Pool,
    /// Takes reports in.
    pub acceptor: Acceptor,
    /// Gets events out.
    pub drainer: Drainer,
}

thread_local! {
    /// None before the first call; then none inside while reporting is switched off.
    static INSTANCE: RefCell<Option<Option<Instance>>> = const { RefCell::new(None) };
}

/// Runs `work` on this instance's state; not switched on is a failure.
pub fn with<T>(work: impl FnOnce(&mut Instance) -> Result<T, Failure>) -> Result<T, Failure> {
    with_enabled(|instance| match instance {
        Some(instance) => work(instance),
        None => Err(Failure::NotConfigured(String::from(
            "reporting is switched off: set enable_interaction_logging = true",
        ))),
    })
}

/// Runs `work` on this instance's state; on none while reporting is switched off.
pub fn with_enabled<T>(
    work: impl FnOnce(Option<&mut Instance>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    INSTANCE.with_borrow_mut(|slot| {
        let instance = match slot {
            Some(instance) => instance,
            None => slot.insert(Instance::new()?),
        };
        work(instance.as_mut())
    })
}

impl Instance {
    fn new() -> Result<Option<Self>, Failure> {
        // Where, and not what: the message of a panic may quote an event.
        std::panic::set_hook(Box::new(|panic| {
            if let Some(place) = panic.location() {
                log(Level::Error, &format!("panicked at {place}"));
            }
        }));
        let Some(settings) = config::settings()? else {
            return Ok(None);
        };
        let settings = Arc::new(settings);
        let store = KeyValue::open().map_err(|error| Failure::Storage(error.0))?;
        let mut random = Pool::default();
        Ok(Some(Self {
            acceptor: Acceptor::new(settings.clone()),
            drainer: Drainer::new(settings.clone(), &mut random),
            settings,
            store,
            random,
        }))
    }
}
