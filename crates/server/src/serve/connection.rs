//! One connection: HTTP/1.1 or HTTP/2 on the same port, with limits on silence and a graceful end.

use std::convert::Infallible;
use std::fmt::Display;
use std::pin::pin;
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
use tokio::sync::watch;
use tokio::time::sleep;
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
    let activity = Activity::default();
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
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(idle);
        let connection = builder.serve_connection(stream, service);
        drive(connection, &activity, idle, &shutdown).await;
    } else {
        let connection = builder(idle, tasks);
        let connection = connection.serve_connection(stream, service);
        // Apart, so that connections of HTTP/1 need no room for what HTTP/2 keeps.
        Box::pin(drive(connection, &activity, idle, &shutdown)).await;
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

/// Serves a connection to its end.
async fn drive<C>(connection: C, activity: &Activity, idle: Duration, shutdown: &Shutdown)
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
                if ending {
                    return;
                }
                // HTTP/2 says goodbye first; whoever does not answer that is cut one period later.
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
#[derive(Debug, Default)]
struct Activity(watch::Sender<usize>);

/// A request in progress; dropping it ends it.
#[derive(Debug)]
struct Running(watch::Sender<usize>);

impl Activity {
    fn begin(&self) -> Running {
        self.0.send_modify(|count| *count += 1);
        Running(self.0.clone())
    }

    /// Waits until no request has been in progress for `limit`.
    async fn idle_for(&self, limit: Duration) {
        let mut count = self.0.subscribe();
        loop {
            // The sender lives in `self`, so neither wait can fail.
            let _ = count.wait_for(|running| *running == 0).await;
            tokio::select! {
                () = sleep(limit) => return,
                _ = count.changed() => {}
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_counts_only_while_nothing_runs() {
        let activity = Activity::default();
        let running = activity.begin();
        let limit = Duration::from_secs(10);
        let mut silence = pin!(activity.idle_for(limit));
        tokio::select! {
            () = silence.as_mut() => panic!("a request is in progress"),
            () = sleep(limit * 5) => {}
        }
        drop(running);
        let before = tokio::time::Instant::now();
        silence.await;
        assert_eq!(before.elapsed(), limit);
    }
}
