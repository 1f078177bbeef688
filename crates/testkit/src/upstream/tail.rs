//! The wrong end of an answer: what a fault sends, and what follows it.

use std::io;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use serde_json::json;
use tokio::time::sleep;

use super::log::Entry;
use super::{UpstreamFault, UpstreamOutcome};

/// The pause between two signs of life.
const SIGN_OF_LIFE: Duration = Duration::from_millis(5);
/// The JSON of a frame or a body that stops in the middle.
const GARBLED: &str = "{\"choices\":[{";
/// Neither text nor events.
const NOISE: &[u8] = b"\x00\xff\xfe{\"choices\":[]}\x80\xff\n\n";
/// What a frame or a body without an end consists of.
static ENDLESS: [u8; 64 * 1024] = [b'x'; 64 * 1024];

/// What comes after the last bytes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tail {
    /// The end, as if all was well.
    End,
    /// The end of the connection.
    Break,
    /// Nothing.
    Silence,
    /// The same again and again, after a pause.
    Repeat(&'static [u8], Duration),
}

impl Tail {
    /// The next piece of the body.
    pub(super) async fn next(self, entry: &Entry) -> Option<io::Result<Bytes>> {
        match self {
            Self::End => {
                entry.end(UpstreamOutcome::Broken);
                None
            }
            Self::Break => {
                // A pending body lets the server write what it holds; breaking off would drop it.
                tokio::task::yield_now().await;
                entry.end(UpstreamOutcome::Broken);
                Some(Err(io::Error::other("cut by the script")))
            }
            Self::Silence => std::future::pending().await,
            Self::Repeat(bytes, pause) => {
                if !pause.is_zero() {
                    sleep(pause).await;
                }
                Some(Ok(Bytes::from_static(bytes)))
            }
        }
    }
}

/// What a fault puts into a stream, whose events a function makes, and what follows.
pub(super) fn of_stream(fault: UpstreamFault, event: impl Fn(&str) -> Bytes) -> (Bytes, Tail) {
    match fault {
        UpstreamFault::Cut(_) => (Bytes::new(), Tail::Break),
        UpstreamFault::Stall(_) => (Bytes::new(), Tail::Silence),
        UpstreamFault::Report(_) => (event(&report()), Tail::End),
        UpstreamFault::Garble(_) => (event(GARBLED), Tail::End),
        UpstreamFault::Truncate(_) => (
            Bytes::from_static(b"data: {\"choices\":[{\"index\":0,\"del"),
            Tail::End,
        ),
        UpstreamFault::Noise(_) => (Bytes::from_static(NOISE), Tail::End),
        UpstreamFault::Chatter(_) => (Bytes::new(), Tail::Repeat(b": keep-alive\n\n", SIGN_OF_LIFE)),
        UpstreamFault::Endless(_) => (
            Bytes::from_static(b"data: {\"id\":\""),
            Tail::Repeat(&ENDLESS, Duration::ZERO),
        ),
        UpstreamFault::End(_)
        | UpstreamFault::None
        | UpstreamFault::Status(_)
        | UpstreamFault::Hang
        | UpstreamFault::Html
        | UpstreamFault::Empty
        | UpstreamFault::Bomb => (Bytes::new(), Tail::End),
    }
}

/// What a fault makes of an answer in one piece, and what follows; `None` when it is left alone.
pub(super) fn of_whole(fault: UpstreamFault, whole: &Bytes) -> Option<(Bytes, Tail)> {
    let half = whole.slice(..whole.len() / 2);
    let unless_first = |half: Bytes| if fault.is_due(0) { Bytes::new() } else { half };
    Some(match fault {
        UpstreamFault::Cut(_) => (unless_first(half), Tail::Break),
        UpstreamFault::Stall(_) => (unless_first(half), Tail::Silence),
        UpstreamFault::Report(_) => (report().into(), Tail::End),
        UpstreamFault::Garble(_) => (Bytes::from_static(b"<choices>"), Tail::End),
        UpstreamFault::End(_) | UpstreamFault::Truncate(_) => (half, Tail::End),
        UpstreamFault::Noise(_) => (Bytes::from_static(NOISE), Tail::End),
        UpstreamFault::Chatter(_) => (Bytes::new(), Tail::Repeat(b"\n", SIGN_OF_LIFE)),
        UpstreamFault::Endless(_) => (
            Bytes::from_static(b"{\"id\":\""),
            Tail::Repeat(&ENDLESS, Duration::ZERO),
        ),
        UpstreamFault::None
        | UpstreamFault::Status(_)
        | UpstreamFault::Hang
        | UpstreamFault::Html
        | UpstreamFault::Empty
        | UpstreamFault::Bomb => return None,
    })
}

/// A body of these bytes and this tail.
pub(super) fn body(first: Bytes, tail: Tail, entry: Entry) -> Body {
    let begin = (Some(first).filter(|bytes| !bytes.is_empty()), entry);
    Body::from_stream(stream::unfold(begin, move |(first, entry)| async move {
        let piece = match first {
            Some(first) => Ok(first),
            None => tail.next(&entry).await?,
        };
        if let Ok(bytes) = &piece {
            entry.handed_over(bytes.len());
        }
        Some((piece, (None, entry)))
    }))
}

fn report() -> String {
    json!({"error": {"message": "failed by the script", "code": 500}}).to_string()
}
