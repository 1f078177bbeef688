//! Reads what a handler left of a request's body before the answer goes out.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::header;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How long the rest of a body is read. Who is still sending after that may see a reset.
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// A layer (for [`axum::middleware::from_fn`]) that reads what the handler left of the request's
/// body, for two seconds at most, and drops it.
///
/// A refusal before the body is read would else close the connection (HTTP/1.1) or reset the
/// stream (HTTP/2) while the client is still sending, and the client would see that instead of
/// the answer.
pub async fn drain_unread(request: Request, next: Next) -> Response {
    let (request, unread) = Unread::watch(request);
    let response = next.run(request).await;
    unread.drain().await;
    response
}

/// What becomes of the body of a request that is served.
pub(crate) struct Unread {
    expects_continue: bool,
    /// `None` for a request without a body.
    rest: Option<oneshot::Receiver<Rest>>,
}

impl Unread {
    /// Watches the body of a request.
    pub(crate) fn watch(request: Request) -> (Request, Self) {
        let expects_continue = request.headers().contains_key(header::EXPECT);
        if request.body().is_end_stream() {
            let rest = None;
            return (
                request,
                Self {
                    expects_continue,
                    rest,
                },
            );
        }
        let (rest_back, rest) = oneshot::channel();
        let request = request.map(|inner| {
            Body::new(ReturnedBody {
                inner,
                begun: false,
                rest_back: Some(rest_back),
            })
        });
        let rest = Some(rest);
        (
            request,
            Self {
                expects_continue,
                rest,
            },
        )
    }

    /// Reads what is left of the body now that the request is served.
    pub(crate) async fn drain(self) {
        // Nothing comes back when the body was read to its end, or is still in somebody's hands.
        let Some(Rest { mut body, begun }) = self.rest.and_then(|mut rest| rest.try_recv().ok()) else {
            return;
        };
        // Who expects to be told to go on sends nothing until then, so there is nothing to read.
        if begun || !self.expects_continue {
            let read = async { while let Some(Ok(_dropped)) = body.frame().await {} };
            // Whether it ended in time does not matter: the answer is the same.
            let _ = timeout(DRAIN_TIME, read).await;
        }
    }
}

/// What was left of a body, and whether any of it was asked for.
struct Rest {
    body: Body,
    begun: bool,
}

/// A request's body that is handed back when it is dropped before its end.
struct ReturnedBody {
    inner: Body,
    begun: bool,
    /// `None` once the body has ended.
    rest_back: Option<oneshot::Sender<Rest>>,
}

impl http_body::Body for ReturnedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.begun = true;
        let frame = Pin::new(&mut self.inner).poll_frame(context);
        if let Poll::Ready(None | Some(Err(_))) = frame {
            self.rest_back = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for ReturnedBody {
    fn drop(&mut self) {
        if self.inner.is_end_stream() {
            return;
        }
        if let Some(rest_back) = self.rest_back.take() {
            let body = std::mem::take(&mut self.inner);
            // Nobody waits for it any more when the client has left.
            let _ = rest_back.send(Rest {
                body,
                begun: self.begun,
            });
        }
    }
}
