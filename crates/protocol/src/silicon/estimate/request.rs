//! The body of an estimate: a request of another endpoint.

use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::anthropic::messages::MessagesRequest;
use crate::openai::chat::ChatCompletionRequest;
use crate::openai::completions::CompletionRequest;
use crate::openai::embeddings::EmbeddingRequest;
use crate::openai::responses::ResponsesRequest;
use crate::reader::{Kind, Object, Path, string};
use crate::silicon::rerank::RerankRequest;
use crate::{ApiError, ForwardableBody, MemberSpans, RequestBody};

/// A request whose cost is asked for, read and checked as its own endpoint does.
#[derive(Debug)]
pub struct EstimateRequest {
    /// What is asked.
    pub asked: Asked,
    /// Its text.
    pub text: String,
}

/// A request of any endpoint that is billed; with the places of their guarded members those that may
/// be forwarded as they came.
#[derive(Debug)]
pub enum Asked {
    /// Something that the model writes.
    Answer(AskedAnswer),
    /// `/v1/embeddings`.
    Embedding(Box<EmbeddingRequest>, MemberSpans),
    /// `/v1/rerank`.
    Rerank(Box<RerankRequest>, MemberSpans),
}

/// A request for an answer, in any dialect.
#[derive(Debug)]
pub enum AskedAnswer {
    /// `/v1/chat/completions`.
    Chat(Box<ChatCompletionRequest>, MemberSpans),
    /// `/v1/completions`.
    Completion(Box<CompletionRequest>, MemberSpans),
    /// `/v1/messages`.
    Message(Box<MessagesRequest>),
    /// `/v1/responses`.
    Response(Box<ResponsesRequest>),
}

const KNOWN: &[&str] = &["endpoint", "request"];

/// What the error of an unknown endpoint says.
const ENDPOINTS: &str = "Input should be '/v1/chat/completions', '/v1/completions', '/v1/messages', '/v1/responses', '/v1/embeddings' or '/v1/rerank'";

impl Asked {
    /// The model's catalogue name.
    pub fn model(&self) -> &str {
        match self {
            Self::Answer(AskedAnswer::Chat(request, _)) => &request.model,
            Self::Answer(AskedAnswer::Completion(request, _)) => &request.model,
            Self::Answer(AskedAnswer::Message(request)) => &request.model,
            Self::Answer(AskedAnswer::Response(request)) => &request.model,
            Self::Embedding(request, _) => &request.model,
            Self::Rerank(request, _) => &request.model,
        }
    }

    /// The endpoint's path.
    pub const fn endpoint(&self) -> &'static str {
        match self {
            Self::Answer(AskedAnswer::Chat(..)) => "/v1/chat/completions",
            Self::Answer(AskedAnswer::Completion(..)) => "/v1/completions",
            Self::Answer(AskedAnswer::Message(_)) => "/v1/messages",
            Self::Answer(AskedAnswer::Response(_)) => "/v1/responses",
            Self::Embedding(..) => "/v1/embeddings",
            Self::Rerank(..) => "/v1/rerank",
        }
    }
}

impl RequestBody for EstimateRequest {
    fn from_json(text: &str) -> Result<Self, ApiError> {
        let body = Object::read(Path::Root, raw(text)?, KNOWN)?;
        let endpoint = body.required("endpoint", string)?;
        let request = body.required("request", |at, raw| match Kind::of(raw) {
            Kind::Object => Ok(raw.get()),
            _ => Err(at.fault("Input should be a valid dictionary")),
        })?;
        let asked = match endpoint.trim_start_matches('/').trim_start_matches("v1/") {
            "chat/completions" => Asked::Answer(forwardable(request, AskedAnswer::Chat)?),
            "completions" => Asked::Answer(forwardable(request, AskedAnswer::Completion)?),
            "messages" => Asked::Answer(AskedAnswer::Message(MessagesRequest::from_json(request)?.into())),
            "responses" => Asked::Answer(AskedAnswer::Response(
                ResponsesRequest::from_json(request)?.into(),
            )),
            "embeddings" => forwardable(request, Asked::Embedding)?,
            "rerank" => forwardable(request, Asked::Rerank)?,
            _ => return Err(body.path("endpoint").fault(ENDPOINTS)),
        };
        Ok(Self {
            asked,
            text: request.to_owned(),
        })
    }
}

fn raw(text: &str) -> Result<&RawValue, ApiError> {
    serde_json::from_str(text).map_err(|error| ApiError::invalid(error.to_string()))
}

fn forwardable<T: ForwardableBody, A>(
    text: &str,
    asked: fn(Box<T>, MemberSpans) -> A,
) -> Result<A, ApiError> {
    let (request, spans) = T::from_json_with_spans(text)?;
    Ok(asked(Box::new(request), spans))
}

/// A request whose cost is asked for.
#[derive(ToSchema)]
#[schema(as = EstimateRequest)]
pub struct EstimateRequestSchema {
    /// Where the request would go; `/v1` may be left out.
    #[schema(example = "/v1/chat/completions")]
    pub endpoint: String,
    /// The request itself.
    #[schema(value_type = Object)]
    pub request: serde_json::Value,
}

#[cfg(test)]
mod tests {
    use utoipa::PartialSchema as _;

    use super::*;

    #[test]
    fn a_request_is_read_as_its_own_endpoint_reads_it() {
        let chat = r#"{"model":"m","messages":[{"content":"a"}]}"#;
        for endpoint in ["/v1/chat/completions", "chat/completions"] {
            let read =
                EstimateRequest::from_json(&format!(r#"{{"endpoint":"{endpoint}","request": {chat} }}"#));
            let read = read.unwrap();
            assert_eq!(read.text, chat);
            assert!(
                matches!(read.asked, Asked::Answer(AskedAnswer::Chat(request, _)) if request.model == "m")
            );
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for (text, expected) in [
            ("[]", "valid dictionary"),
            (r#"{"request":{}}"#, "endpoint: Field required"),
            (r#"{"endpoint":"/v1/rerank"}"#, "request: Field required"),
            (
                r#"{"endpoint":"/v1/rerank","request":"x"}"#,
                "request: Input should be",
            ),
            (
                r#"{"endpoint":"/v1/models","request":{}}"#,
                "endpoint: Input should be '/v1/chat",
            ),
            (
                r#"{"endpoint":"/v1/completions","request":{"model":"m","prompt":"a","n":-1}}"#,
                "n: ",
            ),
        ] {
            let error = EstimateRequest::from_json(text).unwrap_err();
            assert!(error.message.contains(expected), "{text}: {}", error.message);
        }
    }

    #[test]
    fn the_documented_fields_are_the_ones_that_are_read() {
        assert_eq!(
            crate::tests::documented_fields(&EstimateRequestSchema::schema()),
            crate::tests::sorted(KNOWN)
        );
    }
}
