//! What goes back to a client: ordinary answers, and what takes their place.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use thiserror::Error;

const PADDING: Bytes = Bytes::from_static(&[b' '; 64 * 1024]);
const HUGE_PADDINGS: usize = 1024;

/// The connection is to end, and not with what HTTP would have next.
#[derive(Debug, Error)]
pub(super) enum Takeover {
    #[error("closed without an answer")]
    Cut,
    #[error("reset")]
    Reset,
    #[error("answered with garbage")]
    Garbage,
    #[error("answered byte by byte")]
    Drip(Bytes),
}

/// A body: one part, then as many times the padding.
pub(super) struct Reply {
    first: Option<Bytes>,
    paddings: usize,
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let part = match self.first.take() {
            Some(first) => Some(first),
            None if self.paddings > 0 => {
                self.paddings -= 1;
                Some(PADDING)
            }
            None => None,
        };
        Poll::Ready(part.map(|part| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.paddings == 0
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().map_or(0, Bytes::len);
        SizeHint::with_exact((first + self.paddings * PADDING.len()) as u64)
    }
}

/// What is answered, when nothing is wrong with how.
pub(super) struct Answer {
    pub status: StatusCode,
    body: Bytes,
    extra: Option<(HeaderName, HeaderValue)>,
}

impl Answer {
    pub(super) fn new(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            body: body.into(),
            extra: None,
        }
    }

    pub(super) fn with(mut self, name: HeaderName, value: &str) -> Self {
        self.extra = HeaderValue::from_str(value).ok().map(|value| (name, value));
        self
    }

    /// With `huge`, 64 MiB of blanks follow the body.
    pub(super) fn into_response(self, huge: bool) -> Response<Reply> {
        // hyper sends neither body nor length with these, and warns about both.
        let has_body = !matches!(self.status.as_u16(), 204 | 304);
        let mut response = Response::new(Reply {
            first: Some(self.body).filter(|_| has_body),
            paddings: if huge { HUGE_PADDINGS } else { 0 },
        });
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if has_body {
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            );
        }
        headers.extend(self.extra);
        response
    }

    /// The whole answer as it stands on the wire.
    pub(super) fn into_bytes(self) -> Bytes {
        let reason = self.status.canonical_reason().unwrap_or_default();
        let length = self.body.len();
        let mut wire = format!(
            "HTTP/1.1 {} {reason}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n",
            self.status.as_str(),
        )
        .into_bytes();
        wire.extend_from_slice(&self.body);
        wire.into()
    }
}

/// The body that the server's framework gives an error.
pub(super) fn plain(status: StatusCode) -> Answer {
    let detail = match status {
        StatusCode::UNAUTHORIZED => "Invalid API key",
        StatusCode::FORBIDDEN => "Not authenticated",
        StatusCode::INTERNAL_SERVER_ERROR => "Internal server error",
        _ => status.canonical_reason().unwrap_or("Unknown"),
    };
    Answer::new(status, format!(r#"{{"detail":"{detail}"}}"#))
}
