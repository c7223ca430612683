//! What the host keeps for one instance, and what it lets the instance reach.

use std::sync::Arc;

use wasmtime::{
    StoreLimits, StoreLimitsBuilder,
    component::{HasData, HasSelf, Linker, ResourceTable},
};
use wasmtime_wasi::{
    WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView,
    cli::{WasiCli, WasiCliView},
    clocks::{WasiClocks, WasiClocksView},
    p2::bindings::{cli, clocks, io, random},
    random::{WasiRandom, WasiRandomView},
};
use wasmtime_wasi_http::{
    WasiHttp, WasiHttpCtx, WasiHttpCtxView, WasiHttpView,
    p2::bindings::http::{self, types::LinkOptions},
};

use super::{
    bindings::wasi::{config, keyvalue},
    clock::RisingClock,
    deadline::Deadline,
    egress::{Egress, Hooks},
    stderr::Stderr,
};
use crate::store::Store;

/// How much memory an instance may use.
const MEMORY_BYTES: usize = 256 * 1024 * 1024;

/// How many elements a table of an instance may have; the component uses some hundred.
const TABLE_ELEMENTS: usize = 10_000;

/// How many resources an instance may hold at once. A request takes fewer than 10, so this is
/// far above what `max_in_flight` allows, and low enough for a leak to show.
const RESOURCES: usize = 20_000;

/// The host's side of one instance.
pub(super) struct State {
    pub(super) store: Arc<dyn Store>,
    pub(super) settings: Arc<[(String, String)]>,
    pub(super) table: ResourceTable,
    pub(super) limits: StoreLimits,
    pub(super) deadline: Deadline,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Hooks,
}

impl State {
    pub(super) fn new(
        store: Arc<dyn Store>,
        settings: Arc<[(String, String)]>,
        egress: &Egress,
        deadline: Deadline,
        accepting: bool,
    ) -> Self {
        let mut wasi = WasiCtxBuilder::new();
        wasi.stderr(Stderr::default());
        if accepting {
            wasi.wall_clock(RisingClock);
        }
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES);
        Self {
            store,
            settings,
            table,
            limits: StoreLimitsBuilder::new()
                .memory_size(MEMORY_BYTES)
                .table_elements(TABLE_ELEMENTS)
                .build(),
            deadline,
            wasi: wasi.build(),
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

struct Io;

impl HasData for Io {
    type Data<'a> = &'a mut ResourceTable;
}

/// Links what the world `mcp-reporter` imports, and nothing else: no files, sockets, environment.
pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    type Own = HasSelf<State>;

    let l = linker;
    clocks::wall_clock::add_to_linker::<_, WasiClocks>(l, State::clocks)?;
    clocks::monotonic_clock::add_to_linker::<_, WasiClocks>(l, State::clocks)?;
    random::random::add_to_linker::<_, WasiRandom>(l, State::random)?;
    io::error::add_to_linker::<_, Io>(l, |state| &mut state.table)?;
    io::poll::add_to_linker::<_, Io>(l, |state| &mut state.table)?;
    io::streams::add_to_linker::<_, Io>(l, |state| &mut state.table)?;
    cli::stderr::add_to_linker::<_, WasiCli>(l, State::cli)?;
    http::types::add_to_linker::<_, WasiHttp>(l, &LinkOptions::default(), State::http)?;
    http::outgoing_handler::add_to_linker::<_, WasiHttp>(l, State::http)?;
    keyvalue::store::add_to_linker::<_, Own>(l, |state| state)?;
    keyvalue::batch::add_to_linker::<_, Own>(l, |state| state)?;
    keyvalue::atomics::add_to_linker::<_, Own>(l, |state| state)?;
    config::store::add_to_linker::<_, Own>(l, |state| state)
}
