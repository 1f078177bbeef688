//! What a call asks for, and in which form.

use silica_platform::SubType;

/// The route that a call came by, without its version: `/v1/chat/completions` and
/// `/chat/completions` are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallKind {
    /// A chat in the form of OpenAI.
    Chat,
    /// The continuation of a text.
    Completion,
    /// Vectors of texts.
    Embedding,
    /// An order of documents.
    Rerank,
    /// A chat in the form of Anthropic.
    Message,
    /// A chat in the form of OpenAI's Responses API.
    Response,
    /// The size of a prompt; nothing is generated.
    TokenCount,
    /// What a chat would cost, in whatever form; nothing is generated.
    ChatEstimate,
    /// What vectors would cost.
    EmbeddingEstimate,
    /// What an order of documents would cost.
    RerankEstimate,
}

impl CallKind {
    /// How many there are.
    pub(crate) const COUNT: usize = Self::RerankEstimate as usize + 1;

    /// The route's name in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completion => "completions",
            Self::Embedding => "embeddings",
            Self::Rerank => "rerank",
            Self::Message => "messages",
            Self::Response => "responses",
            Self::TokenCount => "count_tokens",
            Self::ChatEstimate | Self::EmbeddingEstimate | Self::RerankEstimate => "estimate",
        }
    }

    /// The kind of model that can answer.
    pub const fn sub_type(self) -> SubType {
        match self {
            Self::Chat
            | Self::Completion
            | Self::Message
            | Self::Response
            | Self::TokenCount
            | Self::ChatEstimate => SubType::Chat,
            Self::Embedding | Self::EmbeddingEstimate => SubType::Embedding,
            Self::Rerank | Self::RerankEstimate => SubType::Reranker,
        }
    }

    /// What the semantic conventions for generative AI call it.
    pub(crate) const fn operation(self) -> &'static str {
        match self {
            Self::Chat | Self::Message | Self::Response => "chat",
            Self::Completion => "text_completion",
            Self::Embedding => "embeddings",
            Self::Rerank => "rerank",
            Self::TokenCount => "count_tokens",
            Self::ChatEstimate | Self::EmbeddingEstimate | Self::RerankEstimate => "estimate",
        }
    }
}
