//! The message-level port: all that the gateway knows of a text model.

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;
use silica_types::{AccountId, Image, MediaParts, TokenCount, UsageSource};

use crate::{EngineError, Feature, ImageTokens, Priority, Sampling, Spent, Usage, WireRequest};

/// Answers chats.
#[async_trait]
pub trait ChatEngine: Send + Sync {
    /// Checks a request and builds its prompt, so that what it may cost is known before it runs.
    /// Nothing is queued and no place is taken. Dropping the future cancels it.
    ///
    /// # Errors
    /// Whatever is wrong with the request itself.
    async fn prepare(&self, request: Arc<ChatRequest>) -> Result<Box<dyn PreparedChat>, EngineError>;

    /// Starts an answer at once: [`ChatEngine::prepare`], then [`PreparedChat::start`].
    ///
    /// # Errors
    /// As both.
    async fn chat(&self, request: ChatRequest) -> Result<ChatStream, EngineError> {
        self.prepare(Arc::new(request)).await?.start().await
    }
}

/// A request whose prompt is built and whose size is known. Dropping it leaves nothing behind.
#[async_trait]
pub trait PreparedChat: Send {
    /// The tokens of the rendered prompt; an estimate where the engine cannot count
    /// ([`PreparedChat::prompt_source`]).
    fn prompt_tokens(&self) -> TokenCount;

    /// The most tokens that the prompt can be: what its price is reserved by. An engine that counts
    /// exactly has nothing to add.
    fn prompt_limit(&self) -> TokenCount {
        self.prompt_tokens()
    }

    /// The most tokens that all choices together may generate.
    fn completion_limit(&self) -> TokenCount;

    /// How [`PreparedChat::prompt_tokens`] was counted.
    fn prompt_source(&self) -> UsageSource;

    /// Where it is told what the call costs if it is given up before its first event; `None` when that is
    /// nothing.
    fn spent(&self) -> Option<Spent> {
        None
    }

    /// Starts the answer. Dropping the future or the stream cancels it.
    ///
    /// # Errors
    /// Anything that is known before the first token; later faults come through the stream, once,
    /// as its last item.
    async fn start(self: Box<Self>) -> Result<ChatStream, EngineError>;
}

/// The events of one answer: `Started`, then deltas of all choices interleaved, one `Finished` per
/// choice. A stream that ends earlier was cut and must not be presented as complete.
pub type ChatStream = Pin<Box<dyn Stream<Item = Result<ChatEvent, EngineError>> + Send>>;

/// One chat to answer, validated and with defaults filled in.
#[derive(Debug, Clone)]
pub struct ChatRequest {
    /// The conversation, at least one message (an empty one for plain prefix or FIM requests).
    pub messages: Vec<Message>,
    /// Tools that the model may call.
    pub tools: Vec<Tool>,
    /// Whether it may or must call one.
    pub tool_choice: ToolChoice,
    /// Whether it may make several calls in one answer.
    pub parallel_calls: bool,
    /// The form that the visible answer must have.
    pub form: AnswerForm,
    /// Text the answer continues, if any.
    pub continuation: Continuation,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// The most tokens per choice, at least 1.
    pub max_tokens: TokenCount,
    /// Texts that end an answer and are not part of it (0 to 4, none empty).
    pub stop: Vec<String>,
    /// The number of choices, at least 1.
    pub choices: u32,
    /// Report log-probabilities with this many alternatives (0 to 20).
    pub logprobs: Option<u8>,
    /// Whether the model thinks first.
    pub thinking: Thinking,
    /// What the request asks for beyond plain text that not every engine can do, whether the fields above
    /// express it or not. An engine that does not forward the request as it came refuses those that
    /// it cannot do.
    pub demands: Vec<Feature>,
    /// How soon its turn comes when others wait too.
    pub priority: Priority,
    /// Whose request it is. What an engine keeps of one account's requests serves no other's.
    pub account: Option<AccountId>,
    /// What its images take, if the rule of the model is known.
    pub image_tokens: Option<ImageTokens>,
    /// The request as it came, if it came in OpenAI's dialect.
    pub wire: Option<WireRequest>,
}

impl ChatRequest {
    /// What the messages have beside texts. Of images that the messages hold, the bytes are not told:
    /// they are none of the text's.
    pub fn media(&self) -> MediaParts {
        if let Some(wire) = &self.wire {
            return wire.media;
        }
        let images: usize = self.messages.iter().map(|message| message.images.len()).sum();
        MediaParts {
            images: u32::try_from(images).unwrap_or(u32::MAX),
            ..MediaParts::default()
        }
    }
}

/// One message of the conversation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Message {
    /// Who said it.
    pub role: Role,
    /// Its text; text parts are already joined.
    pub content: String,
    /// The images that stand in the text, in their order. A request that is forwarded as it came has
    /// them in its own words only.
    pub images: Vec<Image>,
    /// Earlier reasoning; templates keep it only on turns that carry tool calls.
    pub reasoning: Option<String>,
    /// Calls the assistant made in this turn.
    pub tool_calls: Vec<ToolCall>,
    /// For role tool: the call this is the result of.
    pub tool_call_id: Option<String>,
    /// A participant's name, if given.
    pub name: Option<String>,
}

