//! Keeps a span of the answer, such as the reasoning, within its limit.

use silica_engine::SpanLimit;

/// Watches one sequence's tokens and says which token must come next, if any.
#[derive(Debug)]
pub(super) struct SpanGuard {
    limit: SpanLimit,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Before,
    /// Inside, with this many tokens.
    Inside(u32),
    /// The span is being closed by force; this many tokens of the ending stand.
    Ending(usize),
    After,
}

impl SpanGuard {
    pub(super) fn new(limit: SpanLimit) -> Self {
        let state = if limit.opens.is_some() {
            State::Before
        } else {
            State::Inside(0)
        };
        let mut guard = Self { limit, state };
        guard.close_when_full();
        guard
    }

    /// The token that must come next; `None` leaves the choice to the sampler.
    pub(super) fn forced(&self) -> Option<u32> {
        match self.state {
            State::Ending(done) => self.limit.ending.get(done).copied(),
            State::Before | State::Inside(_) | State::After => None,
        }
    }

    /// Takes note of the token that came.
    pub(super) fn observe(&mut self, id: u32) {
        self.state = match self.state {
            State::Before if self.limit.opens == Some(id) => State::Inside(0),
            State::Inside(_) if id == self.limit.closes => State::After,
            State::Inside(count) => State::Inside(count + 1),
            State::Ending(done) if done + 1 >= self.limit.ending.len() => State::After,
            State::Ending(done) => State::Ending(done + 1),
            State::Before | State::After => self.state,
        };
        self.close_when_full();
    }

    fn close_when_full(&mut self) {
        if matches!(self.state, State::Inside(count) if count >= self.limit.limit.get()) {
            self.state = State::Ending(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use silica_types::TokenCount;

    use super::*;

    const OPEN: u32 = 100;
    const CLOSE: u32 = 101;
    const LINE: u32 = 102;

    /// Feeds what the model would draw; returns what the answer holds.
    fn run(opens: Option<u32>, limit: u32, drawn: &[u32]) -> Vec<u32> {
        let mut guard = SpanGuard::new(SpanLimit {
            opens,
            closes: CLOSE,
            limit: TokenCount(limit),
            ending: vec![LINE, CLOSE, LINE],
        });
        let mut answer = Vec::new();
        for id in drawn {
            let id = guard.forced().unwrap_or(*id);
            guard.observe(id);
            answer.push(id);
        }
        answer
    }

    #[test]
    fn a_span_that_reaches_its_limit_is_closed_by_force_once() {
        let answer = run(Some(OPEN), 2, &[OPEN, 1, 2, 3, 4, 5, OPEN, 7, 8, 9]);
        assert_eq!(answer, [OPEN, 1, 2, LINE, CLOSE, LINE, OPEN, 7, 8, 9]);
    }

    #[test]
    fn a_span_that_ends_by_itself_is_left_alone() {
        let drawn = [OPEN, 1, CLOSE, 3, 4, 5, 6];
        assert_eq!(run(Some(OPEN), 2, &drawn), drawn);
    }

    #[test]
    fn an_answer_without_the_span_is_left_alone() {
        assert_eq!(run(Some(OPEN), 1, &[1, 2, 3, 4]), [1, 2, 3, 4]);
    }

    #[test]
    fn a_span_that_the_prompt_opened_counts_from_the_first_token() {
        assert_eq!(run(None, 1, &[1, 2, 3, 4, 5]), [1, LINE, CLOSE, LINE, 5]);
        assert_eq!(run(None, 0, &[1, 2, 3, 4]), [LINE, CLOSE, LINE, 4]);
    }
}
