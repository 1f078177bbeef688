//! The `OpenAPI` document of the public API.

use silica_protocol::ErrorBody;
use silica_protocol::anthropic::AnthropicError;
use silica_protocol::anthropic::messages::{
    Message, MessageEvent, MessagesRequestSchema, TokenCount, TokenCountRequestSchema,
};
use silica_protocol::openai::chat::{ChatCompletion, ChatCompletionRequestSchema, Chunk};
use silica_protocol::openai::completions::{Completion, CompletionChunk, CompletionRequestSchema};
use silica_protocol::openai::embeddings::{EmbeddingList, EmbeddingRequestSchema};
use silica_protocol::openai::moderations::{Moderation, ModerationRequestSchema, ModerationResult};
use silica_protocol::openai::responses::{NumberedEvent, Response, ResponsesRequestSchema};
use silica_protocol::openai::{Model, ModelList};
use silica_protocol::silicon::estimate::{Estimate, EstimateRequestSchema};
use silica_protocol::silicon::rerank::{Rerank, RerankRequestSchema};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Silica",
        description = "An open, self-hosted model platform. Clients of OpenAI and of SiliconFlow work by changing the base URL.",
    ),
    paths(
        crate::chat::create_chat_completion,
        crate::completions::create_completion,
        crate::messages::create_message,
        crate::messages::count::count_message_tokens,
        crate::responses::create_response,
        crate::embeddings::create_embedding,
        crate::rerank::create_rerank,
        crate::moderations::create_moderation,
        crate::estimate::create_estimate,
        crate::models::list_models,
        crate::models::get_model,
        crate::user::info::get_user_info,
        crate::user::bills::get_user_bills,
    ),
    components(schemas(
        ChatCompletionRequestSchema, ChatCompletion, Chunk<'static>,
        CompletionRequestSchema, Completion, CompletionChunk<'static>,
        ResponsesRequestSchema, Response<'static>, NumberedEvent<'static>,
        MessagesRequestSchema, Message, MessageEvent<'static>, AnthropicError,
        TokenCountRequestSchema, TokenCount,
        EmbeddingRequestSchema, EmbeddingList, RerankRequestSchema, Rerank,
        ModerationRequestSchema, Moderation, ModerationResult,
        EstimateRequestSchema, Estimate,
        ModelList, Model, ErrorBody,
    )),
    tags(
        (name = "chat", description = "Conversations and texts"),
        (name = "embeddings", description = "Texts as vectors"),
        (name = "rerank", description = "Order of documents"),
        (name = "moderations", description = "Judgements of texts"),
        (name = "models", description = "The catalogue"),
        (name = "user", description = "The caller's own account"),
    ),
    modifiers(&BearerKey),
)]
struct Document;

/// Returns the document that `/openapi.json` serves.
pub fn openapi() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// Every endpoint takes the caller's key as a bearer token, and one in a header of its own as well.
struct BearerKey;

impl Modify for BearerKey {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("An API key: sk-..."))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
        let header = ApiKeyValue::with_description("x-api-key", "The same, where Anthropic's clients put it");
        components.add_security_scheme("x_api_key", SecurityScheme::ApiKey(ApiKey::Header(header)));
    }
}