/// Who said a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Role {
    /// Instructions.
    System,
    /// The person.
    #[default]
    User,
    /// The model.
    Assistant,
    /// The result of a tool call.
    Tool,
}

impl Role {
    /// The name that chat templates use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// A function the model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// 1 to 64 of `A-Za-z0-9_-`.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// JSON Schema of its arguments; `None` takes no arguments.
    pub parameters: Option<serde_json::Value>,
    /// Whether its arguments must follow the schema exactly whenever it is called.
    pub strict: bool,
}

/// A call that the model made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// The call's id.
    pub id: String,
    /// The function's name.
    pub name: String,
    /// Its arguments as JSON text, as the model wrote it.
    pub arguments: String,
}

/// The form that the visible answer must have, whatever the model would write. Reasoning before it is
/// free.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum AnswerForm {
    /// Any text.
    #[default]
    Text,
    /// One JSON object.
    JsonObject,
    /// One JSON value that follows this schema.
    JsonSchema(Arc<serde_json::Value>),
}

/// Whether tools may be called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// The model decides.
    #[default]
    Auto,
    /// Tools are not shown to the model.
    None,
    /// It must call at least one, and says nothing else.
    Required,
    /// It must call this one, once, and says nothing else.
    Named(String),
}

impl ToolChoice {
    /// Whether the model sees the tools.
    pub const fn shows_tools(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Whether it must call one.
    pub const fn forces_call(&self) -> bool {
        matches!(self, Self::Required | Self::Named(_))
    }
}

/// Text that the answer continues.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Continuation {
    /// A fresh answer.
    #[default]
    None,
    /// The answer goes on after this text, which is all that the model sees: no template, no
    /// messages.
    Text(String),
    /// The answer goes on after this text, which is not repeated in it.
    Prefix(String),
    /// The answer is what stands between the two texts.
    FillInMiddle {
        /// The text before the gap.
        prefix: String,
        /// The text after the gap.
        suffix: String,
    },
}

/// Whether the model thinks before it answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Thinking {
    /// `enable_thinking`; `None` leaves it to the model's template.
    pub enabled: Option<bool>,
    /// `thinking_budget`: the most reasoning tokens; then the block is closed by force and the
    /// model answers. `None` leaves the length to the model.
    pub budget: Option<TokenCount>,
}

/// One step of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatEvent {
    /// What the call has consumed so far, over all choices.
    pub usage: Usage,
    /// What happened.
    pub kind: ChatEventKind,
}

/// What happened in one step.
#[derive(Debug, Clone, PartialEq)]
pub enum ChatEventKind {
    /// The prompt is computed; the first event.
    Started,
    /// More of one choice.
    Delta {
        /// Which choice, from 0.
        choice: u32,
        /// What is added to it.
        delta: Delta,
    },
    /// A choice is complete.
    Finished {
        /// Which choice, from 0.
        choice: u32,
        /// Why it ended.
        reason: FinishReason,
        /// The stop text that ended it; `None` as well where the engine does not tell.
        stop: Option<String>,
    },
    /// A part of the answer as the engine wrote it, fit for the client; answers to requests that
    /// were forwarded as they came consist of nothing else.
    Forwarded {
        /// Whole event frames (`data: ...` with the empty line), without the mark of the end; or,
        /// of an answer that is no stream, its JSON object.
        bytes: Bytes,
        /// Whether there is text of the answer in it.
        has_text: bool,
        /// Why the last choice ended; nothing follows then.
        end: Option<FinishReason>,
    },
}

/// What one step adds to a choice.
#[derive(Debug, Clone, PartialEq)]
pub enum Delta {
    /// Answer text (never empty), with log-probabilities if asked for.
    Content {
        /// The text.
        text: String,
        /// One entry per token that the text comes from.
        logprobs: Vec<TextLogprob>,
    },
    /// Reasoning text (never empty).
    Reasoning {
        /// The text.
        text: String,
    },
    /// A tool call begins.
    ToolCallStarted {
        /// Its position among the calls of this choice, from 0.
        index: u32,
        /// Its id, 32 hexadecimal digits.
        id: String,
        /// The function's name.
        name: String,
    },
    /// More of a tool call's arguments.
    ToolCallArguments {
        /// Which call.
        index: u32,
        /// JSON text to append.
        fragment: String,
    },
}

/// Why a choice ended (contract section 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The model ended its turn, or a stop text was met.
    Stop,
    /// `max_tokens` or the end of the context.
    Length,
    /// The model called tools.
    ToolCalls,
}

/// The log-probability of one generated token, with its text.
#[derive(Debug, Clone, PartialEq)]
pub struct TextLogprob {
    /// The token and its log-probability.
    pub token: TopLogprob,
    /// The most likely tokens at this position, most likely first.
    pub top: Vec<TopLogprob>,
}

/// A token's text and log-probability (natural logarithm).
#[derive(Debug, Clone, PartialEq)]
pub struct TopLogprob {
    /// The token's text; bytes that are no whole character show as U+FFFD.
    pub text: String,
    /// The token's bytes.
    pub bytes: Vec<u8>,
    /// Its log-probability, at most 0.
    pub logprob: f32,
}
