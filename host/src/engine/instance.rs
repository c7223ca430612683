//! One running component.

use http::{Request, Response};
use tokio::sync::oneshot;
use wasmtime::{AsContextMut, Store};
use wasmtime_wasi_http::{
    WasiBody, WasiHttpView,
    p2::{
        bindings::{
            Proxy,
            http::types::{ErrorCode, Scheme},
        },
        body::HyperOutgoingBody,
    },
};

use super::{
    Action, Component, Delivery, EngineError, EntryPage, Failure, InteractionReport, OutboxStatus,
    Outcome, Probe, PurgeFilter, bindings::McpReporter, deadline, state::State,
};

/// One running component. It runs one call at a time.
///
/// The outer error of a call is the instance's end: it is [poisoned](Self::is_poisoned) from
/// then on. So it is when the future of a call is dropped before it is done. The inner error is
/// the component's own answer, and harms nothing.
pub struct Instance {
    store: Store<State>,
    exports: McpReporter,
    /// None where the component has no `wasi:http/incoming-handler`.
    handler: Option<Proxy>,
    /// Stays set when a call does not come to its end.
    in_call: bool,
}

/// What the component answers to a request over HTTP.
pub type HandlerAnswer = Result<Response<HyperOutgoingBody>, ErrorCode>;

/// What a call of the component comes to.
type Called<T> = Result<Result<T, Failure>, EngineError>;

/// Calls an export. A macro, because each has a type of its own and borrows both fields.
macro_rules! call {
    ($instance:ident, $interface:ident . $function:ident ( $($argument:expr),* )) => {{
        $instance.enter()?;
        let result = $instance
            .exports
            .$interface()
            .$function(&mut $instance.store $(, $argument)*)
            .await;
        $instance.leave(result)
    }};
}

impl Instance {
    pub(super) async fn new(component: &Component, state: State) -> Result<Self, EngineError> {
        let mut store = Store::new(component.pre.engine(), state);
        store.limiter(|state| &mut state.limits);
        deadline::enforce(&mut store);
        let instance = component.pre.instantiate_async(&mut store).await;
        let instance = instance.map_err(explain)?;
        let exports = component.exports.load(&mut store, &instance);
        let handler = component.handler.as_ref();
        let handler = handler.map(|handler| handler.load(&mut store, &instance));
        Ok(Self {
            handler: handler.transpose().map_err(explain)?,
            exports: exports.map_err(explain)?,
            store,
            in_call: false,
        })
    }

