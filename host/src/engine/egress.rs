//! The one way to the network: HTTP to the configured coordinator, through one pooled client.

mod body;
mod failure;

use std::{
    future::Future,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{Request, Response, Uri, uri::Authority};
use http_body_util::BodyExt;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpHooks, p2::bindings::http::types::ErrorCode,
};

use self::body::Answer;
use super::EngineError;
use crate::tls;

/// How long a TCP connection may take. The component's own deadline for a request is shorter;
/// this one ends a connection that nobody waits for any more.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How many unused connections are kept, and how long.
const IDLE_CONNECTIONS: usize = 64;
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How large the head of a response may be.
const HEAD_BYTES: usize = 64 * 1024;

/// HTTP to one scheme, host and port, and nowhere else. Cheap to clone; all clones share their
/// connections.
///
/// The name is resolved anew for each connection. Redirects are not followed.
#[derive(Clone)]
pub struct Egress {
    client: Client<HttpsConnector<HttpConnector>, WasiBody>,
    allowed: Arc<Destination>,
    on_request: Option<OnRequest>,
}

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answered {
    /// An answer with this HTTP status.
    Status(u16),
    /// No answer: the connection could not be made, or broke.
    Failed,
    /// No answer in time: whoever sent it waits no more.
    GivenUp,
}

/// Called at the end of each request: what came of it, and how long the head of its answer took.
pub(crate) type OnRequest = Arc<dyn Fn(Answered, Duration) + Send + Sync>;

/// Where requests may go.
struct Destination {
    tls: bool,
    host: String,
    port: u16,
}

impl Egress {
    /// Allows requests to the scheme and authority of `url`, whose path does not matter.
    ///
    /// TLS trusts the system's roots and the certificates in `ca_file` (PEM). Neither is read for
    /// plain http.
    ///
    /// # Errors
    ///
    /// When `url` is not an absolute http or https URL, or the certificates cannot be read.
    pub fn new(url: &str, ca_file: Option<&Path>) -> Result<Self, EngineError> {
        let allowed = Destination::parse(url).ok_or(EngineError::Destination)?;
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        // Without it, a request waits 40 ms for an acknowledgement that the peer delays.
        http.set_nodelay(true);
        http.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let tls = if allowed.tls {
            tls::client(ca_file)
        } else {
            tls::client_without_roots()
        };
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls.map_err(EngineError::Tls)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .http1_max_buf_size(HEAD_BYTES)
            .build(connector);
        Ok(Self {
            client,
            allowed: Arc::new(allowed),
            on_request: None,
        })
    }

    /// The same with this called for each request.
    pub(crate) fn observed(self, on_request: OnRequest) -> Self {
        Self {
            on_request: Some(on_request),
            ..self
        }
    }

    pub(super) fn hooks(&self) -> Hooks {
        Hooks(self.clone())
    }

    async fn send(self, request: Request<WasiBody>) -> Result<Response<WasiBody>, Error> {
        if !self.allowed.is(request.uri()) {
            return Err(Error::HttpRequestDenied);
        }
        let watch = self.on_request.clone().map(Watch::start);
        let answer = self.client.request(request).await;
        if let Some(watch) = watch {
            watch.stop(match &answer {
                Ok(response) => Answered::Status(response.status().as_u16()),
                Err(_) => Answered::Failed,
            });
        }
        match answer {
            Ok(response) => Ok(response.map(|body| Answer::new(body).boxed_unsync())),
            Err(error) => Err(failure::of_request(&error)),
        }
    }
}

/// The time of one request, told also when it is cancelled: so a timeout looks from here.
struct Watch {
    since: Instant,
    /// None once told.
    on_request: Option<OnRequest>,
}

impl Watch {
    fn start(on_request: OnRequest) -> Self {
        Self {
            since: Instant::now(),
            on_request: Some(on_request),
        }
    }

    fn stop(mut self, answered: Answered) {
        self.tell(answered);
    }

    fn tell(&mut self, answered: Answered) {
        if let Some(on_request) = self.on_request.take() {
            on_request(answered, self.since.elapsed());
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.tell(Answered::GivenUp);
    }
}

impl Destination {
    fn parse(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let tls = match uri.scheme_str()? {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let authority = uri.authority()?;
        Some(Self {
            tls,
            host: authority.host().to_owned(),
            port: port(authority, tls),
        })
    }

    /// Whether `uri` leads here. One with a user name never does: some readers take what stands
    /// before the `@` for the host.
    fn is(&self, uri: &Uri) -> bool {
        let scheme = if self.tls { "https" } else { "http" };
        uri.scheme_str() == Some(scheme)
            && uri.authority().is_some_and(|authority| {
                !authority.as_str().contains('@')
                    && authority.host().eq_ignore_ascii_case(&self.host)
                    && port(authority, self.tls) == self.port
            })
    }
}

fn port(authority: &Authority, tls: bool) -> u16 {
    authority.port_u16().unwrap_or(if tls { 443 } else { 80 })
}

/// `wasi:http/outgoing-handler` for one instance.
pub(super) struct Hooks(Egress);

type Task = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        _options: Option<RequestOptions>,
        _response_processed: Task,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Task), Error>> + Send> {
        // Dropping this future, as happens when the component drops its own, cancels the request.
        let response = self.0.clone().send(request);
        Box::new(async move { Ok((response.await?, Box::new(async { Ok(()) }) as Task)) })
    }

    fn p2_error_from_hyper(&mut self, error: &hyper::Error) -> ErrorCode {
        failure::of_body(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leads_to(url: &str, destination: &str) -> bool {
        Destination::parse(destination)
            .unwrap()
            .is(&url.parse().unwrap())
    }

    #[test]
    fn a_request_may_go_where_scheme_host_and_port_are_the_same() {
        assert!(leads_to("http://host/api", "http://host"));
        assert!(leads_to("http://HOST:80/", "http://host/prefix"));
        assert!(leads_to("https://host:443/", "https://host"));
        assert!(leads_to("http://[::1]:8080/", "http://[::1]:8080"));
    }

    #[test]
    fn a_request_may_go_nowhere_else() {
        for url in [
            "https://host:8080/",
            "http://host/",
            "http://host:8081/",
            "http://other:8080/",
            "http://host.other:8080/",
            "http://host:8080@other/",
            "http://other@host:8080/",
            "http://user:password@host:8080/",
            "/no/host",
        ] {
            assert!(!leads_to(url, "http://host:8080"), "{url}");
        }
    }

    #[test]
    fn only_http_urls_are_destinations() {
        for url in ["", "host:8080", "/path", "ftp://host", "http://"] {
            assert!(Destination::parse(url).is_none(), "{url}");
        }
    }
}
