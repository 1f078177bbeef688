//! Reads an answer from its connection, with a limit on every wait.

use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http_body::Body;
use http_body_util::BodyExt as _;
use silica_engine::{ChatEvent, ChatStream};
use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::sse::EventDecoder;
use crate::{RemoteError, RemoteOptions, TransferError};

/// What ends a stream that is whole.
const DONE: &[u8] = b"[DONE]";

/// How long the end of the body may take after the last event. A body that was read to its end
/// gives its connection back; waiting longer than that is worth costs more than a new connection.
const LAST_BYTES_LIMIT: Duration = Duration::from_millis(20);

/// The most of frames that are there that go on together, in bytes.
const MOST_TOGETHER: usize = 16 * 1024;
/// Pieces of an answer without an event that are read before others get their turn.
const PIECES_AT_ONCE: usize = 64;

/// The longest waits, see [`RemoteOptions`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) first_frame: Duration,
    pub(crate) stall: Duration,
    pub(crate) usage: Duration,
    pub(crate) whole: Duration,
}

impl Limits {
    pub(crate) const fn of(options: &RemoteOptions) -> Self {
        Self {
            first_frame: options.first_frame_limit,
            stall: options.stall_limit,
            usage: options.usage_limit,
            whole: options.whole_limit,
        }
    }
}

/// What an answer's frames are read into.
pub(crate) trait Reading: Send + 'static {
    /// Takes one frame, which adds to the events of [`Reading::next_event`].
    ///
    /// # Errors
    /// When the frame reports a failure or makes no sense; the answer is then cut.
    fn frame(&mut self, data: &[u8]) -> Result<(), RemoteError>;

    /// The next event, if one is ready.
    fn next_event(&mut self) -> Option<ChatEvent>;

    /// Whether a word of the answer, a call in it, or the end of a choice has come. Until then the
    /// events wait, so that the client has seen nothing of an engine that only said who speaks.
    fn has_begun(&self) -> bool;

    /// Whether a word, a call, or the end of a choice has come since this was last asked.
    fn has_moved(&mut self) -> bool;

    /// Whether every choice has finished; only the usage may still come.
    fn is_complete(&self) -> bool;

    /// Whether the answer reached its ceiling: it is complete, and nothing more is taken.
    fn is_over(&self) -> bool;

    /// Lets go of the last event with the usage as it now is. Does nothing to an answer that is not
    /// complete.
    fn finish(&mut self);
}

/// Whether words of an answer, calls in it, or ends of its choices have come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Words {
    #[default]
    None,
    /// Since they were last asked for.
    New,
    Old,
}

impl Words {
    /// Notes that some came, if some did.
    pub(crate) fn came_if(&mut self, did: bool) {
        if did {
            *self = Self::New;
        }
    }

    pub(crate) const fn have_come(self) -> bool {
        !matches!(self, Self::None)
    }

    /// Whether some have come since this was last asked.
    pub(crate) fn are_new(&mut self) -> bool {
        let are_new = *self == Self::New;
        if are_new {
            *self = Self::Old;
        }
        are_new
    }
}

/// Turns the body of an answer into events. Dropping the stream drops the body, which closes the
/// connection, which stops the engine.
pub(crate) fn events<B, A: Reading>(
    body: B,
    answer: A,
    limits: Limits,
    first_frame_by: Instant,
    engine: Arc<str>,
) -> ChatStream
where
    B: Body<Data = Bytes, Error = TransferError> + Send + Unpin + 'static,
{
    let reader = Reader {
        body: Some(body),
        decoder: EventDecoder::default(),
        answer,
        limits,
        alarm: Box::pin(sleep_until(first_frame_by)),
        wait: limits.first_frame,
        has_ended: false,
        fault: None,
        engine,
    };
    Box::pin(stream::unfold(reader, |mut reader| async move {
        let event = reader.next().await?;
        let event = event.map_err(|error| error.into_engine_error(&reader.engine));
        Some((event, reader))
    }))
}

struct Reader<B, A> {
    /// `None` once nothing more is taken of it, which closes the connection.
    body: Option<B>,
    decoder: EventDecoder,
    answer: A,
    limits: Limits,
    /// When the next frame must be there.
    alarm: Pin<Box<Sleep>>,
    /// How long a wait that is.
    wait: Duration,
    has_ended: bool,
    /// What ended the answer too early, until it is told.
    fault: Option<RemoteError>,
    /// The model's name at the engine.
    engine: Arc<str>,
}

