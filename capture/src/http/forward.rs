//! One request, sent on to the server, and its answer back, as they are.

use super::guard;
use super::seen::{AnswerBody as Kind, Ended, Handover, Piece};
use super::serve::serve;
use super::tee::{AnswerBody, Exchange, RequestBody};
use bytes::Bytes;
use http::header::{self, HeaderName};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::{Client, connect::Connect};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// Longest session id that is kept. The specification has no bound; servers give UUIDs.
const MOST_SESSION_BYTES: usize = 512;

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

/// Headers of one connection, which are not for the next (RFC 9110, 7.6.1).
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// A server that speaks Streamable HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    scheme: Scheme,
    authority: Authority,
    path: PathAndQuery,
}

/// Why a URL names no server.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "the upstream must be an http or https URL without user and fragment, such as http://127.0.0.1:3001/mcp"
)]
pub struct UpstreamError;

impl Upstream {
    /// The server at a URL.
    ///
    /// # Errors
    ///
    /// It is not an absolute http or https URL, or has a user.
    pub fn parse(url: &str) -> Result<Self, UpstreamError> {
        let uri: Uri = url.parse().map_err(|_| UpstreamError)?;
        let parts = uri.into_parts();
        match (parts.scheme, parts.authority, parts.path_and_query) {
            (Some(scheme), Some(authority), path)
                if (scheme == Scheme::HTTP || scheme == Scheme::HTTPS)
                    && !authority.as_str().contains('@')
                    && !url.contains('#') =>
            {
                let path = path.unwrap_or(PathAndQuery::from_static("/"));
                Ok(Self {
                    scheme,
                    authority,
                    path,
                })
            }
            _ => Err(UpstreamError),
        }
    }

    /// Whether its connections are TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// Host, and port if one was given.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.authority.as_str()
    }

    /// A path is the same here and there, but that `/` is the path of the upstream's URL.
    fn uri(&self, asked: &Uri) -> Result<Uri, http::Error> {
        let path = match asked.path_and_query() {
            Some(path) if path != "/" => path.clone(),
            _ => self.path.clone(),
        };
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(path)
            .build()
    }
}

/// Sends requests on.
#[derive(Debug)]
pub struct Forwarder<C> {
    /// The connections to the server.
    pub client: Client<C, RequestBody<Incoming>>,
    /// The server.
    pub upstream: Upstream,
    /// Who gets to see what passes; none when nothing is reported.
    pub handover: Option<Handover>,
    /// Whether only programs of this machine may ask.
    pub loopback_only: bool,
}

/// The body of an answer to the client.
pub type Answer = Either<AnswerBody<Incoming>, Full<Bytes>>;

/// How long exchanges may go on when the proxy is to end.
const GRACE: Duration = Duration::from_millis(500);

