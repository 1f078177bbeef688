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
    let expects_continue = request.headers().contains_key(header::EXPECT);
    let (rest_back, mut rest) = oneshot::channel();
    let request = request.map(|inner| {
        Body::new(ReturnedBody {
            inner,
            begun: false,
            rest_back: Some(rest_back),
        })
    });
    let response = next.run(request).await;
    // Nothing comes back when the body was read to its end, or is still in somebody's hands.
    if let Ok(Rest { mut body, begun }) = rest.try_recv() {
        // Such a client sends nothing until it is told to go on, so there is nothing to read.
        if begun || !expects_continue {
            let read = async { while let Some(Ok(_dropped)) = body.frame().await {} };
            // Whether it ended in time does not matter: the answer is the same.
            let _ = timeout(DRAIN_TIME, read).await;
        }
    }
    response
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
