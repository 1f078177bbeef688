//! Models that read a text and say one thing about it: vectors for embeddings, scores for rerank.
//!
//! - `kind` tells from a folder's files what its model is for;
//! - `encoder` is the bidirectional model (BERT, XLM-RoBERTa), `reader` what is made of its last layer, or
//!   of a decoder's;
//! - `engine` is the engine around it: a queue, and passes over the sequences of many requests.

mod config;
mod encoder;
mod engine;
mod kind;
mod layer;
mod modules;
mod operations;
mod queue;
mod reader;
mod worker;

pub use config::{Activation, EncoderConfig, EncoderFamily};
pub use engine::CandleEncoder;
pub use kind::ModelKind;
pub(crate) use kind::is_decoder;
pub(crate) use modules::longest_text;

#[cfg(test)]
mod tests;
