//! Embedded text engine on candle: decoder families, caches, sampler and the engine thread.

mod engine;
mod error;
mod options;
mod text;

pub use engine::CandleEngine;
pub use error::{HeaderError, LoadError};
pub use options::{CandleOptions, Dtype};
pub use text::cache::KvCache;
pub use text::config::{Biases, Family, ModelConfig, RopeConfig, RopeScaling, YarnScaling};
pub use text::decoder::{Decoder, LogitsOf, Span};