impl<C: Connect + Clone + Send + Sync + 'static> Forwarder<C> {
    /// Serves until `end`, then lets what is under way go on for half a second.
    pub async fn serve(self, listener: TcpListener, end: impl Future<Output = ()>) {
        let forwarder = Arc::new(self);
        let answer = move |request| {
            let forwarder = forwarder.clone();
            async move { forwarder.forward(request).await }
        };
        serve(listener, answer, end, GRACE).await;
    }

    /// Sends a request on, and returns the answer as soon as its head is there. Dropping either
    /// ends the exchange with the server as well.
    ///
    /// # Errors
    ///
    /// Never: what goes wrong is an answer.
    pub async fn forward(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Answer>, Infallible> {
        if self.loopback_only
            && let Err(refusal) = guard::check(request.uri(), request.headers())
        {
            return Ok(say(StatusCode::FORBIDDEN, refusal.message()));
        }
        let watch = self.handover.as_ref().map(|handover| {
            let headers = request.headers();
            let json = request.method() == Method::POST && is(headers, "application/json");
            let delete = request.method() == Method::DELETE;
            handover.begin(json, delete, session(headers))
        });
        let mut exchange = Exchange::new(watch);
        let (mut head, body) = request.into_parts();
        let Ok(uri) = self.upstream.uri(&head.uri) else {
            exchange.end(Ended::Lost);
            return Ok(say(
                StatusCode::BAD_REQUEST,
                "the path is not one of an URL\n",
            ));
        };
        head.uri = uri;
        head.version = Version::HTTP_11;
        without_hop_by_hop(&mut head.headers);
        // That of the server, by its URL.
        head.headers.remove(header::HOST);
        if self.handover.is_some() {
            // What is compressed cannot be seen.
            head.headers.remove(header::ACCEPT_ENCODING);
        }
        let body = RequestBody::new(body, exchange.watch());
        let answer = match self.client.request(Request::from_parts(head, body)).await {
            Ok(answer) => answer,
            Err(error) => {
                exchange.end(Ended::Lost);
                let failed = if error.is_connect() {
                    "cannot be reached"
                } else {
                    "broke off"
                };
                let text = format!("the server at {} {failed}\n", self.upstream.authority());
                return Ok(say(StatusCode::BAD_GATEWAY, text));
            }
        };
        let (mut head, body) = answer.into_parts();
        let kind = kind(&head.headers);
        exchange.mark(Piece::Answer {
            status: head.status.as_u16(),
            body: kind,
            session: session(&head.headers),
        });
        head.version = Version::HTTP_11;
        without_hop_by_hop(&mut head.headers);
        let body = AnswerBody::new(body, exchange, kind != Kind::Other);
        Ok(Response::from_parts(head, Either::Left(body)))
    }
}

fn say(status: StatusCode, text: impl Into<Bytes>) -> Response<Answer> {
    let mut response = Response::new(Either::Right(Full::new(text.into())));
    *response.status_mut() = status;
    let plain = header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

fn session(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(SESSION)?.to_str().ok()?;
    // Longer ones would cost more than they tell.
    (id.len() <= MOST_SESSION_BYTES).then(|| id.to_owned())
}

fn is(headers: &HeaderMap, media_type: &str) -> bool {
    let given = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = given.and_then(|text| text.split(';').next());
    essence.is_some_and(|text| text.trim().eq_ignore_ascii_case(media_type))
}

fn kind(headers: &HeaderMap) -> Kind {
    let encoding = headers.get(header::CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| encoding != "identity") {
        Kind::Other
    } else if is(headers, "application/json") {
        Kind::Json
    } else if is(headers, "text/event-stream") {
        Kind::Events
    } else {
        Kind::Other
    }
}

fn without_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_the_same_at_the_server_and_the_root_is_the_one_of_its_url() {
        let upstream = Upstream::parse("http://127.0.0.1:3001/mcp?v=1").unwrap();
        for (asked, sent) in [
            ("/", "http://127.0.0.1:3001/mcp?v=1"),
            ("/mcp", "http://127.0.0.1:3001/mcp"),
            ("/other?x=%20y", "http://127.0.0.1:3001/other?x=%20y"),
            ("http://localhost:9/mcp?a", "http://127.0.0.1:3001/mcp?a"),
        ] {
            assert_eq!(
                upstream.uri(&asked.parse().unwrap()).unwrap().to_string(),
                sent
            );
        }
        let root = Upstream::parse("https://mcp.example").unwrap();
        assert!(root.is_tls());
        assert_eq!(
            root.uri(&Uri::from_static("/")).unwrap().to_string(),
            "https://mcp.example/"
        );
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for url in [
            "",
            "127.0.0.1:3001",
            "/mcp",
            "ftp://a/",
            "http://user:secret@a/",
            "http://a/#b",
            "http://",
        ] {
            assert_eq!(Upstream::parse(url), Err(UpstreamError), "{url}");
        }
    }

    #[test]
    fn headers_of_one_connection_do_not_pass() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "X-Mine, close"),
            ("x-mine", "1"),
            ("keep-alive", "5"),
            ("te", "trailers"),
            ("mcp-session-id", "s"),
        ] {
            headers.insert(HeaderName::from_static(name), value.parse().unwrap());
        }
        without_hop_by_hop(&mut headers);
        assert_eq!(headers.keys().collect::<Vec<_>>(), [&SESSION]);
    }
}
