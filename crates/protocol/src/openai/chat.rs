//! `POST /chat/completions` (contract section 3).

mod chunk;
mod completion;
pub(crate) mod message;
mod request;
mod schema;
pub(crate) mod tool;

pub use chunk::{
    Chunk, ChunkChoice, ChunkDelta, FunctionDelta, StreamError, StreamErrorDetail, ToolCallDelta,
};
pub use completion::{
    AssistantMessage, ChatCompletion, Choice, ChoiceLogprobs, CompletionTokensDetails, FinishReason,
    FunctionCall, PromptTokensDetails, TokenLogprob, ToolCall, TopLogprob, Usage,
};
pub use message::{ChatMessage, Role};
pub use request::ChatCompletionRequest;
pub use schema::{ChatCompletionRequestSchema, StopSchema, StreamOptionsSchema};
pub use tool::{ToolChoice, ToolDefinition};

pub use crate::parameters::{ResponseFormat, TopK};
