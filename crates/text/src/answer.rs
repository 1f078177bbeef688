//! Token ids to deltas of one choice: a chain of small state machines without async or I/O.
//!
//! detokenizer -> markers -> think -> tools -> stop. Stop texts come last, so they apply to the
//! visible answer only: neither reasoning nor the text of a tool call can end an answer.
//! What each machine emits does not depend on how the text was cut into tokens.

mod choice;
mod detokenizer;
mod fragment;
mod markers;
mod matcher;
mod stop;
mod think;
mod tool_call;
mod tools;

pub(crate) use choice::{Choice, ChoiceSettings, Progress};
pub(crate) use matcher::{Match, Matcher as TextMatcher, Patterns};
pub(crate) use think::Opening;
