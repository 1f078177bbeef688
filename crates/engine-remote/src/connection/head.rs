//! The head of an answer: what of it matters to a client that asks for one thing.

use std::mem::MaybeUninit;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use http::StatusCode;
use httparse::{Header, Response, Status};

use super::framing::Framing;
use crate::TransferError;

/// The longest head that is read, in bytes.
pub(super) const LONGEST: usize = 64 * 1024;
/// The most fields of a head.
const MOST_FIELDS: usize = 100;
/// The most heads that only say that the answer will come, in one read.
const MOST_INTERIM: usize = 8;

/// What an answer says of itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) content: Content,
    /// Whether the body is packed.
    pub(crate) is_packed: bool,
    /// How long the engine wants to be left alone, if it says so.
    pub(crate) retry_after: Option<Duration>,
    pub(super) framing: Framing,
    /// How long the connection can wait for another request after this answer, where the engine says so;
    /// not at all where it is zero.
    pub(super) waits: Option<Duration>,
}

/// What the body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// A stream of events.
    Events,
    Json,
    Other,
}

/// Takes the head of the answer from the begin of what was received, without those that only say that
/// it will come (RFC 9110, section 15.2). `None` when it is not whole.
///
/// # Errors
/// When it is no head, or nobody could say where its answer ends.
pub(super) fn take(received: &mut BytesMut) -> Result<Option<Head>, TransferError> {
    for _ in 0..=MOST_INTERIM {
        let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
        let mut response = Response::new(&mut []);
        let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut response,
            received,
            &mut fields,
        );
        let length = match parsed {
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) => return Ok(None),
            Err(_) => return Err(TransferError::Head("it is no head of HTTP/1")),
        };
        // The parser has found three digits.
        let status = StatusCode::from_u16(response.code.unwrap_or_default())
            .map_err(|_| TransferError::Head("its status is none"))?;
        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
            received.advance(length);
            continue;
        }
        let head = Head::new(status, response.version == Some(1), response.headers)?;
        received.advance(length);
        return Ok(Some(head));
    }
    Err(TransferError::Head("too many say that it will come"))
}

impl Head {
    fn new(status: StatusCode, is_newer: bool, fields: &[Header<'_>]) -> Result<Self, TransferError> {
        let says = |word: &str| {
            all(fields, "connection")
                .flat_map(|field| field.split(','))
                .any(|token| token.trim().eq_ignore_ascii_case(word))
        };
        let says_close = says("close") || (!is_newer && !says("keep-alive"));
        let framing = framing(status, is_newer, fields)?;
        // Chunks count more than a length. Who sends both may mean something else by what follows.
        let is_ambiguous =
            matches!(framing, Framing::Chunked(_)) && all(fields, "content-length").next().is_some();
        Ok(Self {
            status,
            content: content(fields),
            is_packed: all(fields, "content-encoding")
                .any(|encoding| !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity")),
            retry_after: retry_after(fields),
            framing,
            // Who refuses a request may not have read all of it, and take the rest for another.
            waits: if status.is_success()
                && !says_close
                && !is_ambiguous
                && !matches!(framing, Framing::UntilClose)
            {
                waits(fields)
            } else {
                Some(Duration::ZERO)
            },
        })
    }
}

/// Where the answer ends (RFC 9112, section 6.3). Stricter than it must be: whoever says two lengths, or
/// packs what was not asked to be packed, is not understood rather than guessed at.
fn framing(status: StatusCode, is_newer: bool, fields: &[Header<'_>]) -> Result<Framing, TransferError> {
    if status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
        return Ok(Framing::Length(0));
    }
    let mut lengths = all(fields, "content-length");
    let length = lengths.next();
    if lengths.any(|other| Some(other) != length) {
        return Err(TransferError::Head("it has two lengths"));
    }
    let mut encodings = all(fields, "transfer-encoding");
    match (encodings.next(), encodings.next(), length) {
        (None, _, None) => Ok(Framing::UntilClose),
        (None, _, Some(length)) if length.bytes().all(|byte| byte.is_ascii_digit()) => length
            .parse()
            .map(Framing::Length)
            .map_err(|_| TransferError::Head("its length is none")),
        (None, _, Some(_)) => Err(TransferError::Head("its length is none")),
        (Some(encoding), None, _) if is_newer && encoding.eq_ignore_ascii_case("chunked") => {
            Ok(Framing::chunked())
        }
        _ => Err(TransferError::Head("its transfer encoding is not understood")),
    }
}

/// The values of the fields with this name, without those that are no text.
fn all<'a>(fields: &'a [Header<'_>], name: &'static str) -> impl Iterator<Item = &'a str> {
    let named = fields
        .iter()
        .filter(move |field| field.name.eq_ignore_ascii_case(name));
    // Of none of the fields that are read here anything else makes sense.
    named.map(|field| std::str::from_utf8(field.value).map_or("?", |value| value.trim_matches([' ', '\t'])))
}

fn content(fields: &[Header<'_>]) -> Content {
    let essence = all(fields, "content-type").next().unwrap_or_default();
    let essence = essence.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("text/event-stream") {
        Content::Events
    } else if essence.eq_ignore_ascii_case("application/json") {
        Content::Json
    } else {
        Content::Other
    }
}

/// How long a connection is kept, as its engine says (`Keep-Alive: timeout=5`), less a second in which the
/// next request may be on its way.
fn waits(fields: &[Header<'_>]) -> Option<Duration> {
    let mut parameters = all(fields, "keep-alive").flat_map(|field| field.split(','));
    let seconds = parameters.find_map(|parameter| parameter.trim().strip_prefix("timeout="))?;
    let seconds: u64 = seconds.parse().ok()?;
    Some(Duration::from_secs(seconds.saturating_sub(1)))
}

/// How long the engine wants to be left alone, if it says so, in seconds or by a date. A date is that of
/// the engine's own clock, so it counts from the date of its answer; without one it says nothing.
fn retry_after(fields: &[Header<'_>]) -> Option<Duration> {
    let wanted = all(fields, "retry-after").next()?;
    if wanted.bytes().all(|byte| byte.is_ascii_digit()) {
        return wanted.parse().ok().map(Duration::from_secs);
    }
    let date = |text: &str| httpdate::parse_http_date(text).ok();
    let (then, now) = (date(wanted)?, date(all(fields, "date").next()?)?);
    // One that has passed is no wait.
    Some(then.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests;
