//! Requests and answers that pass through as they came.
//!
//! Of a request only the model's name, a missing `max_tokens` and `stream_options.include_usage` are
//! written; of an answer `id`, `model` and `usage`. All other bytes stay what they are, so fields that
//! nobody here knows survive. Answers are read only as far as usage, ends and faults need it.

mod answer;
mod body;
mod choice;
mod edit;
mod frame;
mod frames;
mod measure;
mod request;
mod template;

pub(crate) use answer::Answered;
pub(crate) use body::Pieces;
pub(crate) use frame::Identity;
pub(crate) use frames::Forwarding;
pub(crate) use request::{Changes, forwarded_body};
