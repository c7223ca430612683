//! How long the component may compute without calling the host.
//!
//! Time in host calls does not count, so waiting for the network or the store is not punished. A
//! thread raises the engine's epoch at every tick; when the component is still in the same
//! stretch of its own code a tick later, it yields to other tasks, and at the limit it traps.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use wasmtime::{AsContextMut, Engine, Store, UpdateDeadline};

use super::{EngineError, state::State};

/// How often the component is looked at.
const TICK: Duration = Duration::from_millis(100);

/// The limit, and how far the component is from it.
#[derive(Clone, Copy)]
pub(super) struct Deadline {
    limit: Duration,
    computed: Duration,
    /// The look itself is a call of the host, and must not pass for one of the component's.
    looking: bool,
}

impl Deadline {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit,
            computed: Duration::ZERO,
            looking: false,
        }
    }
}

/// Holds every instance in `store` to its deadline.
pub(super) fn enforce(store: &mut Store<State>) {
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|mut context| {
        let deadline = &mut context.data_mut().deadline;
        deadline.computed += TICK;
        deadline.looking = true;
        if deadline.computed > deadline.limit {
            return Err(wasmtime::Error::new(EngineError::Runaway {
                limit: deadline.limit,
            }));
        }
        Ok(UpdateDeadline::Yield(1))
    });
    store.call_hook(|mut context, hook| {
        if hook.exiting_host() && !std::mem::take(&mut context.data_mut().deadline.looking) {
            context.data_mut().deadline.computed = Duration::ZERO;
            context.as_context_mut().set_epoch_deadline(1);
        }
        Ok(())
    });
}

/// The thread that raises the epoch, until this is dropped.
#[derive(Clone)]
pub(super) struct Ticker {
    _stop: Arc<mpsc::Sender<()>>,
}

impl Ticker {
    /// Starts it.
    pub(super) fn start(engine: &Engine) -> Result<Self, EngineError> {
        let (stop, stopped) = mpsc::channel();
        let engine = engine.weak();
        thread::Builder::new()
            .name("mcp-reporter-ticks".to_owned())
            .spawn(move || {
                while let Err(mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(TICK) {
                    match engine.upgrade() {
                        Some(engine) => engine.increment_epoch(),
                        None => return,
                    }
                }
            })
            .map_err(|error| EngineError::Start(error.to_string()))?;
        Ok(Self {
            _stop: Arc::new(stop),
        })
    }
}
