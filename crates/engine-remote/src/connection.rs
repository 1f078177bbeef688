//! Connections to one engine, each driven by the task that waits for its answer.
//!
//! A client with a task for each connection hands every piece of an answer from task to task: with
//! small pieces, as streams have them, that costs more than everything else. Here the reader polls its
//! connection itself, so what one read of the socket brings goes on in one go.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tower::Service as _;

use crate::RemoteError;
use crate::address::GuardedResolver;
use crate::forward::Pieces;

/// How long a connection waits for its next request. Shorter than servers keep theirs (uvicorn,
/// below vLLM and `SGLang`: 5 s), so that no request meets a connection that is being closed.
const IDLE_LIMIT: Duration = Duration::from_secs(4);
/// The most connections that wait.
const MOST_IDLE: usize = 256;

pub(crate) type Connector = HttpsConnector<HttpConnector<GuardedResolver>>;
/// The state of TLS is large, and most connections have none: it is not part of the connection itself.
type Socket = Box<dyn Wire>;

/// What a connection is read from and written to.
trait Wire: Read + Write + Send + Unpin {}

impl<T: Read + Write + Send + Unpin> Wire for T {}

/// The connections of one engine. Clones are the same connections.
#[derive(Clone)]
pub(crate) struct Connections(Arc<Shared>);

struct Shared {
    /// Where the engine is; the path says nothing here.
    engine: Uri,
    connector: Connector,
    /// The longest wait for a connection, its encryption included.
    connect_limit: Duration,
    /// The latest last.
    idle: Mutex<Vec<(Instant, Link)>>,
}

/// One connection. Dropping it closes it.
struct Link {
    sender: http1::SendRequest<Pieces>,
    /// `None` once it has closed. Its end is what tells those who wait for it, so it is not kept.
    connection: Option<http1::Connection<Socket, Pieces>>,
}

impl Connections {
    pub(crate) fn new(engine: Uri, connector: Connector, connect_limit: Duration) -> Self {
        Self(Arc::new(Shared {
            engine,
            connector,
            connect_limit,
            idle: Mutex::default(),
        }))
    }

    /// Sends a request, which has the path alone as its target, and returns the head of the answer. Dropping the
    /// future, or the body of the answer, closes the connection.
    ///
    /// A request that meets a connection that turns out to be closed goes to another one, but only
    /// if none of it was written: no call may run, and cost, twice.
    ///
    /// # Errors
    /// [`RemoteError::Unreachable`] and [`RemoteError::Silent`].
    pub(crate) async fn send(&self, mut request: Request<Pieces>) -> Result<Response<Answer>, RemoteError> {
        loop {
            let (mut link, is_used) = match self.take_idle() {
                Some(link) => (link, true),
                None => (self.connect().await?, false),
            };
            let mut sending = Box::pin(link.sender.try_send_request(request));
            let sent = poll_fn(|context| link.drive(context, |context| sending.as_mut().poll(context)));
            match sent.await {
                Ok(response) => {
                    let connections = self.clone();
                    return Ok(response.map(|body| Answer {
                        body,
                        link: Some(link),
                        connections,
                    }));
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) if is_used => request = unsent,
                    _ => return Err(unreachable(error.into_error())),
                },
            }
        }
    }

    async fn connect(&self) -> Result<Link, RemoteError> {
        let limit = self.0.connect_limit;
        let connecting = async {
            let socket: Socket = match self.socket().await? {
                MaybeHttpsStream::Http(socket) => Box::new(socket),
                socket @ MaybeHttpsStream::Https(_) => Box::new(socket),
            };
            http1::Builder::new().handshake(socket).await.map_err(unreachable)
        };
        let connected = timeout(limit, connecting).await;
        let (sender, connection) = connected.map_err(|_| RemoteError::Silent(limit))??;
        Ok(Link {
            sender,
            connection: Some(connection),
        })
    }

    /// Connects, without saying anything.
    pub(crate) async fn socket(&self) -> Result<MaybeHttpsStream<TokioIo<TcpStream>>, RemoteError> {
        let mut connector = self.0.connector.clone();
        let connecting = connector.call(self.0.engine.clone());
        connecting.await.map_err(RemoteError::Unreachable)
    }

    /// How many connections wait.
    #[cfg(test)]
    pub(crate) fn idle(&self) -> usize {
        self.0.idle.lock().unwrap().len()
    }

    /// Connects, and lets the connection wait.
    #[cfg(test)]
    pub(crate) async fn lie_idle(&self) {
        let link = self.connect().await.unwrap();
        self.give_back(link);
    }

    fn take_idle(&self) -> Option<Link> {
        let mut idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, mut link) = idle.pop()?;
        if since.elapsed() < IDLE_LIMIT && link.is_ready(&mut Context::from_waker(Waker::noop())) {
            return Some(link);
        }
        // Those below it have waited longer; one that was closed is often not alone.
        idle.retain_mut(|(since, link)| {
            since.elapsed() < IDLE_LIMIT && link.is_ready(&mut Context::from_waker(Waker::noop()))
        });
        idle.pop().map(|(_, link)| link)
    }

    fn give_back(&self, link: Link) {
        let now = Instant::now();
        let mut idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // The oldest come first. A busy one above them would keep them for ever.
        let expired = idle.partition_point(|(since, _)| now.duration_since(*since) >= IDLE_LIMIT);
        let expired: Vec<_> = idle.drain(..expired).collect();
        if idle.len() < MOST_IDLE {
            idle.push((now, link));
        }
        drop(idle);
        // Outside the lock: it closes them.
        drop(expired);
    }
}

impl Link {
    /// Polls something that waits for the connection, and the connection for it.
    fn drive<T>(
        &mut self,
        context: &mut Context<'_>,
        mut waiting: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let found = waiting(context);
        if found.is_ready() || self.connection.is_none() {
            return found;
        }
        self.advance(context);
        waiting(context)
    }

    /// Reads and writes what can be read and written now.
    fn advance(&mut self, context: &mut Context<'_>) {
        // Its error comes through what waits for it as well.
        if let Some(connection) = &mut self.connection
            && Pin::new(connection).poll(context).is_ready()
        {
            self.connection = None;
        }
    }

    /// Whether another request can be sent.
    fn is_ready(&mut self, context: &mut Context<'_>) -> bool {
        self.advance(context);
        self.connection.is_some() && self.sender.is_ready()
    }
}

/// The body of an answer, with the connection that it comes on.
pub(crate) struct Answer {
    body: Incoming,
    /// `None` after the end.
    link: Option<Link>,
    connections: Connections,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self {
            body,
            link,
            connections,
        } = &mut *self;
        let Some(driven) = link else {
            return Poll::Ready(None);
        };
        let polled = driven.drive(context, |context| Pin::new(&mut *body).poll_frame(context));
        match &polled {
            Poll::Ready(Some(Ok(_))) if body.is_end_stream() => {}
            Poll::Ready(None) => {}
            Poll::Ready(Some(Err(_))) => {
                *link = None;
                return polled;
            }
            _ => return polled,
        }
        // The answer is whole, so the connection can carry the next one.
        if let Some(mut link) = link.take()
            && link.is_ready(context)
        {
            connections.give_back(link);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.link.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn unreachable(error: hyper::Error) -> RemoteError {
    RemoteError::Unreachable(Box::<dyn Error + Send + Sync>::from(error))
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Connections").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_has_no_room_for_tls_in_itself() {
        let (link, tls) = (
            size_of::<Link>(),
            size_of::<MaybeHttpsStream<TokioIo<TcpStream>>>(),
        );
        assert!(link < tls, "{link} bytes, TLS {tls}");
    }
}
