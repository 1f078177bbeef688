//! The constraint of one sequence: free reasoning, then an answer within a grammar.

use std::sync::Arc;

use llguidance::Matcher;
use silica_engine::{Allowed, ConstraintError, ConstraintSource, Progress, TokenConstraint, TokenMask};

use super::library::Grammar;
use crate::answer::{Match, Patterns, TextMatcher};
use crate::vocabulary::Vocabulary;

/// Tokens of line breaks that may stand between the reasoning and the answer; they are left out there.
const MOST_BREAKS: u8 = 4;

/// What may stand before the answer proper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reasoning {
    /// Nothing.
    None,
    /// The model may open its reasoning with this token.
    MayOpen(u32),
    /// The reasoning is open.
    Open,
}

/// What the answer proper must be.
#[derive(Debug, Clone)]
pub(super) enum Body {
    /// All of it follows the grammar.
    Whole(Arc<Grammar>),
    /// It is free until this token; what comes after it follows the grammar, and then it is free again.
    After(u32, Arc<Grammar>),
}

/// How the answers of a request begin, and what they must be.
#[derive(Debug, Clone)]
pub(super) struct AnswerConstraint {
    pub(super) vocabulary: Arc<Vocabulary>,
    /// The tokens that end an answer.
    pub(super) stop_tokens: Vec<u32>,
    pub(super) reasoning: Reasoning,
    /// What closes the reasoning: a token, or else its spelling.
    pub(super) closes: Option<u32>,
    pub(super) close_text: Patterns,
    pub(super) body: Body,
    /// Tokens that may not come in the free part of an answer: those that would begin a call there without
    /// the grammar.
    pub(super) barred: Vec<u32>,
}

struct Running {
    answer: Arc<AnswerConstraint>,
    phase: Phase,
}

enum Phase {
    /// Nothing but white space has come; reasoning may begin with the token.
    Undecided { opens: u32 },
    /// In the reasoning; anything may come.
    Thinking(TextMatcher),
    /// After the reasoning; so many tokens of line breaks may come.
    Between { breaks: u8 },
    /// In the free part of an answer.
    Free,
    /// Within the grammar.
    Within(Box<Matcher>),
}

impl ConstraintSource for AnswerConstraint {
    fn start(&self) -> Box<dyn TokenConstraint> {
        let answer = Arc::new(self.clone());
        let phase = match self.reasoning {
            Reasoning::None => self.body.begin(),
            Reasoning::MayOpen(opens) => Phase::Undecided { opens },
            Reasoning::Open => Phase::Thinking(TextMatcher::new(self.close_text.clone())),
        };
        Box::new(Running { answer, phase })
    }
}

impl Body {
    fn begin(&self) -> Phase {
        match self {
            Self::Whole(grammar) => Phase::Within(Box::new(grammar.start())),
            Self::After(..) => Phase::Free,
        }
    }
}

impl TokenConstraint for Running {
    fn allow(&mut self, mask: &mut TokenMask) -> Result<Allowed, ConstraintError> {
        let breaks = match &mut self.phase {
            Phase::Free => return Ok(self.answer.in_free(mask)),
            Phase::Thinking(_) => return Ok(self.answer.in_reasoning(mask)),
            Phase::Within(matcher) => return mark(matcher, mask),
            Phase::Undecided { opens } => {
                mask.add(*opens);
                0
            }
            Phase::Between { breaks } => *breaks,
        };
        // The answer may begin now.
        let Phase::Within(mut matcher) = self.answer.body.begin() else {
            return Ok(self.answer.in_free(mask));
        };
        if breaks > 0 {
            self.answer.vocabulary.line_breaks().for_each(|id| mask.add(id));
        }
        mark(&mut matcher, mask)
    }

