//! Reads an answer from its connection, with a limit on every wait.

use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http_body_util::BodyExt as _;
use hyper::body::Body;
use silica_engine::{ChatEvent, ChatStream};
use tokio::time::{Instant, timeout, timeout_at};

use crate::sse::EventDecoder;
use crate::{RemoteError, RemoteOptions};

/// What ends a stream that is whole.
const DONE: &[u8] = b"[DONE]";

/// How long the end of the body may take after the last event. A body that was read to its end
/// gives its connection back; waiting longer than that is worth costs more than a new connection.
const LAST_BYTES_LIMIT: Duration = Duration::from_millis(20);

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

    /// Whether every choice has finished; only the usage may still come.
    fn is_complete(&self) -> bool;

    /// Whether the answer reached its ceiling: it is complete, and nothing more is taken.
    fn is_over(&self) -> bool;

    /// Lets go of the last event with the usage as it now is. Does nothing to an answer that is not
    /// complete.
    fn finish(&mut self);
}

/// Turns the body of an answer into events. Dropping the stream drops the body, which closes the
/// connection, which stops the engine.
pub(crate) fn events<B, A: Reading>(
    body: B,
    answer: A,
    limits: Limits,
    first_frame_by: Instant,
    engine: String,
) -> ChatStream
where
    B: Body<Data = Bytes, Error = hyper::Error> + Send + Unpin + 'static,
{
    let reader = Reader {
        body: Some(body),
        decoder: EventDecoder::default(),
        answer,
        limits,
        silent_until: (first_frame_by, limits.first_frame),
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
    /// When the next frame must be there, and how long a wait that is.
    silent_until: (Instant, Duration),
    has_ended: bool,
    /// What ended the answer too early, until it is told.
    fault: Option<RemoteError>,
    /// The model's name at the engine.
    engine: String,
}

impl<B, A> Reader<B, A>
where
    B: Body<Data = Bytes, Error = hyper::Error> + Unpin,
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

    /// Waits for a frame, and reads it and those that came with it into the answer.
    async fn advance(&mut self) -> Result<(), RemoteError> {
        let (by, wait) = self.silent_until;
        let mut frame = match timeout_at(by, self.frame()).await {
            Ok(frame) => frame,
            Err(_) => Err(RemoteError::Silent(wait)),
        };
        let was_complete = self.answer.is_complete();
        loop {
            self.take(frame)?;
            if self.has_ended {
                return Ok(());
            }
            frame = match self.decoder.next_event() {
                Ok(None) => break,
                Ok(Some(data)) => Ok(self.unless_done(data).await),
                Err(error) => Err(error),
            };
        }
        // Before the first word, frames that say nothing win no time. The usage is waited for from the
        // last choice's end on, however many frames follow it.
        if self.answer.has_begun() && !was_complete {
            let wait = if self.answer.is_complete() {
                self.limits.usage
            } else {
                self.limits.stall
            };
            self.silent_until = (Instant::now() + wait, wait);
        }
        Ok(())
    }

    /// Reads a frame into the answer, or notes the end.
    fn take(&mut self, frame: Result<Option<Vec<u8>>, RemoteError>) -> Result<(), RemoteError> {
        let was_complete = self.answer.is_complete();
        let taken = match frame {
            Ok(Some(data)) => self.answer.frame(&data).map(|()| true),
            Ok(None) if was_complete => Ok(false),
            Ok(None) => Err(RemoteError::Truncated),
            Err(error) => Err(error),
        };
        match taken {
            Ok(true) if self.answer.is_over() => self.cut_off(),
            // Nothing that goes wrong after the last choice's end makes the answer less whole.
            Ok(false) | Err(_) if was_complete => {
                self.has_ended = true;
                self.answer.finish();
            }
            Ok(_) => {}
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
            engine.name = engine,
            "{engine} does not end at max_tokens; its answer was cut off"
        );
    }

    /// The next frame of the answer, `None` at its end.
    async fn frame(&mut self) -> Result<Option<Vec<u8>>, RemoteError> {
        loop {
            if let Some(data) = self.decoder.next_event()? {
                return Ok(self.unless_done(data).await);
            }
            let Some(body) = &mut self.body else {
                return Ok(None);
            };
            match body.frame().await {
                Some(Ok(frame)) => {
                    // Trailers say nothing here.
                    if let Ok(data) = frame.into_data() {
                        self.decoder.feed(data);
                    }
                }
                Some(Err(error)) => return Err(RemoteError::Broken(error)),
                None => return Ok(self.decoder.last_event().filter(|data| data != DONE)),
            }
        }
    }

    /// A frame, or `None` and a body read to its end when it is the mark of the end.
    async fn unless_done(&mut self, data: Vec<u8>) -> Option<Vec<u8>> {
        if data != DONE {
            return Some(data);
        }
        // One frame is all that is due: the end of the body.
        let rest = async {
            match &mut self.body {
                Some(body) => body
                    .frame()
                    .await
                    .is_none_or(|frame| frame.is_ok_and(|frame| frame.is_trailers())),
                None => true,
            }
        };
        let _ = timeout(LAST_BYTES_LIMIT, rest).await;
        None
    }
}