    /// Whether this instance is lost, and another must be made.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.in_call
    }

    /// Reports what happened in an interaction. `data` is the text of a JSON object.
    ///
    /// # Errors
    ///
    /// See [`Instance`].
    pub async fn report(&mut self, action: Action, id: &str, data: &str) -> Called<Outcome> {
        match action {
            Action::Start => {
                call!(
                    self,
                    mcp_reporter_interactions_reporter.call_report_start(id, data)
                )
            }
            Action::Progress => {
                call!(
                    self,
                    mcp_reporter_interactions_reporter.call_report_progress(id, data)
                )
            }
            Action::Complete => {
                call!(
                    self,
                    mcp_reporter_interactions_reporter.call_report_complete(id, data)
                )
            }
            Action::Error => {
                call!(
                    self,
                    mcp_reporter_interactions_reporter.call_report_error(id, data)
                )
            }
        }
    }

    /// Reports several at once, in order, in one store operation; one result for each.
    ///
    /// # Errors
    ///
    /// See [`Instance`].
    pub async fn report_many(
        &mut self,
        reports: &[InteractionReport],
    ) -> Result<Vec<Result<Outcome, Failure>>, EngineError> {
        call!(
            self,
            mcp_reporter_interactions_reporter.call_report_many(reports)
        )
    }

    /// Makes an id for a new interaction: `int_{unix seconds}_{8 hex digits}`.
    ///
    /// # Errors
    ///
    /// The instance's end.
    pub async fn new_interaction_id(&mut self) -> Result<String, EngineError> {
        call!(
            self,
            mcp_reporter_interactions_reporter.call_new_interaction_id()
        )
    }

    /// Sends what is due, for at most `budget_ms`.
    ///
    /// # Errors
    ///
    /// See [`Instance`].
    pub async fn deliver(&mut self, budget_ms: u32) -> Called<Delivery> {
        call!(
            self,
            mcp_reporter_interactions_outbox.call_deliver(budget_ms)
        )
    }

    /// The state of the outbox.
    ///
    /// # Errors
    ///
    /// See [`Instance`].
    pub async fn status(&mut self) -> Called<OutboxStatus> {
        call!(self, mcp_reporter_interactions_outbox.call_status())
    }

    /// The dead letters, oldest first: at most `limit` (1 to 1,000) from `cursor` on.
    ///
    /// # Errors
    ///
    /// See [`Instance`].
    pub async fn list_dead_letters(
        &mut self,
        limit: u32,
        cursor: Option<&str>,
    ) -> Called<EntryPage> {
        call!(
            self,
            mcp_reporter_interactions_outbox.call_list_dead_letters(limit, cursor)
        )
    }

    /// The waiting events, oldest first: at most `limit` (1 to 1,000) from `cursor` on.
    ///
    /// # Errors
    ///
    /// See [`Instance`].
    pub async fn list_waiting(&mut self, limit: u32, cursor: Option<&str>) -> Called<EntryPage> {
        call!(
            self,
            mcp_reporter_interactions_outbox.call_list_waiting(limit, cursor)
        )
    }

    /// The body of the event under `key`; none when there is no such event.
    ///
    /// # Errors
    ///
    /// See [`Instance`].
    pub async fn show(&mut self, key: &str) -> Called<Option<String>> {
        call!(self, mcp_reporter_interactions_outbox.call_show(key))
    }

    /// Puts the dead letters of these interactions, or all when none is named, back into the
    /// queue, and returns how many.
    ///
    /// # Errors
    ///
    /// See [`Instance`].
    pub async fn redrive(&mut self, interaction_ids: &[String]) -> Called<u32> {
        call!(
            self,
            mcp_reporter_interactions_outbox.call_redrive(interaction_ids)
        )
    }

    /// Deletes events for good and returns how many.
    ///
    /// # Errors
    ///
    /// See [`Instance`].
    pub async fn purge(&mut self, filter: &PurgeFilter) -> Called<u32> {
        call!(self, mcp_reporter_interactions_outbox.call_purge(filter))
    }

    /// Asks the coordinator whether it is up.
    ///
    /// # Errors
    ///
    /// See [`Instance`].
    pub async fn check_connection(&mut self) -> Called<Probe> {
        call!(
            self,
            mcp_reporter_interactions_coordinator.call_check_connection()
        )
    }

    /// Asks the coordinator whether it takes the key.
    ///
    /// # Errors
    ///
    /// See [`Instance`].
    pub async fn validate_api_key(&mut self) -> Called<Probe> {
        call!(
            self,
            mcp_reporter_interactions_coordinator.call_validate_api_key()
        )
    }

    /// Answers a request over HTTP: the coordinator's own API, in front of the outbox. `answer` gets
    /// the answer, whose body may go on while this goes on; and this goes on while the component
    /// works after its answer, which `edge_budget` allows or not.
    ///
    /// # Errors
    ///
    /// The instance's end; or the request names no host; or the component has no such API.
    pub async fn handle(
        &mut self,
        request: Request<WasiBody>,
        answer: oneshot::Sender<HandlerAnswer>,
    ) -> Result<(), EngineError> {
        let mut http = self.store.data_mut().http();
        let new = http.new_incoming_request(Scheme::Http, request);
        let request = new.map_err(explain)?;
        let out = http.new_response_outparam(answer).map_err(explain)?;
        self.enter()?;
        let result = match &self.handler {
            Some(handler) => {
                let handler = handler.wasi_http_incoming_handler();
                let store = self.store.as_context_mut();
                handler.call_handle(store, request, out).await
            }
            None => Err(wasmtime::Error::new(EngineError::WrongComponent {
                mismatch: "it does not export wasi:http/incoming-handler@0.2.0".to_owned(),
            })),
        };
        self.leave(result)
    }

    fn enter(&mut self) -> Result<(), EngineError> {
        if self.in_call {
            return Err(EngineError::Poisoned);
        }
        self.in_call = true;
        Ok(())
    }

    fn leave<T>(&mut self, result: wasmtime::Result<T>) -> Result<T, EngineError> {
        let value = result.map_err(explain)?;
        self.in_call = false;
        Ok(value)
    }
}

fn explain(error: wasmtime::Error) -> EngineError {
    match error.downcast::<EngineError>() {
        Ok(error) => error,
        // What stands around the cause is a backtrace of addresses, which says nothing to a user.
        Err(error) => EngineError::Trap(error.root_cause().to_string()),
    }
}
