//! A body that passes through, and is seen on its way.

use super::seen::{Ended, Piece, Watch};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The body of a request on its way to the server.
pub struct RequestBody<B> {
    inner: B,
    watch: Option<Watch>,
}

impl<B: Body> RequestBody<B> {
    pub(super) fn new(inner: B, watch: Option<Watch>) -> Self {
        let mut body = Self { inner, watch };
        body.end_if_over();
        body
    }

    /// Whoever reads a body need not ask again once it says that it is over.
    fn end_if_over(&mut self) {
        if self.inner.is_end_stream()
            && let Some(watch) = self.watch.take()
        {
            watch.mark(Piece::RequestEnd);
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let (Some(bytes), Some(watch)) = (frame.data_ref(), &mut self.watch) {
                    watch.bytes(Piece::RequestBytes(bytes.clone()), bytes.len());
                }
                self.end_if_over();
            }
            Some(Err(_)) => self.watch = None,
            None => {
                if let Some(watch) = self.watch.take() {
                    watch.mark(Piece::RequestEnd);
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The body of an answer on its way to the client. The exchange ends with it.
pub struct AnswerBody<B: Body> {
    inner: B,
    exchange: Exchange,
    observe: bool,
}

impl<B: Body> AnswerBody<B> {
    pub(super) fn new(inner: B, exchange: Exchange, observe: bool) -> Self {
        Self {
            inner,
            exchange,
            observe,
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for AnswerBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let (Some(bytes), true) = (frame.data_ref(), self.observe)
                    && let Some(watch) = &mut self.exchange.0
                {
                    watch.bytes(Piece::AnswerBytes(bytes.clone()), bytes.len());
                }
            }
            Some(Err(_)) => self.exchange.end(Ended::Lost),
            None => self.exchange.end(Ended::Complete),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B: Body> Drop for AnswerBody<B> {
    fn drop(&mut self) {
        if self.inner.is_end_stream() {
            self.exchange.end(Ended::Complete);
        }
    }
}

/// An exchange, watched or not, which ends once: dropped before that, the client has gone.
pub(super) struct Exchange(Option<Watch>);

impl Exchange {
    pub fn new(watch: Option<Watch>) -> Self {
        Self(watch)
    }

    pub fn watch(&self) -> Option<Watch> {
        self.0.clone()
    }

    pub fn mark(&self, piece: Piece) {
        if let Some(watch) = &self.0 {
            watch.mark(piece);
        }
    }

    pub fn end(&mut self, how: Ended) {
        if let Some(watch) = self.0.take() {
            watch.mark(Piece::End(how));
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.end(Ended::ClientGone);
    }
}
