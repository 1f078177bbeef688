//! A running call: the engine's events, guarded by its record.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;
use jiff::Timestamp;
use silica_engine::{ChatEvent, ChatEventKind, ChatStream};
use silica_types::RequestId;

use crate::GatewayError;
use crate::record::CallRecord;
use crate::replica::Seat;

/// The events of one answer. Ends after the last choice has finished, or after one error.
///
/// Dropping it before that cancels the engine and books the call as cancelled. It must therefore
/// be owned by the response body, never by a task of its own.
#[must_use = "dropping a call cancels it"]
pub struct Call {
    record: CallRecord,
    created: Timestamp,
    unfinished: u32,
    /// `None` once the call is over, which lets the engine and its seat go at once.
    running: Option<Running>,
}

struct Running {
    // Declared before the seat: the engine's work ends before its seat is free.
    stream: ChatStream,
    _seat: Seat,
}

impl Call {
    pub(crate) fn new(
        record: CallRecord,
        created: Timestamp,
        choices: u32,
        stream: ChatStream,
        seat: Seat,
    ) -> Self {
        Self {
            record,
            created,
            unfinished: choices,
            running: Some(Running { stream, _seat: seat }),
        }
    }

    /// The call's id; on the wire the `id` of the completion.
    pub fn id(&self) -> RequestId {
        self.record.id()
    }

    /// When the call began.
    pub fn created(&self) -> Timestamp {
        self.created
    }

    fn observe(&mut self, event: &ChatEvent) {
        self.record.observe(event);
        if let ChatEventKind::Finished { .. } = event.kind {
            self.unfinished = self.unfinished.saturating_sub(1);
            if self.unfinished == 0 {
                self.running = None;
                self.record.complete();
            }
        }
    }

    fn fail(&mut self, error: GatewayError) -> Poll<Option<Result<ChatEvent, GatewayError>>> {
        self.running = None;
        self.record.fail(&error);
        Poll::Ready(Some(Err(error)))
    }
}

impl Stream for Call {
    type Item = Result<ChatEvent, GatewayError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(running) = &mut self.running else {
            return Poll::Ready(None);
        };
        match running.stream.as_mut().poll_next(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(event))) => {
                self.observe(&event);
                Poll::Ready(Some(Ok(event)))
            }
            Poll::Ready(Some(Err(error))) => self.fail(error.into()),
            Poll::Ready(None) => self.fail(GatewayError::Cut),
        }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Call")
            .field("id", &self.id())
            .field("unfinished", &self.unfinished)
            .finish_non_exhaustive()
    }
}
