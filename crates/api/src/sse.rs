//! A response body of server-sent events.

mod watched;

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::{BufMut as _, Bytes, BytesMut};
use futures::Stream;
use http::{HeaderValue, header};
use serde::Serialize;

use self::watched::WatchedBody;
use crate::AiLabel;

/// Turns the items of a stream into event frames.
pub(crate) trait WriteFrames: Send + Unpin + 'static {
    /// What the stream brings.
    type Item;

    /// Appends the frames of one item. Returns false to end the body at once.
    fn write(&mut self, item: Self::Item, frames: &mut Frames) -> bool;

    /// Appends the frames after the last item.
    fn finish(&mut self, frames: &mut Frames);
}

/// The buffer that frames are written into.
#[derive(Debug, Default)]
pub(crate) struct Frames(BytesMut);

impl Frames {
    /// Appends `event: <name>`, then as [`Frames::json`].
    pub(crate) fn event(&mut self, name: &'static str, value: &impl Serialize) {
        self.0.put_slice(b"event: ");
        self.0.put_slice(name.as_bytes());
        self.0.put_slice(b"\n");
        self.json(value);
    }

    /// Appends `data: <json>` and a blank line.
    pub(crate) fn json(&mut self, value: &impl Serialize) {
        self.0.put_slice(b"data: ");
        if let Err(error) = serde_json::to_writer((&mut self.0).writer(), value) {
            // Cannot happen for our own types: no maps with odd keys, and memory does not fail.
            tracing::error!(%error, "an event cannot be serialised");
        }
        self.0.put_slice(b"\n\n");
    }

    /// Appends frames that are written already.
    pub(crate) fn forward(&mut self, frames: &[u8]) {
        self.0.put_slice(frames);
    }

    /// Appends the frame that ends a complete stream.
    pub(crate) fn done(&mut self) {
        self.0.put_slice(b"data: [DONE]\n\n");
    }

    /// Puts a label into the first frame.
    fn label(&mut self, label: &AiLabel) -> bool {
        let labelled = label.in_frame(&self.0);
        labelled.map(|labelled| self.0 = labelled).is_some()
    }

    fn take(&mut self) -> Bytes {
        self.0.split().freeze()
    }
}

/// Sends what is ready at once in one piece, up to this size.
const PIECE_BYTES: usize = 16 * 1024;

/// Makes the response. The body owns the stream, so that a client that leaves drops both. A
/// client that takes no frame for `stall_limit` loses the stream as well: what it asked for would
/// be computed and kept for nobody.
pub(crate) fn response<S, W>(items: S, writer: W, stall_limit: Duration, label: Option<AiLabel>) -> Response
where
    S: Stream<Item = W::Item> + Send + Unpin + 'static,
    W: WriteFrames,
{
    let mut response = Response::new(Body::new(WatchedBody::new(
        EventBody {
            items: Some(items),
            writer,
            frames: Frames::default(),
            label,
        },
        stall_limit,
    )));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Keeps nginx from collecting frames.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// The items of one answer on their way into frames.
struct EventBody<S, W> {
    /// `None` after the end.
    items: Option<S>,
    writer: W,
    frames: Frames,
    /// Until the first frame has it.
    label: Option<AiLabel>,
}

impl<S, W> EventBody<S, W>
where
    S: Stream<Item = W::Item> + Unpin,
    W: WriteFrames,
{
    /// Writes items into the buffer until the stream has to wait, ends, or a piece is full.
    fn fill(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while let Some(items) = &mut self.items {
            let more = match Pin::new(items).poll_next(context) {
                Poll::Pending if self.frames.0.is_empty() => return Poll::Pending,
                Poll::Pending => return Poll::Ready(()),
                Poll::Ready(Some(item)) => {
                    let more = self.writer.write(item, &mut self.frames);
                    self.label.take_if(|label| self.frames.label(label));
                    more
                }
                Poll::Ready(None) => {
                    self.writer.finish(&mut self.frames);
                    false
                }
            };
            if !more {
                self.items = None;
            }
            if self.frames.0.len() >= PIECE_BYTES {
                break;
            }
        }
        Poll::Ready(())
    }
}
