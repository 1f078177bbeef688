//! What keeps an answer within its form: grammars over the model's tokens.
//!
//! - `schema`: a client's JSON schema, bounded, as the grammar library reads it; `rewrite`: what it means, in
//!   the library's words;
//! - `calls`: the grammar of tool calls in the model's own syntax;
//! - `library`: the tokenizer's tokens as the library knows them, compiled grammars and their cache;
//! - `plan`: which grammar a request needs;
//! - `constraint`: the state of one sequence, which the engine asks before each token.
//!
//! The library is llguidance: an Earley parser over lexemes that are derivatives of regular expressions,
//! and masks computed along the trie of all tokens.

mod calls;
mod constraint;
mod library;
mod plan;
mod rewrite;
mod schema;

pub(crate) use constraint::Reasoning;
pub(crate) use library::Grammars;
pub(crate) use plan::{Asked, plan};
