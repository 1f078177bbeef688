//! What an engine may refuse or fail with. One mapping to the wire stands in `silica-api`.

use std::fmt;
use std::time::Duration;

use silica_types::TokenCount;

/// A part of a request that a model may not be able to serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// `response_format` other than text.
    JsonMode,
    /// Tool definitions.
    Tools,
    /// A `tool_choice` that makes the model call a tool.
    ForcedCalls,
    /// Tools with `strict`: arguments that follow the schema exactly.
    StrictTools,
    /// `prefix` without `suffix`.
    Prefix,
    /// `suffix`.
    FillInMiddle,
    /// `enable_thinking`.
    Thinking,
    /// `thinking_budget`.
    ThinkingBudget,
    /// Image, audio or video parts.
    Vision,
}

impl fmt::Display for Feature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::JsonMode => "JSON mode",
            Self::Tools => "function calling",
            Self::ForcedCalls => "forced function calls",
            Self::StrictTools => "strict function calling",
            Self::Prefix => "prefix continuation",
            Self::FillInMiddle => "fill in the middle",
            Self::Thinking => "thinking control",
            Self::ThinkingBudget => "a thinking budget",
            Self::Vision => "image input",
        })
    }
}

/// Why an engine did not answer, or stopped answering.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The prompt leaves no room for an answer.
    #[error("length of prompt_tokens ({prompt}) must be less than max_seq_len ({limit})")]
    ContextExceeded {
        /// Tokens of the rendered prompt.
        prompt: TokenCount,
        /// The model's context length in tokens.
        limit: TokenCount,
    },
    /// The model cannot serve this part of the request.
    #[error("the model does not support {0}")]
    Unsupported(Feature),
    /// The request is not valid for this model; the text is fit for the client.
    #[error("{0}")]
    InvalidRequest(String),
    /// What the request wants of the answer's form cannot be kept: its schema cannot be compiled, or takes
    /// too much work. The reason is fit for the client.
    #[error("{reason}")]
    Unconstrainable {
        /// What was wanted.
        feature: Feature,
        /// Why it cannot be.
        reason: String,
    },
    /// A parameter has a value that this model does not take, or is not one of this model's.
    #[error("the parameter {0} is not valid for the model")]
    InvalidParameter(&'static str),
    /// The waiting queue is full, or the wait for a turn was too long; nothing was started.
    #[error("the engine is too busy")]
    QueueFull,
    /// The engine elsewhere has a limit of its own, and it is reached.
    #[error("the engine limits its calls")]
    RateLimited {
        /// When it will take calls again, if it said so.
        retry_after: Option<Duration>,
    },
    /// The engine is not running (any more).
    #[error("the engine is not running")]
    Unavailable,
    /// The engine said nothing for too long.
    #[error("the engine did not answer in time")]
    TimedOut(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The answer in one piece is longer than any to such a request may be. That says nothing about the
    /// engine: what is asked for can make every engine answer so.
    #[error("the answer is longer than {most} bytes")]
    AnswerTooLong {
        /// The most bytes.
        most: usize,
    },
    /// The engine failed while it worked on this request.
    #[error("the engine failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl EngineError {
    /// Whether another engine may well answer the same request: this one failed, is gone or busy.
    pub const fn is_of_the_engine(&self) -> bool {
        match self {
            Self::QueueFull
            | Self::RateLimited { .. }
            | Self::Unavailable
            | Self::TimedOut(_)
            | Self::Failed(_) => true,
            Self::ContextExceeded { .. }
            | Self::Unsupported(_)
            | Self::InvalidRequest(_)
            | Self::Unconstrainable { .. }
            | Self::InvalidParameter(_)
            | Self::AnswerTooLong { .. } => false,
        }
    }

    /// Wraps a failure inside the engine.
    pub fn failed(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Failed(source.into())
    }
}
