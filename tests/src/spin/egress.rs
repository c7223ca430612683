//! `wasi:http/outgoing-handler` under `allowed_outbound_hosts`.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http_body_util::BodyExt;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::counts::Counters;

/// The one client, and where it may go.
#[derive(Clone)]
pub(super) struct Egress {
    client: Client<HttpConnector, WasiBody>,
    allowed: Arc<[Uri]>,
    counters: Arc<Counters>,
}

impl Egress {
    /// Each entry is `scheme://host:port`, without a path.
    pub(super) fn new(allowed: &[String], counters: Arc<Counters>) -> Result<Self, String> {
        let allowed = allowed.iter().map(|entry| {
            let uri: Uri = entry
                .parse()
                .map_err(|error| format!("allowed_outbound_hosts: {entry}: {error}"))?;
            // What has no path is parsed as having the shortest.
            let bare = uri.scheme().is_some() && uri.path() == "/" && !entry.ends_with('/');
            match bare && uri.query().is_none() {
                true => Ok(uri),
                false => Err(format!(
                    "allowed_outbound_hosts: {entry}: must be scheme://host:port without a path"
                )),
            }
        });
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(HttpConnector::new()),
            allowed: allowed.collect::<Result<_, String>>()?,
            counters,
        })
    }

    pub(super) fn hooks(&self) -> Hooks {
        Hooks(self.clone())
    }

    /// Names are not resolved for this: `localhost` is another host than `127.0.0.1`.
    fn allows(&self, to: &Uri) -> bool {
        self.allowed.iter().any(|entry| {
            entry.scheme() == to.scheme() && entry.host() == to.host() && port(entry) == port(to)
        })
    }

    async fn send(self, request: Request<WasiBody>) -> Result<Response<WasiBody>, Error> {
        if !self.allows(request.uri()) {
            self.counters.denied.fetch_add(1, Ordering::Relaxed);
            return Err(Error::HttpRequestDenied);
        }
        match self.client.request(request).await {
            Ok(response) => Ok(response.map(|body| body.map_err(Error::Hyper).boxed_unsync())),
            Err(error) if error.is_connect() => Err(Error::ConnectionRefused),
            Err(_) => Err(Error::ConnectionTerminated),
        }
    }
}

fn port(uri: &Uri) -> u16 {
    let https = uri.scheme_str() == Some("https");
    uri.port_u16().unwrap_or(if https { 443 } else { 80 })
}

/// The same for one instance.
pub(super) struct Hooks(Egress);

type Task = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        _options: Option<RequestOptions>,
        _response_processed: Task,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Task), Error>> + Send> {
        let response = self.0.clone().send(request);
        Box::new(async move { Ok((response.await?, Box::new(async { Ok(()) }) as Task)) })
    }

    fn p2_error_from_hyper(&mut self, _error: &hyper::Error) -> ErrorCode {
        ErrorCode::HttpResponseIncomplete
    }
}
