//! What a call has consumed so far, by the upstream's report where there is one.

use silica_engine::Usage;
use silica_types::{TokenCount, UsageSource};

use crate::estimate::Forwarded;

/// Counts one call. A report replaces what was estimated before it; what is forwarded after a
/// report is estimated on top of it until the next one. What a report leaves out stays estimated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tally {
    /// What was last reported; the prompt is estimated until it is.
    base: Usage,
    is_prompt_reported: bool,
    is_completion_reported: bool,
    /// Text since the completion was last reported; `reasoning` is a part of `completion`.
    completion: Forwarded,
    reasoning: Forwarded,
}

/// What the upstream reports, cumulative as [`Usage`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Report {
    /// `None` when the report says nothing of it.
    pub(crate) prompt: Option<TokenCount>,
    pub(crate) cached: TokenCount,
    /// `None` when the report says nothing of it.
    pub(crate) completion: Option<TokenCount>,
    pub(crate) reasoning: TokenCount,
}

impl Tally {
    /// Begins with an estimated prompt.
    pub(crate) fn new(prompt: TokenCount) -> Self {
        Self {
            base: Usage {
                prompt,
                ..Usage::default()
            },
            is_prompt_reported: false,
            is_completion_reported: false,
            completion: Forwarded::default(),
            reasoning: Forwarded::default(),
        }
    }

    /// Counts the text of a frame, by its weight. `reasoning` is a part of `completion`.
    pub(crate) const fn forward(&mut self, completion: u64, reasoning: u64) {
        self.completion.add(completion);
        self.reasoning.add(reasoning);
    }

    /// Takes a report. Nothing for a prompt, or for text that was forwarded, is no count: servers
    /// exist that send zeros until they know.
    pub(crate) fn report(&mut self, report: Report) {
        if let Some(prompt) = report.prompt.filter(|prompt| *prompt > TokenCount::ZERO) {
            self.base.prompt = prompt;
            // Parts are never more than the whole, whatever a server makes of them.
            self.base.cached = report.cached.min(prompt);
            self.is_prompt_reported = true;
        }
        let so_far = self.usage().completion;
        let is_count = |completion: &TokenCount| *completion > TokenCount::ZERO || so_far == TokenCount::ZERO;
        if let Some(completion) = report.completion.filter(is_count) {
            self.base.completion = completion;
            self.base.reasoning = report.reasoning.min(completion);
            self.is_completion_reported = true;
            self.completion = Forwarded::default();
            self.reasoning = Forwarded::default();
        }
    }

    /// Whether what was consumed is exactly what this report says.
    pub(crate) fn shows(&self, report: Report) -> bool {
        let usage = self.usage();
        let counted = Report {
            prompt: Some(usage.prompt),
            cached: usage.cached,
            completion: Some(usage.completion),
            reasoning: usage.reasoning,
        };
        usage.source == UsageSource::Engine && counted == report
    }

    /// What was consumed; from the engine only where all of it is.
    pub(crate) fn usage(&self) -> Usage {
        let completion = self.base.completion + self.completion.tokens();
        let is_reported =
            self.is_prompt_reported && self.is_completion_reported && self.completion == Forwarded::default();
        Usage {
            completion,
            reasoning: (self.base.reasoning + self.reasoning.tokens()).min(completion),
            source: if is_reported {
                UsageSource::Engine
            } else {
                UsageSource::Estimated
            },
            ..self.base
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(prompt: Option<u32>, completion: Option<u32>) -> Report {
        Report {
            prompt: prompt.map(TokenCount),
            cached: TokenCount(2),
            completion: completion.map(TokenCount),
            reasoning: TokenCount(1),
        }
    }

    /// Prompt, cached, completion and reasoning, and whether the engine counted them.
    fn counts(tally: &Tally) -> ([u32; 4], bool) {
        let usage = tally.usage();
        let counts = [usage.prompt, usage.cached, usage.completion, usage.reasoning];
        (counts.map(TokenCount::get), usage.source == UsageSource::Engine)
    }

    #[test]
    fn a_report_replaces_the_estimate_and_later_text_is_estimated_on_top() {
        let mut tally = Tally::new(TokenCount(9));
        tally.forward(4, 4);
        tally.forward(4, 0);
        assert_eq!(counts(&tally), ([9, 0, 2, 1], false));
        tally.report(report(Some(7), Some(1)));
        tally.forward(0, 0);
        assert_eq!(counts(&tally), ([7, 2, 1, 1], true));
        tally.forward(4, 0);
        assert_eq!(counts(&tally), ([7, 2, 2, 1], false));
    }

    #[test]
    fn what_a_report_leaves_out_stays_as_it_was_counted() {
        let mut tally = Tally::new(TokenCount(9));
        tally.forward(4, 0);
        tally.forward(4, 0);
        tally.report(report(Some(7), None));
        assert_eq!(counts(&tally), ([7, 2, 2, 0], false));
        tally.report(report(None, Some(5)));
        assert_eq!(counts(&tally), ([7, 2, 5, 1], true));
        tally.report(report(Some(8), None));
        assert_eq!(counts(&tally), ([8, 2, 5, 1], true));

        let mut tally = Tally::new(TokenCount(9));
        tally.report(report(None, Some(5)));
        assert_eq!(counts(&tally), ([9, 0, 5, 1], false));
    }

    #[test]
    fn zeros_in_place_of_counts_make_nothing_free() {
        let mut tally = Tally::new(TokenCount(9));
        tally.report(report(Some(0), Some(0)));
        assert_eq!(counts(&tally), ([9, 0, 0, 0], false));
        tally.forward(4, 0);
        tally.report(report(Some(0), Some(0)));
        assert_eq!(counts(&tally), ([9, 0, 1, 0], false));
        tally.report(report(Some(7), Some(3)));
        tally.report(report(Some(0), Some(0)));
        assert_eq!(counts(&tally), ([7, 2, 3, 1], true));
    }
}
