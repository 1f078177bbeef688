//! The id that ties a response, its log lines and its ledger rows together.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::fmt::Simple;

use crate::{Clock, new_uuid};

/// What ids of our own begin with.
const PREFIX: &str = "ti_";

/// A trace id: 1 to 128 visible ASCII characters. Ours have the form `ti_` and 32 hexadecimal
/// digits; a caller's `X-Trace-Id` is kept as it came (contract section 1.2).
///
/// Cheap to clone: it is a shared string.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TraceId {
    text: Arc<str>,
    /// Not stored with the text: a span ends with its request.
    parent: Option<SpanParent>,
}

/// The caller's span, from a W3C `traceparent` header
/// (Trace Context, section 3.2: `version-traceid-parentid-flags`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanParent {
    /// The caller's trace; not zero.
    pub trace: u128,
    /// The span that made the call.
    pub span: u64,
    /// Whether the caller records its trace.
    pub is_sampled: bool,
}

/// The text is not usable as a trace id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a trace id must have 1 to 128 visible ASCII characters")]
pub struct InvalidTraceId;

impl TryFrom<String> for TraceId {
    type Error = InvalidTraceId;

    fn try_from(text: String) -> Result<Self, InvalidTraceId> {
        Self::from_caller(&text)
    }
}

impl From<TraceId> for String {
    fn from(trace: TraceId) -> Self {
        trace.text.to_string()
    }
}

impl TraceId {
    /// Makes a new trace id, ordered by the clock's time.
    pub fn generate(clock: &dyn Clock) -> Self {
        let mut digits = [0; Simple::LENGTH];
        let digits = new_uuid(clock).simple().encode_lower(&mut digits);
        let mut text = [0; PREFIX.len() + Simple::LENGTH];
        let (prefix, rest) = text.split_at_mut(PREFIX.len());
        prefix.copy_from_slice(PREFIX.as_bytes());
        rest.copy_from_slice(digits.as_bytes());
        // Both are ASCII.
        Self::of_text(std::str::from_utf8(&text).unwrap_or(PREFIX))
    }

    /// Takes a caller's `X-Trace-Id`.
    ///
    /// # Errors
    /// When the text is empty, longer than 128 bytes, or has a character that is not visible ASCII.
    pub fn from_caller(text: &str) -> Result<Self, InvalidTraceId> {
        let valid = !text.is_empty() && text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_graphic());
        if valid {
            Ok(Self::of_text(text))
        } else {
            Err(InvalidTraceId)
        }
    }

    /// Takes the trace-id part of a W3C `traceparent` header, and the header as the caller's span.
    ///
    /// # Errors
    /// When the header is malformed or its trace id is all zeros.
    pub fn from_traceparent(header: &str) -> Result<Self, InvalidTraceId> {
        let parent = SpanParent::from_traceparent(header)?;
        Ok(Self::of_text(&format!("{:032x}", parent.trace)).with_parent(Some(parent)))
    }

    /// Notes the caller's span beside an id of its own.
    #[must_use]
    pub fn with_parent(mut self, parent: Option<SpanParent>) -> Self {
        self.parent = parent;
        self
    }

    /// The caller's span; `None` when it sent none, or the id was read from storage.
    pub const fn parent(&self) -> Option<SpanParent> {
        self.parent
    }

    fn of_text(text: &str) -> Self {
        Self {
            text: Arc::from(text),
            parent: None,
        }
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl SpanParent {
    /// Reads a `traceparent` header.
    ///
    /// # Errors
    /// When it is malformed or its trace id is all zeros.
    pub fn from_traceparent(header: &str) -> Result<Self, InvalidTraceId> {
        let mut parts = header.split('-');
        let version = parts.next().unwrap_or_default();
        let trace = parts.next().unwrap_or_default();
        let parent = parts.next().unwrap_or_default();
        let flags = parts.next().unwrap_or_default();
        let lower_hex = |text: &str, length: usize| {
            text.len() == length
                && text
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        let well_formed = lower_hex(version, 2)
            && version != "ff"
            && lower_hex(trace, 32)
            && lower_hex(parent, 16)
            && lower_hex(flags, 2);
        if !well_formed {
            return Err(InvalidTraceId);
        }
        let number = |text: &str| u128::from_str_radix(text, 16).map_err(|_| InvalidTraceId);
        let span = u64::from_str_radix(parent, 16).map_err(|_| InvalidTraceId)?;
        match number(trace)? {
            0 => Err(InvalidTraceId),
            trace => Ok(Self {
                trace,
                span,
                is_sampled: number(flags)? & 1 == 1,
            }),
        }
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemClock;

    #[test]
    fn own_ids_have_the_prefix_and_are_valid() {
        let id = TraceId::generate(&SystemClock);
        assert!(id.as_str().starts_with("ti_"));
        assert_eq!(TraceId::from_caller(id.as_str()).unwrap(), id);
    }

    #[test]
    fn traceparent_gives_its_trace_id() {
        let id =
            TraceId::from_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
        assert_eq!(id.as_str(), "0af7651916cd43dd8448eb211c80319c");
        let parent = id.parent().unwrap();
        assert_eq!((parent.span, parent.is_sampled), (0xb7ad_6b71_6920_3331, true));
        assert_eq!(TraceId::from_caller("own").unwrap().parent(), None);
    }

    #[test]
    fn malformed_headers_are_refused() {
        for header in [
            "",
            "00",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert!(TraceId::from_traceparent(header).is_err(), "{header}");
        }
        assert!(TraceId::from_caller("a\nb").is_err());
        assert!(TraceId::from_caller(&"x".repeat(129)).is_err());
    }
}
