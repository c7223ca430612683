//! What the host keeps for one instance, and what Spin links.

use std::collections::BTreeMap;
use std::sync::Arc;

use wasmtime::component::{HasSelf, Linker, ResourceTable};
use wasmtime_wasi::p2::bindings::{clocks::monotonic_clock, io::poll};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::bindings::wasi::config::store::{Error, Host};
use super::bindings::wasi::{config, keyvalue};
use super::clock::Timers;
use super::egress::{Egress, Hooks};
use super::keyvalue::KeyValue;

/// The host's side of one instance.
pub(super) struct State {
    pub(super) keyvalue: KeyValue,
    pub(super) timers: Timers,
    pub(super) table: ResourceTable,
    variables: Arc<BTreeMap<String, String>>,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Hooks,
}

impl State {
    pub(super) fn new(
        keyvalue: KeyValue,
        timers: Timers,
        variables: Arc<BTreeMap<String, String>>,
        stderr: MemoryOutputPipe,
        egress: &Egress,
    ) -> Self {
        Self {
            keyvalue,
            timers,
            table: ResourceTable::new(),
            variables,
            wasi: WasiCtxBuilder::new().stderr(stderr).build(),
            http: WasiHttpCtx::new(),
            hooks: egress.hooks(),
        }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.hooks,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}

/// `wasi:config`: the application's variables.
impl Host for State {
    fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<String>, Error>> {
        Ok(Ok(self.variables.get(&key).cloned()))
    }

    fn get_all(&mut self) -> wasmtime::Result<Result<Vec<(String, String)>, Error>> {
        let all = self.variables.iter();
        Ok(Ok(all.map(|(k, v)| (k.clone(), v.clone())).collect()))
    }
}

/// Links what Spin 4.1 links of what is not its own, and nothing else.
pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    type Own = HasSelf<State>;

    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    keyvalue::store::add_to_linker::<_, Own>(linker, |state| state)?;
    keyvalue::batch::add_to_linker::<_, Own>(linker, |state| state)?;
    keyvalue::atomics::add_to_linker::<_, Own>(linker, |state| state)?;
    config::store::add_to_linker::<_, Own>(linker, |state| state)?;
    // The same as wasmtime's own, but watched.
    linker.allow_shadowing(true);
    monotonic_clock::add_to_linker::<_, Own>(linker, |state| state)?;
    poll::add_to_linker::<_, Own>(linker, |state| state)?;
    linker.allow_shadowing(false);
    Ok(())
}