impl<B, A> Reader<B, A>
where
    B: Body<Data = Bytes, Error = TransferError> + Unpin,
    A: Reading,
{
    async fn next(&mut self) -> Option<Result<ChatEvent, RemoteError>> {
        loop {
            if self.answer.has_begun()
                && let Some(event) = self.answer.next_event()
            {
                return Some(Ok(event));
            }
            if let Some(fault) = self.fault.take() {
                return Some(Err(fault));
            }
            if self.has_ended {
                return None;
            }
            if let Err(fault) = self.advance().await {
                self.has_ended = true;
                // What came before it goes out first.
                self.fault = Some(fault);
            }
        }
    }

    /// Waits for a frame, and reads it and those that are there as well into the answer, so that they
    /// go on together.
    async fn advance(&mut self) -> Result<(), RemoteError> {
        let was_complete = self.answer.is_complete();
        let mut frame = self.frame().await;
        let mut taken = 0;
        loop {
            taken += frame
                .as_ref()
                .map_or(0, |frame| frame.as_ref().map_or(0, Bytes::len));
            self.take(frame).await?;
            if self.has_ended {
                return Ok(());
            }
            if taken >= MOST_TOGETHER {
                break;
            }
            frame = match poll_fn(|context| Poll::Ready(self.poll_frame(context))).await {
                Poll::Ready(frame) => frame,
                Poll::Pending => break,
            };
        }
        // Frames that say nothing win no time. The usage is waited for from the last choice's end on,
        // however many frames follow it.
        if self.answer.has_moved() && !was_complete {
            self.wait = if self.answer.is_complete() {
                self.limits.usage
            } else {
                self.limits.stall
            };
            self.alarm.as_mut().reset(Instant::now() + self.wait);
        }
        Ok(())
    }

    /// Reads a frame into the answer, or notes the end.
    async fn take(&mut self, frame: Result<Option<Bytes>, RemoteError>) -> Result<(), RemoteError> {
        let was_complete = self.answer.is_complete();
        let taken = match frame {
            Ok(Some(data)) if data == DONE => {
                self.read_to_end().await;
                Ok(None)
            }
            Ok(Some(data)) => self.answer.frame(&data).map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        match taken {
            Ok(Some(())) if self.answer.is_over() => self.cut_off(),
            // Nothing that goes wrong after the last choice's end makes the answer less whole.
            Ok(None) | Err(_) if was_complete => {
                self.has_ended = true;
                self.answer.finish();
            }
            Ok(Some(())) => {}
            Ok(None) => return Err(RemoteError::Truncated),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Ends an answer that does not end by itself.
    fn cut_off(&mut self) {
        self.body = None;
        self.has_ended = true;
        self.answer.finish();
        let engine = &self.engine;
        tracing::warn!(
            engine.name = &**engine,
            "{engine} does not end at max_tokens; its answer was cut off"
        );
    }

    /// The next frame of the answer, `None` at its end.
    async fn frame(&mut self) -> Result<Option<Bytes>, RemoteError> {
        poll_fn(|context| {
            let frame = self.poll_frame(context);
            if frame.is_ready() {
                return frame;
            }
            // A flood of what is no frame must not use up what the alarm needs to be looked at.
            let alarm = pin!(unconstrained(self.alarm.as_mut()));
            alarm.poll(context).map(|()| Err(RemoteError::Silent(self.wait)))
        })
        .await
    }

    /// As [`Reader::frame`], without a limit.
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, RemoteError>> {
        for _ in 0..PIECES_AT_ONCE {
            if let Some(data) = self.decoder.next_event()? {
                return Poll::Ready(Ok(Some(data)));
            }
            let Some(body) = &mut self.body else {
                return Poll::Ready(Ok(None));
            };
            match ready!(Pin::new(body).poll_frame(context)) {
                Some(Ok(frame)) => {
                    // Trailers say nothing here.
                    if let Ok(data) = frame.into_data() {
                        self.decoder.feed(data);
                    }
                }
                Some(Err(error)) => return Poll::Ready(Err(RemoteError::Broken(error))),
                None => return Poll::Ready(Ok(self.decoder.last_event())),
            }
        }
        // An engine that floods its reader with what is no event must not keep a thread.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Waits a moment for the end of the body. One frame is all that is due.
    async fn read_to_end(&mut self) {
        if let Some(body) = &mut self.body {
            let _ = timeout(LAST_BYTES_LIMIT, body.frame()).await;
        }
    }
}

#[cfg(test)]
mod tests;
