//! The id that ties a response, its log lines and its ledger rows together.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Clock, new_uuid};

/// A trace id: 1 to 128 visible ASCII characters. Ours have the form `ti_` and 32 hexadecimal
/// digits; a caller's `X-Trace-Id` is kept as it came (contract section 1.2).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TraceId(String);

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
        trace.0
    }
}

impl TraceId {
    /// Makes a new trace id, ordered by the clock's time.
    pub fn generate(clock: &dyn Clock) -> Self {
        Self(format!("ti_{}", new_uuid(clock).simple()))
    }

    /// Takes a caller's `X-Trace-Id`.
    ///
    /// # Errors
    /// When the text is empty, longer than 128 bytes, or has a character that is not visible ASCII.
    pub fn from_caller(text: &str) -> Result<Self, InvalidTraceId> {
        let valid = !text.is_empty() && text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_graphic());
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidTraceId)
        }
    }

    /// Takes the trace-id part of a W3C `traceparent` header
    /// (Trace Context, section 3.2: `version-traceid-parentid-flags`).
    ///
    /// # Errors
    /// When the header is malformed or its trace id is all zeros.
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
            && lower_hex(flags, 2)
            && trace.bytes().any(|byte| byte != b'0');
        if well_formed {
            Ok(Self(trace.to_owned()))
        } else {
            Err(InvalidTraceId)
        }
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
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