    fn accept(&mut self, id: u32) -> Result<Progress, ConstraintError> {
        match &mut self.phase {
            Phase::Thinking(matcher) => {
                if self.answer.is_closed_by(id, matcher)? {
                    self.phase = Phase::Between { breaks: MOST_BREAKS };
                }
                Ok(Progress::Open)
            }
            Phase::Undecided { opens } if *opens == id => {
                self.phase = Phase::Thinking(TextMatcher::new(self.answer.close_text.clone()));
                Ok(Progress::Open)
            }
            Phase::Undecided { .. } if self.answer.leaves_open(id) => Ok(Progress::Open),
            Phase::Between { breaks: breaks @ 1.. } if self.answer.vocabulary.is_line_break(id) => {
                *breaks -= 1;
                Ok(Progress::Open)
            }
            Phase::Undecided { .. } | Phase::Between { .. } => {
                self.phase = self.answer.body.begin();
                self.accept_in_body(id)
            }
            Phase::Free | Phase::Within(_) => self.accept_in_body(id),
        }
    }
}

impl Running {
    fn accept_in_body(&mut self, id: u32) -> Result<Progress, ConstraintError> {
        match (&mut self.phase, &self.answer.body) {
            (Phase::Free, Body::After(opens, grammar)) if *opens == id => {
                self.phase = Phase::Within(Box::new(grammar.start()));
                Ok(Progress::Open)
            }
            (Phase::Within(matcher), body) => {
                matcher.consume_token(id).map_err(|_| cannot_go_on(matcher))?;
                let is_complete = matcher.is_stopped();
                match body {
                    Body::Whole(_) if is_complete => Ok(Progress::Complete),
                    Body::After(..) if is_complete => {
                        self.phase = Phase::Free;
                        Ok(Progress::Open)
                    }
                    Body::Whole(_) | Body::After(..) => Ok(Progress::Open),
                }
            }
            _ => Ok(Progress::Open),
        }
    }
}

impl AnswerConstraint {
    fn in_free(&self, mask: &mut TokenMask) -> Allowed {
        if self.barred.is_empty() {
            return Allowed::All;
        }
        mask.add_all();
        for id in &self.barred {
            mask.remove(*id);
        }
        Allowed::Marked
    }

    /// Reasoning is free, but an answer that must have a form does not end with it.
    fn in_reasoning(&self, mask: &mut TokenMask) -> Allowed {
        match self.body {
            Body::After(..) => Allowed::All,
            Body::Whole(_) => {
                mask.add_all();
                self.stop_tokens.iter().for_each(|id| mask.remove(*id));
                Allowed::Marked
            }
        }
    }

    /// Whether reasoning may still begin after this token: white space, before an answer that is free.
    fn leaves_open(&self, id: u32) -> bool {
        matches!(self.body, Body::After(..)) && self.vocabulary.bytes(id).trim_ascii().is_empty()
    }

    /// Whether this token of the reasoning closes it.
    fn is_closed_by(&self, id: u32, matcher: &mut TextMatcher) -> Result<bool, ConstraintError> {
        if let Some(closes) = self.closes {
            return Ok(closes == id);
        }
        let bytes = self.vocabulary.bytes(id);
        let mut found: Option<usize> = None;
        for (index, byte) in bytes.iter().enumerate() {
            let met: Option<Match> = matcher.push(*byte);
            found = found.or(met.map(|_| index + 1));
        }
        match found {
            None => Ok(false),
            Some(end) if bytes[end..].iter().all(|byte| matches!(byte, b'\n' | b'\r')) => Ok(true),
            Some(_) => Err(ConstraintError(
                "the model ended its reasoning and began its answer within one token".to_owned(),
            )),
        }
    }
}

/// Marks what the grammar allows next.
fn mark(matcher: &mut Matcher, mask: &mut TokenMask) -> Result<Allowed, ConstraintError> {
    let allowed = matcher.compute_mask_or_eos().map_err(|_| cannot_go_on(matcher))?;
    mask.add_words(allowed.as_slice().iter().copied());
    if mask.is_empty() {
        return Err(cannot_go_on(matcher));
    }
    Ok(Allowed::Marked)
}

/// What the library says is not told: it may quote the answer.
fn cannot_go_on(matcher: &Matcher) -> ConstraintError {
    // A matcher that has failed knows its own error alone, whose text begins with where it arose.
    let is_too_much = matcher
        .get_error()
        .is_some_and(|error| error.contains("lexer error:") || error.contains("parser error:"));
    ConstraintError(
        if is_too_much {
            "the form that the answer must have takes too much work to follow"
        } else {
            "the model's tokens cannot go on within the form that the answer must have"
        }
        .to_owned(),
    )
}
