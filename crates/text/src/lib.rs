//! Token-level engine to chat engine: templates, stop texts, reasoning, tools, prefix and FIM; texts for
//! models that embed and rank.
//!
//! [`TextEngine`] lifts any [`silica_engine::TokenEngine`] to a [`silica_engine::ChatEngine`],
//! once, for every embedded engine. The way of a request:
//! - `prompt`: messages -> chat template -> text -> token ids (off the async threads when long);
//! - `grammar`: what keeps the answer within its form (JSON, calls), token by token;
//! - the token engine generates, one sequence per choice;
//! - `answer`: token ids -> text -> reasoning, tool calls and visible text -> deltas, a chain of
//!   pure state machines; `stream` drives it and merges the choices.
//!
//! [`TextEmbedder`] and [`TextRanker`] do the same for models that answer in one piece, on top of any
//! [`silica_engine::EncodeEngine`] (`encode`).
//!
//! Owns no model weights, no HTTP and no threads of its own.

mod answer;
mod calls;
mod encode;
mod engine;
mod error;
mod files;
mod folder;
mod grammar;
mod inspect;
mod model;
mod prompt;
mod size;
mod stream;
mod template;
#[cfg(test)]
mod testing;
mod vocabulary;

pub use encode::{TextEmbedder, TextRanker, inspect_reader};
pub use engine::TextEngine;
pub use error::{TextError, UnsupportedDecoder};
pub use files::TextFiles;
pub use inspect::{TextSummary, inspect};
