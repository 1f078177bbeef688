//! `POST /chat/completions` (contract section 3).

mod chunk;
mod completion;
mod message;
mod parameters;
mod request;
mod schema;
mod tool;

pub use chunk::{
    Chunk, ChunkChoice, ChunkDelta, FunctionDelta, StreamError, StreamErrorDetail, ToolCallDelta,
};
pub use completion::{
    AssistantMessage, ChatCompletion, Choice, ChoiceLogprobs, CompletionTokensDetails, FinishReason,
    FunctionCall, PromptTokensDetails, TokenLogprob, ToolCall, TopLogprob, Usage,
};
pub use message::{ChatMessage, Role};
pub use parameters::{ResponseFormat, TopK};
pub use request::ChatCompletionRequest;
pub use schema::ChatCompletionRequestSchema;
pub use tool::{ToolChoice, ToolDefinition};
