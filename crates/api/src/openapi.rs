//! The `OpenAPI` document of the public API.

use silica_protocol::ErrorBody;
use silica_protocol::openai::chat::{ChatCompletion, ChatCompletionRequestSchema, Chunk};
use silica_protocol::openai::{Model, ModelList};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Silica",
        description = "An open, self-hosted model platform. Clients of OpenAI and of SiliconFlow work by changing the base URL.",
    ),
    paths(
        crate::chat::create_chat_completion,
        crate::models::list_models,
        crate::models::get_model,
        crate::user::info::get_user_info,
        crate::user::bills::get_user_bills,
    ),
    components(schemas(ChatCompletionRequestSchema, ChatCompletion, Chunk<'static>, ModelList, Model, ErrorBody)),
    tags(
        (name = "chat", description = "Conversations"),
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

/// Every endpoint takes the caller's key as a bearer token.
struct BearerKey;

impl Modify for BearerKey {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("An API key: sk-..."))
            .build();
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}
