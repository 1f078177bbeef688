//! A response body that keeps something alive while it is sent.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};

/// A body with a guard that is dropped when the body is: sent to its end, or left by the client.
pub struct GuardedBody<G, B = Body> {
    body: B,
    _guard: G,
}

impl<G, B> GuardedBody<G, B> {
    /// Puts the guard around the body.
    pub const fn new(body: B, guard: G) -> Self {
        Self { body, _guard: guard }
    }
}

impl<G: Unpin, B: http_body::Body<Data = Bytes> + Unpin> http_body::Body for GuardedBody<G, B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
