//! Which trace and span a call has.

use silica_gateway::CallSummary;
use silica_types::TraceId;

/// The ids of a call's span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SpanIds {
    /// The trace; not zero.
    pub(super) trace: u128,
    /// The call's own span; not zero.
    pub(super) span: u64,
    /// The caller's span.
    pub(super) parent: Option<u64>,
}

impl SpanIds {
    /// Finds the ids. Those of a caller's `traceparent` are kept; otherwise the trace is the 32
    /// digits of our own trace id, or, when the caller gave one of its own making, the call's id.
    pub(super) fn of(call: &CallSummary) -> Self {
        let id = call.id.as_uuid().as_u128();
        let parent = call.trace.parent();
        Self {
            trace: match parent {
                Some(parent) => parent.trace,
                None => own_trace(&call.trace).unwrap_or(id).max(1),
            },
            span: low_half(id).max(1),
            parent: parent.map(|parent| parent.span),
        }
    }

    /// The span of the call's attempt number `index`, from 0.
    pub(super) fn attempt(self, index: usize) -> u64 {
        let index = u64::try_from(index).unwrap_or(u64::MAX);
        // An odd factor keeps different attempts apart; the golden ratio spreads them.
        let step = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (self.span ^ step).max(1)
    }
}

/// The number in a trace id of ours: `ti_` and 32 digits. Also plain 32 digits.
pub(super) fn own_trace(trace: &TraceId) -> Option<u128> {
    let text = trace.as_str();
    let digits = text.strip_prefix("ti_").unwrap_or(text);
    let is_plain = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_plain.then(|| u128::from_str_radix(digits, 16).ok()).flatten()
}

/// The half of an id that is random.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
const fn low_half(id: u128) -> u64 {
    id as u64
}
