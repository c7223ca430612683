//! The body of an answer, which is read to its end even when nobody wants it.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use wasmtime_wasi_http::Error;

/// How large a body may be.
const MAX_BYTES: u64 = 64 * 1024;

/// How long the rest of an unwanted body is waited for.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// A body of at most [`MAX_BYTES`].
///
/// The component drops the body of a success unread. A connection whose response is not read to
/// its end cannot be used again, so the rest is then read in the background, within bounds.
pub(super) struct Answer {
    body: Option<Incoming>,
    left: u64,
}

impl Answer {
    pub(super) fn new(body: Incoming) -> Self {
        Self {
            body: Some(body),
            left: MAX_BYTES,
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(body).poll_frame(context));
        let frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                self.body = None;
                return Poll::Ready(Some(Err(Error::Hyper(error))));
            }
            None => {
                self.body = None;
                return Poll::Ready(None);
            }
        };
        let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Poll::Ready(Some(Ok(frame)))
            }
            None => {
                self.body = None;
                Poll::Ready(Some(Err(Error::HttpResponseBodySize(Some(MAX_BYTES)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let Some(mut body) = self.body.take().filter(|body| !body.is_end_stream()) else {
            return;
        };
        let mut left = self.left;
        // Outside a runtime, when all is ending, the connection is not needed again.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ = tokio::time::timeout(DRAIN_TIMEOUT, async {
                    while let Some(Ok(frame)) = body.frame().await {
                        let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                        match left.checked_sub(bytes) {
                            Some(rest) => left = rest,
                            None => return,
                        }
                    }
                })
                .await;
            });
        }
    }
}
