//! What a call has consumed so far, by the upstream's report where there is one.

use silica_engine::Usage;
use silica_types::{TokenCount, UsageSource};

/// Counts one call. A report replaces what was estimated before it; what is forwarded after a
/// report is estimated on top of it until the next one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tally {
    usage: Usage,
}

impl Tally {
    /// Begins with an estimated prompt.
    pub(crate) fn new(prompt: TokenCount) -> Self {
        Self {
            usage: Usage {
                prompt,
                source: UsageSource::Estimated,
                ..Usage::default()
            },
        }
    }

    /// Counts text that is forwarded. `reasoning` is a part of `completion`.
    pub(crate) fn forward(&mut self, completion: TokenCount, reasoning: TokenCount) {
        if completion > TokenCount::ZERO {
            self.usage.completion += completion;
            self.usage.reasoning += reasoning;
            self.usage.source = UsageSource::Estimated;
        }
    }

    /// Takes what the upstream reports, cumulative as [`Usage`] is.
    pub(crate) fn report(&mut self, usage: Usage) {
        self.usage = usage;
    }

    pub(crate) const fn usage(&self) -> Usage {
        self.usage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_replaces_the_estimate_and_later_text_is_estimated_on_top() {
        let mut tally = Tally::new(TokenCount(9));
        tally.forward(TokenCount(2), TokenCount(1));
        assert_eq!(
            tally.usage(),
            Usage {
                prompt: TokenCount(9),
                completion: TokenCount(2),
                reasoning: TokenCount(1),
                source: UsageSource::Estimated,
                ..Usage::default()
            }
        );
        let report = Usage {
            prompt: TokenCount(7),
            completion: TokenCount(1),
            ..Usage::default()
        };
        tally.report(report);
        tally.forward(TokenCount::ZERO, TokenCount::ZERO);
        assert_eq!(tally.usage(), report);
        tally.forward(TokenCount(1), TokenCount::ZERO);
        assert_eq!(tally.usage().completion, TokenCount(2));
        assert_eq!(tally.usage().source, UsageSource::Estimated);
    }
}
