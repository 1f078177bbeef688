//! Sequences that may hold some tokens only.

use silica_engine::{Allowed, ConstraintError, ConstraintSource, Progress, TokenConstraint, TokenMask};

use super::*;

/// Allows one set of tokens after the other; all after that are free.
#[derive(Debug, Clone, Default)]
struct Listed {
    allowed: Vec<Vec<u32>>,
    /// Whether the last set ends the answer.
    ends: bool,
    /// The position at which it fails, and at which it panics.
    fails_at: Option<usize>,
    panics_at: Option<usize>,
    told: Arc<Mutex<Vec<u32>>>,
}

struct Running {
    listed: Listed,
    at: usize,
}

impl ConstraintSource for Listed {
    fn start(&self) -> Box<dyn TokenConstraint> {
        Box::new(Running {
            listed: self.clone(),
            at: 0,
        })
    }
}

impl TokenConstraint for Running {
    fn allow(&mut self, mask: &mut TokenMask) -> Result<Allowed, ConstraintError> {
        assert!(mask.is_empty(), "the mask comes empty");
        if self.listed.fails_at == Some(self.at) {
            return Err(ConstraintError("it takes too much work".to_owned()));
        }
        assert_ne!(self.listed.panics_at, Some(self.at), "a defect");
        let Some(allowed) = self.listed.allowed.get(self.at) else {
            return Ok(Allowed::All);
        };
        for id in allowed {
            mask.add(*id);
        }
        Ok(Allowed::Marked)
    }

    fn accept(&mut self, id: u32) -> Result<Progress, ConstraintError> {
        self.listed.told.lock().unwrap().push(id);
        self.at += 1;
        let is_over = self.listed.ends && self.at == self.listed.allowed.len();
        Ok(if is_over {
            Progress::Complete
        } else {
            Progress::Open
        })
    }
}

fn constrained(base: GenerateRequest, constraint: &Listed) -> GenerateRequest {
    GenerateRequest {
        constraint: Some(Arc::new(constraint.clone())),
        ..base
    }
}

#[test]
fn only_allowed_tokens_are_drawn_and_a_complete_answer_ends_without_a_stop_token() {
    let harness = start(8, 8);
    harness.gate.open(usize::MAX / 2);
    let mut constraint = Listed {
        allowed: vec![vec![2, 3], vec![5], vec![13, 6]],
        ..Listed::default()
    };
    // The model counts up. It would say 1 and 4; of equal logits the lower id wins.
    let asked = || constrained(request(&[0], 4), &constraint);
    let open = events(harness.engine.generate(asked()).unwrap());
    assert_eq!(open, answer(&[2, 5, 6, 7], StopCause::StopToken));
    assert_eq!(
        *constraint.told.lock().unwrap(),
        [2, 5, 6],
        "a stop token ends it, whatever it says"
    );
    constraint.ends = true;
    for most in [3, 4] {
        let whole = events(
            harness
                .engine
                .generate(constrained(request(&[0], most), &constraint))
                .unwrap(),
        );
        assert_eq!(
            whole,
            answer(&[2, 5, 6], StopCause::Complete),
            "with {most} tokens"
        );
    }
    let cut = events(
        harness
            .engine
            .generate(constrained(request(&[0], 2), &constraint))
            .unwrap(),
    );
    assert_eq!(cut, answer(&[2, 5], StopCause::Length));
}

#[test]
fn tokens_that_the_engine_puts_are_told_to_the_constraint() {
    let harness = start(8, 8);
    harness.gate.open(usize::MAX / 2);
    let constraint = Listed::default();
    let mut bounded = constrained(request(&[0], 6), &constraint);
    bounded.span_limit = Some(SpanLimit {
        opens: Some(1),
        closes: 6,
        limit: TokenCount(2),
        ending: vec![6, 3],
    });
    let said = [1, 2, 3, 6, 3, 4];
    assert_eq!(
        events(harness.engine.generate(bounded).unwrap()),
        answer(&said, StopCause::Length)
    );
    assert_eq!(*constraint.told.lock().unwrap(), said);
}

#[test]
fn a_constraint_that_cannot_go_on_ends_its_own_sequence_only() {
    let harness = start(4, 8);
    let fails = Listed {
        fails_at: Some(1),
        ..Listed::default()
    };
    let panics = Listed {
        panics_at: Some(1),
        ..Listed::default()
    };
    let ask = |constraint| {
        harness
            .engine
            .generate(constrained(request(&[0], 5), constraint))
            .unwrap()
    };
    let (failed, panicked, other) = (ask(&fails), ask(&panics), harness.generate(&[3], 2));
    harness.gate.open(usize::MAX / 2);
    let reason = GenerateEvent::Unconstrained("it takes too much work".to_owned());
    assert_eq!(events(failed).last(), Some(&reason));
    let reason = GenerateEvent::Failed("a step of the engine panicked".to_owned());
    assert_eq!(events(panicked).last(), Some(&reason));
    assert_eq!(events(other), answer(&[4, 5], StopCause::Length));
}

#[test]
fn a_sequence_that_is_computed_again_tells_each_token_once() {
    // As in `when_blocks_run_out_sequences_are_computed_again_and_lose_nothing`, where that is checked.
    let engine = scheduling::remembering(160, 12, 4);
    let prompts: Vec<_> = (0..4).map(|seed| scheduling::prompt(20, seed)).collect();
    let constraints: Vec<_> = prompts.iter().map(|_| Listed::default()).collect();
    let ask = |(prompt, constraint): (&Vec<u32>, &Listed)| {
        let base = scheduling::unstopped(prompt, 130);
        engine.generate(constrained(base, constraint)).unwrap()
    };
    let streams: Vec<_> = prompts.iter().zip(&constraints).map(ask).collect();
    for ((stream, prompt), constraint) in streams.into_iter().zip(&prompts).zip(&constraints) {
        let (tokens, _) = scheduling::answered(stream);
        assert_eq!(tokens, scheduling::expected(prompt, 130));
        assert_eq!(*constraint.told.lock().unwrap(), tokens);
    }
}
