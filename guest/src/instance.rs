//! What one instance of the component keeps between calls.

use alloc::sync::Arc;
use core::cell::{OnceCell, RefCell, RefMut};

use mcp_reporter_core::{accept::Acceptor, drain::Drainer, settings::Settings};

use crate::{bindings::Failure, config, prelude::*, random::Pool, store::KeyValue};

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

/// Empty before the first call; then none inside while reporting is switched off.
static INSTANCE: Local<OnceCell<Option<RefCell<Instance>>>> = Local(OnceCell::new());

/// A value of the one thread that a component has.
struct Local<T>(T);

#[expect(unsafe_code, reason = "a thread-local needs `std`")]
// SAFETY: without the target feature `atomics` there are no threads.
unsafe impl<T> Sync for Local<T> {}

/// This instance's state; not switched on is a failure.
pub fn required() -> Result<RefMut<'static, Instance>, Failure> {
    enabled()?.ok_or_else(|| {
        Failure::NotConfigured(String::from(
            "reporting is switched off: set enable_interaction_logging = true",
        ))
    })
}

/// This instance's state; none while reporting is switched off.
pub fn enabled() -> Result<Option<RefMut<'static, Instance>>, Failure> {
    let instance = match INSTANCE.0.get() {
        Some(instance) => instance,
        None => {
            let new = Instance::new()?.map(RefCell::new);
            INSTANCE.0.get_or_init(|| new)
        }
    };
    Ok(instance.as_ref().map(RefCell::borrow_mut))
}

impl Instance {
    fn new() -> Result<Option<Self>, Failure> {
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
