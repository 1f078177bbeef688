//! Which calls are traced.

use silica_types::TraceId;

use super::ids::own_trace;

/// The random part of a trace id that decides: its last 56 bits, as W3C Trace Context level 2 says.
const RANDOM: u128 = (1 << 56) - 1;

/// Decides by the caller's flag, else by the trace id, so that every server that sees the id agrees.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sampler {
    /// Ids whose random part is below it are traced.
    border: u128,
}

impl Sampler {
    /// Traces this part of calls, 0 to 1.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "56 bits times a ratio from 0 to 1; the last bits do not matter"
    )]
    pub(super) fn new(ratio: f64) -> Self {
        let border = ratio.clamp(0.0, 1.0) * (RANDOM + 1) as f64;
        Self {
            border: border as u128,
        }
    }

    /// Whether a call is traced. An id that a caller made up is traced: it wants to follow the call.
    pub(super) fn wants(self, trace: &TraceId) -> bool {
        match (trace.parent(), own_trace(trace)) {
            (Some(parent), _) => parent.is_sampled,
            (None, Some(id)) => (id & RANDOM) < self.border,
            (None, None) => self.border > 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use silica_types::SystemClock;

    use super::*;

    #[test]
    fn the_caller_decides() {
        let sampled = |flags: &str| {
            let header = format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}");
            let trace = TraceId::from_traceparent(&header).unwrap();
            [0.0, 1.0].map(|ratio| Sampler::new(ratio).wants(&trace))
        };
        assert_eq!(sampled("01"), [true, true]);
        assert_eq!(sampled("00"), [false, false]);
    }

    #[test]
    fn about_the_part_that_is_asked_for_is_traced() {
        for (ratio, expected) in [(0.0, 0..=0), (0.25, 150..=350), (1.0, 1000..=1000)] {
            let sampler = Sampler::new(ratio);
            let traces = (0..1000).map(|_| TraceId::generate(&SystemClock));
            let traced = traces.filter(|trace| sampler.wants(trace)).count();
            assert!(expected.contains(&traced), "{ratio}: {traced}");
        }
    }
}
