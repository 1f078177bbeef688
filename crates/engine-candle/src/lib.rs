//! Embedded text engine on candle: decoder families, caches, sampler and the engine thread; encoders.
//!
//! - [`CandleEngine`] is the engine: it loads a model folder or a GGUF file and implements
//!   [`silica_engine::TokenEngine`] with its own threads, a bounded queue and many sequences in
//!   flight. It knows token ids only; templates and text are the business of `silica-text`.
//! - [`Decoder`] is the model below it: all families ([`Family`]) in one forward pass, told apart by
//!   their configuration. It takes a batch of [`Span`]s of any lengths, prompts and single tokens
//!   mixed, and reads the weights once for all of them.
//!
//! - [`CandleEncoder`] is the engine of models that embed and rank (BERT, XLM-RoBERTa, Qwen3): it
//!   implements [`silica_engine::EncodeEngine`] (`encode.rs`).
//!
//! Keys and values lie in blocks of 16 positions that sequences with the same beginning share
//! (`text/cache`). Each step of the engine's loop (`engine/worker.rs`) computes the next token of
//! every sequence that is generating and a bounded part of the prompts that wait
//! (`engine/schedule.rs`). A sequence that repeats itself drafts tokens (`engine/speculation.rs`).
//!
//! On the CPU the costly operations (products, attention, gating) are our own, because candle's
//! take all cores of the machine; everything runs on the threads of the engine's own pool. With
//! the cargo feature `cuda` the same model runs on `cuda:0` out of candle's operations.
//!
//! What it computes is compared with the reference implementation in `tests/parity.rs`.

#[doc(hidden)]
pub mod bench;
mod encode;
mod engine;
mod error;
mod gguf;
mod inspect;
mod kernels;
mod memory;
mod options;
mod text;

pub use encode::{Activation, CandleEncoder, EncoderConfig, EncoderFamily, ModelKind};
pub use engine::{AdaptedEngine, CandleEngine};
pub use error::{HeaderError, LoadError};
pub use gguf::{GGUF_WEIGHTS, GgufError, GgufModel};
pub use inspect::{FolderSummary, ModelShape, inspect};
pub use options::{CandleOptions, Dtype, Precision, Quantization, Speculation};
pub use text::cache::{KvCache, KvView};
pub use text::config::{
    AttentionScores, Biases, ExpertGroups, Family, Fp8Blocks, GateFunction, MlaConfig, ModelConfig,
    MoeConfig, Norms, RopeConfig, RopeScaling, RotaryPairs, RouterScores, RoutingConfig, SharedExpert,
    TensorLayout, YarnScaling,
};
pub use text::decoder::{Decoder, LogitsOf, Span};
pub use text::lora::Adapter;
