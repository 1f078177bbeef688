//! Texts for models that answer in one piece: [`TextEmbedder`] and [`TextRanker`] lift any
//! [`silica_engine::EncodeEngine`] to an embedding or a ranking engine, once, for every embedded engine.
//!
//! - `tokens`: texts to token ids, with their limits, and what the tokenizer puts around them (`frame`);
//! - `embedder`: vectors, cut to the dimensions that were asked for;
//! - `ranker`: pairs of query and document, of long documents in pieces; `judge` for models that are asked
//!   in words.

mod embedder;
mod frame;
mod judge;
mod pieces;
mod ranker;
mod tokens;
mod work;

pub use embedder::TextEmbedder;
pub use ranker::TextRanker;
pub use tokens::inspect_reader;

#[cfg(test)]
mod tests;
