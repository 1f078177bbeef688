//! Connections to one engine, each driven by the task that waits for its answer.
//!
//! A client with a task for each connection hands every piece of an answer from task to task: with
//! small pieces, as streams have them, that costs more than everything else. Here the reader reads its
//! socket itself, so what one read brings goes on in one go. And of the thousands of streams that a
//! gateway holds most wait: a connection that waits has no buffers.
//!
//! Of HTTP/1.1 this knows what such a client needs: one request at a time, with a body of known length,
//! and an answer whose end is told in one clear way.

mod framing;
mod head;
mod link;
mod socket;

use std::error::Error;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http_body::{Body, Frame, SizeHint};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::time::{Instant, timeout};
use tower::Service as _;

use self::framing::{Framing, Step};
use self::link::Link;
use self::socket::Socket;
use crate::address::GuardedResolver;
use crate::forward::Pieces;
use crate::{RemoteError, TransferError};

pub(crate) use self::head::{Content, Head};

/// How long a connection waits for its next request. Shorter than servers keep theirs (uvicorn,
/// below vLLM and `SGLang`: 5 s), so that a request seldom meets a connection that is being closed.
const IDLE_LIMIT: Duration = Duration::from_secs(4);
/// The most connections that wait.
const MOST_IDLE: usize = 256;

pub(crate) type Connector = HttpsConnector<HttpConnector<GuardedResolver>>;

/// The connections of one engine. Clones are the same connections.
#[derive(Clone)]
pub(crate) struct Connections(Arc<Shared>);

struct Shared {
    /// Where the engine is; the path says nothing here.
    engine: Uri,
    connector: Connector,
    /// The longest wait for a connection, its encryption included.
    connect_limit: Duration,
    /// The latest last, each with the moment at which it is no longer used.
    idle: Mutex<Vec<(Instant, Link)>>,
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

    /// Sends a request, head and body, and returns the head of the answer and its body. Dropping the
    /// future, or the body of the answer, closes the connection.
    ///
    /// A request that meets a connection that turns out to be closed goes to another one, but only
    /// if none of it was written: no call may run, and cost, twice.
    ///
    /// # Errors
    /// [`RemoteError::Unreachable`] and [`RemoteError::Silent`].
    pub(crate) async fn send(&self, mut request: Pieces) -> Result<(Head, Answer), RemoteError> {
        loop {
            let (mut link, is_used) = match self.take_idle() {
                Some(link) => (link, true),
                None => (self.connect().await?, false),
            };
            link.begin(request);
            match poll_fn(|context| link.poll_head(context)).await {
                Ok(head) => {
                    let answer = Answer {
                        framing: head.framing,
                        link: Some((link, head.waits.map_or(IDLE_LIMIT, |most| most.min(IDLE_LIMIT)))),
                        connections: self.clone(),
                    };
                    return Ok((head, answer));
                }
                Err(error) => match link.unsent() {
                    Some(unsent) if is_used => request = unsent,
                    _ => {
                        return Err(RemoteError::Unreachable(Box::<dyn Error + Send + Sync>::from(
                            error,
                        )));
                    }
                },
            }
        }
    }

    async fn connect(&self) -> Result<Link, RemoteError> {
        let limit = self.0.connect_limit;
        let connected = timeout(limit, self.socket()).await;
        Ok(Link::new(connected.map_err(|_| RemoteError::Silent(limit))??))
    }

    /// Connects, without saying anything.
    pub(crate) async fn socket(&self) -> Result<Socket, RemoteError> {
        let mut connector = self.0.connector.clone();
        let connecting = connector.call(self.0.engine.clone());
        connecting
            .await
            .map(Socket::from)
            .map_err(RemoteError::Unreachable)
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
        self.give_back(link, IDLE_LIMIT);
    }

    fn take_idle(&self) -> Option<Link> {
        let now = Instant::now();
        let is_good = |until: &Instant, link: &mut Link| {
            now < *until && link.is_idle(&mut Context::from_waker(Waker::noop()))
        };
        let mut idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, mut link) = idle.pop()?;
        if is_good(&until, &mut link) {
            return Some(link);
        }
        // Those below it have waited longer; one that was closed is often not alone.
        let bad: Vec<_> = idle
            .extract_if(.., |(until, link)| !is_good(until, link))
            .collect();
        let good = idle.pop();
        drop(idle);
        // Outside the lock: it closes them.
        drop(bad);
        good.map(|(_, link)| link)
    }

    fn give_back(&self, link: Link, waits: Duration) {
        let now = Instant::now();
        let mut idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // A busy one above them would keep those that have expired for ever.
        let expired: Vec<_> = idle.extract_if(.., |(until, _)| *until <= now).collect();
        if idle.len() < MOST_IDLE {
            idle.push((now + waits, link));
        }
        drop(idle);
        // Outside the lock: it closes them.
        drop(expired);
    }
}

/// The body of an answer, with the connection that it comes on.
pub(crate) struct Answer {
    framing: Framing,
    /// The connection, and how long it may wait for another request; `None` after the end.
    link: Option<(Link, Duration)>,
    connections: Connections,
}

impl Answer {
    /// The next piece of the body, `None` at its end.
    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, TransferError>> {
        loop {
            let Some((link, _)) = &mut self.link else {
                return Poll::Ready(Ok(None));
            };
            match self.framing.step(link.received())? {
                Step::Data(data) => {
                    if self.framing.is_over() {
                        self.end(context);
                    }
                    return Poll::Ready(Ok(Some(data)));
                }
                Step::End => {
                    self.end(context);
                    return Poll::Ready(Ok(None));
                }
                Step::More => {
                    if !ready!(link.poll_more(context))? {
                        return Poll::Ready(match self.framing {
                            Framing::UntilClose => {
                                self.link = None;
                                Ok(None)
                            }
                            Framing::Length(_) | Framing::Chunked(_) => Err(TransferError::Closed),
                        });
                    }
                }
            }
        }
    }

    /// The answer is whole, so the connection can carry the next one.
    fn end(&mut self, context: &mut Context<'_>) {
        if let Some((mut link, waits)) = self.link.take()
            && !waits.is_zero()
            && link.is_idle(context)
        {
            self.connections.give_back(link, waits);
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = TransferError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TransferError>>> {
        let polled = ready!(self.poll_data(context));
        if polled.is_err() {
            self.link = None;
        }
        Poll::Ready(polled.transpose().map(|data| data.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.link.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.framing {
            Framing::Length(left) => SizeHint::with_exact(left),
            Framing::Chunked(_) | Framing::UntilClose => SizeHint::default(),
        }
    }
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Connections").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
