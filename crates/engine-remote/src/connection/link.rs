//! One connection, driven by whoever waits for it.

use std::future::{Future as _, poll_fn};
use std::io::{self, IoSlice};
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::task::coop::unconstrained;

use super::head::{self, Head};
use super::socket::Socket;
use crate::TransferError;
use crate::forward::Pieces;

/// Room for one read, in bytes: at first, and where a read fills it.
const ROOM: usize = 8 * 1024;
const MOST_ROOM: usize = 64 * 1024;
/// Pieces of a request that are written together.
const PIECES: usize = 8;

/// One connection. Dropping it closes it. A connection that waits has no buffers: streams are many, and
/// most of them wait.
pub(super) struct Link {
    socket: Socket,
    /// What was read and not taken yet.
    received: BytesMut,
    /// How much of that was looked at in vain for the end of a head.
    seen: usize,
    room: usize,
    /// What is left of the request.
    outgoing: Pieces,
    has_written: bool,
    is_flushed: bool,
    /// What ended the writing. The answer may be there nevertheless: a refusal of a body that is too large.
    fault: Option<io::Error>,
}

impl Link {
    pub(super) fn new(socket: Socket) -> Self {
        Self {
            socket,
            received: BytesMut::new(),
            seen: 0,
            room: ROOM,
            outgoing: Pieces::new(),
            has_written: false,
            is_flushed: true,
            fault: None,
        }
    }

    /// Begins to send a request. The connection must be idle.
    pub(super) fn begin(&mut self, request: Pieces) {
        self.outgoing = request;
        self.has_written = false;
        self.seen = 0;
    }

    /// The request, if none of it was written.
    pub(super) fn unsent(self) -> Option<Pieces> {
        (!self.has_written).then_some(self.outgoing)
    }

    /// Sends what is left of the request and waits for the head of its answer.
    pub(super) fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<Head, TransferError>> {
        self.write(context);
        loop {
            // What ends no line completes no head.
            let news = self.received.get(self.seen..).unwrap_or_default();
            if memchr::memchr(b'\n', news).is_some()
                && let Some(head) = head::take(&mut self.received)?
            {
                // Who answers what was not asked yet says farewell to a connection that waited.
                return Poll::Ready(if self.has_written {
                    Ok(head)
                } else {
                    Err(TransferError::Closed)
                });
            }
            self.seen = self.received.len();
            if self.seen > head::LONGEST {
                return Poll::Ready(Err(TransferError::Head("it is too long")));
            }
            if ready!(self.poll_fill(context))? == 0 {
                let closed = self.fault.take().map_or(TransferError::Closed, TransferError::Io);
                return Poll::Ready(Err(closed));
            }
        }
    }

    /// Waits for more of the answer, and adds it to what was received. `false` at the end.
    pub(super) fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<Result<bool, TransferError>> {
        self.write(context);
        let read = ready!(self.poll_fill(context))?;
        Poll::Ready(Ok(read > 0))
    }

    /// What was received and not taken yet.
    pub(super) const fn received(&mut self) -> &mut BytesMut {
        &mut self.received
    }

    /// Whether another request can be sent.
    pub(super) fn is_idle(&mut self, context: &mut Context<'_>) -> bool {
        let is_over = self.outgoing.is_empty() && self.is_flushed && self.fault.is_none();
        if !is_over || !self.received.is_empty() {
            return false;
        }
        // A task that has read much would be told that nothing is there, whatever is.
        let looks = pin!(unconstrained(poll_fn(|context| self.poll_fill(context))));
        looks.poll(context).is_pending()
    }

    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let polled = self.socket.poll_read(context, &mut self.received, self.room);
        match &polled {
            Poll::Pending if self.received.is_empty() => self.received = BytesMut::new(),
            Poll::Ready(Ok(read)) if *read >= self.room => self.room = (2 * self.room).min(MOST_ROOM),
            Poll::Pending | Poll::Ready(_) => {}
        }
        polled
    }

    /// Writes what can be written now.
    fn write(&mut self, context: &mut Context<'_>) {
        if self.fault.is_some() {
            return;
        }
        while !self.outgoing.is_empty() {
            let mut slices = [IoSlice::new(&[]); PIECES];
            let count = self.outgoing.slices(&mut slices);
            let slices = slices.get(..count).unwrap_or_default();
            match self.socket.poll_write(context, slices) {
                Poll::Pending => return,
                Poll::Ready(Ok(0)) => return self.fault = Some(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Err(error)) => return self.fault = Some(error),
                Poll::Ready(Ok(written)) => {
                    self.outgoing.advance(written);
                    self.has_written = true;
                    self.is_flushed = false;
                }
            }
        }
        if !self.is_flushed {
            match self.socket.poll_flush(context) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => self.is_flushed = true,
                Poll::Ready(Err(error)) => self.fault = Some(error),
            }
        }
    }
}
