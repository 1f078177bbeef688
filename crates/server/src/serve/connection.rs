//! One connection: HTTP/1.1 or HTTP/2 on the same port, with limits on silence and a graceful end.

use std::convert::Infallible;
use std::fmt::Display;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulConnection;
use silica_api::{GuardedBody, PeerAddress};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::door::Door;
use super::listener::{Limits, Shutdown};
use super::patient::Patient;

/// Requests that one HTTP/2 connection may have in progress.
const HTTP2_STREAMS: u32 = 256;
/// A silent HTTP/2 peer is asked for a sign of life after this long,
const HTTP2_PING_AFTER: Duration = Duration::from_secs(30);
/// and given up after this long without one.
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Serves one connection of `peer` until the client leaves, it is idle for too long, or `shutdown`.
/// `tasks` runs the streams of HTTP/2 connections.
pub(super) async fn serve(
    stream: TcpStream,
    peer: PeerAddress,
    door: Door,
    limits: Limits,
    shutdown: Shutdown,
    tasks: TaskTracker,
) {
    let idle = limits.idle;
    let speaks_http1 = tokio::select! {
        speaks = begins_as_http1(&stream) => speaks,
        () = shutdown.cut.cancelled() => return,
        () = shutdown.drain.cancelled() => return,
        () = sleep(idle) => return,
    };
    let stream = TokioIo::new(Patient::new(stream, limits.write));
    let activity = Activity::new();
    let service = service_fn(|mut request: Request<Incoming>| {
        // Keys may be bound to addresses.
        request.extensions_mut().insert(peer);
        let running = activity.begin();
        let router = door.router();
        async move {
            let response = router.oneshot(request.map(Body::new)).await?;
            // Counted until the answer has been sent or dropped.
            Ok::<_, Infallible>(response.map(|body| GuardedBody::new(body, running)))
        }
    });
    if speaks_http1 {
        // Without a limit on heads of its own, which would cost a timer for each request: who is slow to
        // send a head has no request in progress.
        let connection = http1::Builder::new().serve_connection(stream, service);
        drive(connection, &activity, Farewell::None, idle, &shutdown).await;
    } else {
        let connection = builder(idle, tasks);
        let connection = connection.serve_connection(stream, service);
        // Apart, so that connections of HTTP/1 need no room for what HTTP/2 keeps.
        Box::pin(drive(connection, &activity, Farewell::Said, idle, &shutdown)).await;
    }
}

/// Whether the client begins with a request of HTTP/1, as nearly all do: then the connection need not
/// be read into a buffer of its own to see which version it speaks, which costs 8 KiB for as long as
/// it is open. `false` says nothing.
async fn begins_as_http1(stream: &TcpStream) -> bool {
    let mut begin = [0; 2];
    // The preface of HTTP/2 is `PRI * HTTP/2.0` (RFC 9113, section 3.4).
    matches!(stream.peek(&mut begin).await, Ok(2)) && begin != *b"PR"
}

/// Whether a server says that it closes an idle connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Farewell {
    /// As in HTTP/1.1.
    None,
    /// As in HTTP/2.
    Said,
}

/// Serves a connection to its end.
async fn drive<C>(connection: C, activity: &Activity, farewell: Farewell, idle: Duration, shutdown: &Shutdown)
where
    C: GracefulConnection<Error: Display>,
{
    let mut connection = pin!(connection);
    let mut silence = pin!(activity.idle_for(idle));
    let mut ending = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    // A client that leaves or talks nonsense is its own business, so no warning.
                    tracing::debug!(%error, "connection ended with an error");
                }
                return;
            }
            () = shutdown.cut.cancelled() => return,
            () = shutdown.drain.cancelled(), if !ending => {
                ending = true;
                connection.as_mut().graceful_shutdown();
            }
            () = silence.as_mut() => {
                if ending || farewell == Farewell::None {
                    return;
                }
                // Whoever does not answer the farewell is cut one period later.
                ending = true;
                connection.as_mut().graceful_shutdown();
                silence.set(activity.idle_for(idle));
            }
        }
    }
}

fn builder(idle: Duration, tasks: TaskTracker) -> auto::Builder<TrackedExecutor> {
    let mut builder = auto::Builder::new(TrackedExecutor(tasks));
    builder.http1().timer(TokioTimer::new()).header_read_timeout(idle);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS)
        .keep_alive_interval(HTTP2_PING_AFTER)
        .keep_alive_timeout(HTTP2_PING_TIMEOUT);
    builder
}

/// Runs the streams of HTTP/2 connections where shutdown can wait for them.
#[derive(Clone)]
struct TrackedExecutor(TaskTracker);

impl<F> hyper::rt::Executor<F> for TrackedExecutor
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

/// Counts the requests in progress on a connection, bodies of responses included.
#[derive(Debug)]
struct Activity(Arc<Progress>);

#[derive(Debug)]
struct Progress {
    running: AtomicUsize,
    /// When the connection began.
    begun: Instant,
    /// When the last request ended, in milliseconds after that.
    ended: AtomicU64,
}

/// A request in progress; dropping it ends it.
#[derive(Debug)]
struct Running(Arc<Progress>);

impl Activity {
    fn new() -> Self {
        Self(Arc::new(Progress {
            running: AtomicUsize::new(0),
            begun: Instant::now(),
            ended: AtomicU64::new(0),
        }))
    }

    fn begin(&self) -> Running {
        self.0.running.fetch_add(1, Ordering::Relaxed);
        Running(Arc::clone(&self.0))
    }

    /// Waits until no request has been in progress for `limit`. Looks now and then rather than at each
    /// request, of which there are many.
    async fn idle_for(&self, limit: Duration) {
        let asked = Instant::now();
        let mut wait = limit;
        while !wait.is_zero() {
            sleep(wait).await;
            wait = self
                .0
                .idle_since()
                .map_or(limit, |since| limit.saturating_sub(since.max(asked).elapsed()));
        }
    }
}

impl Progress {
    /// Since when no request has been in progress; `None` when one is.
    fn idle_since(&self) -> Option<Instant> {
        let is_idle = self.running.load(Ordering::Acquire) == 0;
        is_idle.then(|| self.begun + Duration::from_millis(self.ended.load(Ordering::Relaxed)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let ended = u64::try_from(self.0.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.ended.fetch_max(ended, Ordering::Relaxed);
        self.0.running.fetch_sub(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_counts_only_while_nothing_runs() {
        let activity = Activity::new();
        let running = activity.begin();
        let limit = Duration::from_secs(10);
        let mut silence = pin!(activity.idle_for(limit));
        tokio::select! {
            () = silence.as_mut() => panic!("a request is in progress"),
            () = sleep(limit * 5) => {}
        }
        drop(running);
        let before = Instant::now();
        silence.await;
        assert_eq!(before.elapsed(), limit);
    }
}
