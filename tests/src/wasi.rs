//! A runtime of WASI 0.2 as others are: wasmtime with files, environment variables and HTTP, and no
//! key-value store. Each call may have an instance of its own, and end at any call of the host.

use std::future::Future;
use std::path::Path;

use http::{Request, Response};
use http_body_util::BodyExt;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use wasmtime::component::types::ComponentFunc;
use wasmtime::component::{Component, Linker, ResourceTable, Val};
use wasmtime::{CallHook, Config, Engine, Store, StoreContextMut};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

/// How much of what a component logs is kept.
const LOG_BYTES: usize = 1 << 20;

/// Where an instance is ended: at a call of the host, before it is done or after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fuse {
    /// How many calls of the host are done before that.
    pub calls: usize,
    /// Whether the one after them is done, too.
    pub after: bool,
}

/// A component and what its instances may use.
pub struct Wasi {
    engine: Engine,
    linker: Linker<State>,
    component: Component,
    policy: Option<Vec<String>>,
}

/// What the runtime keeps for one instance.
pub struct State {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Hooks,
    table: ResourceTable,
    fuse: Option<Fuse>,
    calls: usize,
    log: MemoryOutputPipe,
}

impl State {
    /// How often it called the host.
    pub fn calls(&self) -> usize {
        self.calls
    }

    /// What it wrote to standard error.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&self.log.contents()).into_owned()
    }
}

impl Wasi {
    /// Compiles a component.
    pub fn new(component: &[u8]) -> Self {
        let mut config = Config::new();
        config.wasm_component_model(true).concurrency_support(false);
        let engine = Engine::new(&config).expect("no engine");
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).expect("WASI is not linked");
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)
            .expect("HTTP is not linked");
        let component = Component::new(&engine, component).expect("no component");
        Self {
            engine,
            linker,
            component,
            policy: None,
        }
    }

    /// As Wassette has it: `wasi:config` of another draft besides and nothing else, HTTP to these
    /// hosts only, and a folder under the path that it has outside.
    pub fn wassette(component: &[u8], hosts: &[&str]) -> Self {
        let mut wasi = Self::new(component);
        let mut config = wasi
            .linker
            .instance("wasi:config/store@0.2.0-rc.1")
            .expect("the configuration is not linked");
        for (name, nothing) in [
            ("get", Val::Option(None)),
            ("get-all", Val::List(Vec::new())),
        ] {
            let got = move |_: StoreContextMut<'_, State>,
                            _: ComponentFunc,
                            _: &[Val],
                            results: &mut [Val]| {
                results[0] = Val::Result(Ok(Some(Box::new(nothing.clone()))));
                Ok(())
            };
            let linked = config.func_new(name, got);
            linked.expect("the configuration is not linked");
        }
        wasi.policy = Some(hosts.iter().map(|host| (*host).to_owned()).collect());
        wasi
    }

    /// The component.
    pub fn component(&self) -> &Component {
        &self.component
    }

    /// What instances are linked with.
    pub fn linker(&self) -> &Linker<State> {
        &self.linker
    }

    /// A store for an instance, which sees this folder and these variables.
    pub fn store(
        &self,
        folder: Option<(&Path, FsPerms)>,
        variables: &[(String, String)],
        fuse: Option<Fuse>,
    ) -> Store<State> {
        let log = MemoryOutputPipe::new(LOG_BYTES);
        let mut wasi = WasiCtxBuilder::new();
        wasi.allow_blocking_current_thread(true)
            .envs(variables)
            .stderr(log.clone());
        if let Some((folder, permissions)) = folder {
            let outside = folder.to_str().expect("no folder that UTF-8 can name");
            let inside = self.policy.as_ref().map_or("/data", |_| outside);
            wasi.preopened_dir(folder, inside, permissions)
                .expect("the folder cannot be opened");
        }
        let state = State {
            wasi: wasi.build(),
            http: WasiHttpCtx::new(),
            hooks: Hooks {
                policy: self.policy.clone(),
            },
            table: ResourceTable::new(),
            fuse,
            calls: 0,
            log,
        };
        let mut store = Store::new(&self.engine, state);
        store.call_hook(|mut context, hook| {
            let state = context.data_mut();
            let (calls, after) = match hook {
                CallHook::CallingHost => {
                    state.calls += 1;
                    (state.calls - 1, false)
                }
                CallHook::ReturningFromHost => (state.calls - 1, true),
                _ => return Ok(()),
            };
            if state.fuse == Some(Fuse { calls, after }) {
                return Err(wasmtime::Error::msg("killed"));
            }
            Ok(())
        });
        store
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

/// HTTP without TLS, with a connection for each request, as runtimes have it that keep nothing
/// between calls.
struct Hooks {
    /// To which hosts requests may go; none for all.
    policy: Option<Vec<String>>,
}

type Task = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        _options: Option<RequestOptions>,
        _response_processed: Task,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Task), Error>> + Send> {
        let host = request.uri().host();
        let allowed = self
            .policy
            .as_ref()
            .is_none_or(|hosts| hosts.iter().any(|allowed| Some(&**allowed) == host));
        Box::new(async move {
            if !allowed {
                return Err(Error::HttpRequestDenied);
            }
            let mut connector = HttpConnector::new();
            connector.set_nodelay(true);
            let client = Client::builder(TokioExecutor::new()).build(connector);
            let response = client.request(request).await;
            let response = response.map_err(|_| Error::ConnectionRefused)?;
            let response = response.map(|body| body.map_err(Error::Hyper).boxed_unsync());
            Ok((response, Box::new(async { Ok(()) }) as Task))
        })
    }

    fn p2_error_from_hyper(&mut self, _error: &hyper::Error) -> ErrorCode {
        ErrorCode::HttpResponseIncomplete
    }
}
