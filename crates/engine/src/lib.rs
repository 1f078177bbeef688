//! The ports between the gateway and whatever computes an answer.
//!
//! Two levels of text generation (ARCHITECTURE.md, "Engines"), and the same two for models that answer
//! in one piece:
//! - [`ChatEngine`]: messages in, text events out. All that the gateway knows.
//! - [`TokenEngine`]: token ids in, token ids out. Embedded engines implement it; the crate
//!   `silica-text` lifts it to a [`ChatEngine`] with templates, stop texts, reasoning and tools.
//! - [`EmbedEngine`] and [`RerankEngine`]: texts in, vectors or an order out.
//! - [`EncodeEngine`]: token ids in, numbers out; `silica-text` lifts it to either of them.
//!
//! Beside them stands [`Moderator`], which judges the texts that go in and come out.
//!
//! All are cancelled by dropping what they returned. This crate owns no tokenizer, no
//! HTTP and no tensor.

mod chat;
mod constraint;
mod encode;
mod engines;
mod error;
mod moderation;
mod sampling;
#[cfg(feature = "scripted")]
pub mod scripted;
mod spent;
mod token;
mod usage;
mod vision;
mod whole;
mod wire;

pub use chat::{
    AnswerForm, ChatEngine, ChatEvent, ChatEventKind, ChatRequest, ChatStream, Continuation, Delta,
    FinishReason, Message, PreparedChat, Role, TextLogprob, Thinking, Tool, ToolCall, ToolChoice, TopLogprob,
};
pub use constraint::{Allowed, ConstraintError, ConstraintSource, Progress, TokenConstraint, TokenMask};
pub use encode::{
    Choice, EncodeEngine, EncodeRequest, EncodeSink, Encoded, Encoding, Says, TokenSequence, VectorShape,
};
pub use engines::{Engines, HealthProbe};
pub use error::{EngineError, Feature};
pub use moderation::{Judgement, Judgements, ModerationError, ModerationRequest, Moderator};
pub use sampling::Sampling;
pub use spent::Spent;
pub use token::{
    GenerateEvent, GenerateRequest, GenerateSink, GenerateStream, Priority, SpanLimit, StopCause,
    TokenEngine, TokenLogprob,
};
pub use usage::Usage;
pub use vision::ImageTokens;
pub use whole::{
    EmbedEngine, EmbedRequest, Embeddings, PreparedWhole, RankedDocument, Ranking, RerankEngine,
    RerankRequest, WholeAnswer, WholeContent,
};
pub use wire::{UnreadableBody, WireImage, WireRequest, WireRoute};
