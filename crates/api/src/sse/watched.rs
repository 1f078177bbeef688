//! Gives up on clients that stop reading.
//!
//! A body is not even polled while its client takes nothing, so the limit needs a timer beside
//! it. The timer is a task that the body owns: it ends with the body.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use http_body::Frame;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::{EventBody, WriteFrames};

/// The client took no frame for too long; its connection or stream is cut.
#[derive(Debug, thiserror::Error)]
#[error("the client has stopped reading")]
pub(super) struct Stalled;

pub(super) struct WatchedBody<S, W> {
    shared: Arc<Mutex<Watched<S, W>>>,
    /// Aborted when the body is dropped.
    _watch: JoinSet<()>,
}

struct Watched<S, W> {
    /// `None` once the client was given up.
    events: Option<EventBody<S, W>>,
    /// Since when a frame lies with the client; `None` while the client waits for us.
    untaken_since: Option<Instant>,
}

impl<S, W> WatchedBody<S, W>
where
    S: Stream<Item = W::Item> + Send + Unpin + 'static,
    W: WriteFrames,
{
    pub(super) fn new(events: EventBody<S, W>, limit: Duration) -> Self {
        let shared = Arc::new(Mutex::new(Watched {
            events: Some(events),
            untaken_since: Some(Instant::now()),
        }));
        let mut watch = JoinSet::new();
        watch.spawn(give_up_after(limit, Arc::clone(&shared)));
        Self {
            shared,
            _watch: watch,
        }
    }
}

/// Drops the events, and the call with them, once a frame was not taken for `limit`.
async fn give_up_after<S, W>(limit: Duration, shared: Arc<Mutex<Watched<S, W>>>) {
    loop {
        let since = lock(&shared).untaken_since;
        sleep_until(since.unwrap_or_else(Instant::now) + limit).await;
        let given_up = {
            let mut watched = lock(&shared);
            match watched.untaken_since {
                Some(since) if since.elapsed() >= limit => watched.events.take(),
                Some(_) | None => continue,
            }
        };
        // Outside the lock: ending a call is not ours to time.
        drop(given_up);
        tracing::info!("a client has stopped reading its stream; the call ends");
        return;
    }
}

/// Nothing that is done under the lock leaves it half-done.
fn lock<S, W>(shared: &Mutex<Watched<S, W>>) -> MutexGuard<'_, Watched<S, W>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S, W> http_body::Body for WatchedBody<S, W>
where
    S: Stream<Item = W::Item> + Unpin,
    W: WriteFrames,
{
    type Data = Bytes;
    type Error = Stalled;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Stalled>>> {
        let mut watched = lock(&self.shared);
        watched.untaken_since = None;
        let Some(events) = &mut watched.events else {
            return Poll::Ready(Some(Err(Stalled)));
        };
        ready!(events.fill(context));
        let piece = events.frames.take();
        watched.untaken_since = Some(Instant::now());
        Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        let watched = lock(&self.shared);
        let events = watched.events.as_ref();
        events.is_some_and(|events| events.items.is_none() && events.frames.0.is_empty())
    }
}
