//! A running call: the engine's events, guarded by its record.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::Stream;
use jiff::Timestamp;
use silica_engine::{ChatEvent, ChatEventKind, ChatStream, EngineError};
use silica_platform::{Commit, Standing};
use silica_types::RequestId;

use crate::GatewayError;
use crate::moderation::Checked;
use crate::record::CallRecord;
use crate::replica::Seat;

/// The events of one answer. Ends after the last choice has finished, or after one error.
///
/// Dropping it before that cancels the engine and books the call as cancelled. It must therefore
/// be owned by the response body, never by a task of its own.
#[must_use = "dropping a call cancels it"]
pub struct Call {
    record: CallRecord,
    /// Which choices have finished.
    finished: Vec<bool>,
    stage: Stage,
}

/// Where a call stands.
enum Stage {
    /// The engine works.
    Running(Running),
    /// The engine is done and its seat is free; the last event, or the error in its place, waits
    /// until the settlement lasts.
    Settling {
        commit: Commit,
        last: Result<ChatEvent, GatewayError>,
    },
    /// The last event was given.
    Over,
}

struct Running {
    /// The event by which the engine began to answer, until it is given.
    first: Option<ChatEvent>,
    // Declared before the seat: the engine's work ends before its seat is free.
    stream: ChatStream,
    seat: Seat,
    /// What holds the answer back until it is judged, if it is.
    checked: Option<Box<Checked>>,
}

impl Running {
    /// What the engine says next.
    fn poll_engine(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<ChatEvent, EngineError>>> {
        let event = match self.first.take() {
            Some(first) => Some(Ok(first)),
            None => ready!(self.stream.as_mut().poll_next(context)),
        };
        if let Some(Err(error)) = &event {
            self.seat.failed(error);
        }
        Poll::Ready(event)
    }

    /// What of it may go on next.
    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
        record: &mut CallRecord,
    ) -> Poll<Option<Result<ChatEvent, GatewayError>>> {
        let Some(mut checked) = self.checked.take() else {
            let event = ready!(self.poll_engine(context));
            return Poll::Ready(event.map(|event| event.map_err(GatewayError::from)));
        };
        let next = checked.poll_next(context, |context| {
            let event = ready!(self.poll_engine(context));
            if let Some(Ok(event)) = &event {
                record.produced(event.usage);
            }
            Poll::Ready(event)
        });
        self.checked = Some(checked);
        next
    }
}

impl Call {
    pub(crate) fn new(
        record: CallRecord,
        choices: u32,
        first: ChatEvent,
        stream: ChatStream,
        seat: Seat,
        checked: Option<Box<Checked>>,
    ) -> Self {
        Self {
            record,
            finished: vec![false; usize::try_from(choices).unwrap_or(usize::MAX)],
            stage: Stage::Running(Running {
                first: Some(first),
                stream,
                seat,
                checked,
            }),
        }
    }

    /// The call's id; on the wire the `id` of the completion.
    pub fn id(&self) -> RequestId {
        self.record.id()
    }

    /// When the call began.
    pub fn created(&self) -> Timestamp {
        self.record.started_at()
    }

    /// How the account stood with its limits on the model when the call was admitted.
    pub fn standings(&self) -> &[Standing] {
        self.record.standings().map_or(&[], Vec::as_slice)
    }

    /// Takes notice of an event; the last one is kept back until the call's settlement lasts.
    fn observe(&mut self, event: ChatEvent) -> Option<ChatEvent> {
        self.record.observe(&event);
        let is_last = match &event.kind {
            ChatEventKind::Started | ChatEventKind::Delta { .. } => false,
            ChatEventKind::Finished { .. } => self.finished.iter().all(|finished| *finished),
            ChatEventKind::Forwarded { end, .. } => end.is_some(),
        };
        if is_last {
            // Lets the engine and its seat go at once.
            self.stage = Stage::Over;
            if let Some(commit) = self.record.complete() {
                self.stage = Stage::Settling {
                    commit,
                    last: Ok(event),
                };
                return None;
            }
        }
        Some(event)
    }

    /// Takes what the engine said; `None` when it waits for the settlement.
    fn take(
        &mut self,
        event: Option<Result<ChatEvent, GatewayError>>,
    ) -> Option<Result<ChatEvent, GatewayError>> {
        match event {
            Some(Ok(event)) if self.is_expected(&event) => self.observe(event).map(Ok),
            Some(Err(error)) => self.fail(error).map(Err),
            Some(Ok(_)) | None => {
                if let Stage::Running(running) = &self.stage {
                    running.seat.broke();
                }
                self.fail(GatewayError::Cut).map(Err)
            }
        }
    }

    /// Ends the call with an error, which goes out when what is billed of the call lasts.
    fn fail(&mut self, error: GatewayError) -> Option<GatewayError> {
        self.stage = Stage::Over;
        match self.record.fail(&error) {
            Some(commit) => {
                let last = Err(error);
                self.stage = Stage::Settling { commit, last };
                None
            }
            None => Some(error),
        }
    }

    /// Whether an event speaks of a choice that was asked for and has not finished. An engine that
    /// does otherwise has lost its way, and the client would pay for an answer that it cannot read.
    fn is_expected(&mut self, event: &ChatEvent) -> bool {
        let (choice, finishes) = match event.kind {
            // Of forwarded answers the engine's client has checked that.
            ChatEventKind::Started | ChatEventKind::Forwarded { .. } => return true,
            ChatEventKind::Delta { choice, .. } => (choice, false),
            ChatEventKind::Finished { choice, .. } => (choice, true),
        };
        let finished = usize::try_from(choice)
            .ok()
            .and_then(|index| self.finished.get_mut(index));
        finished.is_some_and(|finished| !std::mem::replace(finished, *finished || finishes))
    }
}

impl Stream for Call {
    type Item = Result<ChatEvent, GatewayError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let call = self.get_mut();
        loop {
            match &mut call.stage {
                Stage::Over => return Poll::Ready(None),
                Stage::Settling { commit, .. } => {
                    let committed = ready!(Pin::new(commit).poll(context));
                    let Stage::Settling { last, .. } = std::mem::replace(&mut call.stage, Stage::Over) else {
                        return Poll::Ready(None);
                    };
                    return Poll::Ready(Some(match committed {
                        Ok(()) => last,
                        Err(error) => {
                            let error = GatewayError::NotSettled(error);
                            // Booked already; this logs the cause.
                            drop(call.record.fail(&error));
                            Err(error)
                        }
                    }));
                }
                Stage::Running(running) => {
                    let event = ready!(running.poll_next(context, &mut call.record));
                    if let Some(out) = call.take(event) {
                        return Poll::Ready(Some(out));
                    }
                }
            }
        }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Call")
            .field("id", &self.id())
            .field("finished", &self.finished)
            .finish_non_exhaustive()
    }
}
