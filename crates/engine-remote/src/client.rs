//! The HTTP client: one request, the head of its answer, and what a refusal means.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use serde::Deserialize;
use silica_engine::EngineError;
use silica_types::Secret;
use tokio::time::{Instant, timeout, timeout_at};

use crate::address::GuardedResolver;
use crate::{OptionsError, RemoteError, RemoteOptions, endpoint};

/// How long a connection waits for its next request. Shorter than servers keep theirs (uvicorn,
/// below vLLM and `SGLang`: 5 s), so that no request meets a connection that is being closed.
const IDLE_LIMIT: Duration = Duration::from_secs(4);

/// The most of a refusal that is read, in bytes.
const LONGEST_REFUSAL: usize = 64 * 1024;
/// The longest wait for a refusal's text.
const REFUSAL_LIMIT: Duration = Duration::from_secs(5);
/// The most of a refusal's text that clients see, in characters.
const LONGEST_REASON: usize = 400;

type Connector = HttpsConnector<HttpConnector<GuardedResolver>>;

/// Sends requests to one engine. No proxy, no redirects, HTTP/1.1 only: a connection carries one
/// answer at a time, so closing it ends exactly that answer.
#[derive(Debug)]
pub(crate) struct Client {
    http: legacy::Client<Connector, Full<Bytes>>,
    target: Uri,
    authorization: Option<HeaderValue>,
    model: String,
    first_frame_limit: Duration,
}

impl Client {
    pub(crate) fn new(options: &RemoteOptions) -> Result<Self, OptionsError> {
        let target = endpoint::chat_completions(&options.base_url, options.allow_private)?;
        let mut connector = HttpConnector::new_with_resolver(GuardedResolver {
            allow_private: options.allow_private,
            limit: options.connect_limit,
        });
        // The name says https to the layer above; this one only connects.
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(options.connect_limit));
        let is_https = target.scheme_str() == Some("https");
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(is_https).map_err(OptionsError::Tls)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_LIMIT)
            .pool_timer(TokioTimer::new())
            // Only what a connection hands back unwritten, so that no call runs, and costs, twice.
            .retry_canceled_requests(true)
            .build(connector);
        Ok(Self {
            http,
            target,
            authorization: options.api_key.as_ref().map(bearer).transpose()?,
            model: options.model.clone(),
            first_frame_limit: options.first_frame_limit,
        })
    }

    /// Sends a request and returns the answer's body, a stream of events, with the moment by which
    /// its first frame must be there. Dropping the future closes the connection.
    ///
    /// # Errors
    /// When the engine refuses, or cannot be reached.
    pub(crate) async fn send(&self, body: Bytes) -> Result<(Incoming, Instant), EngineError> {
        let by = Instant::now() + self.first_frame_limit;
        let failed = |error: RemoteError| error.into_engine_error(&self.model);
        let answering = timeout_at(by, self.http.request(self.request(body)));
        let response = answering
            .await
            .map_err(|_| failed(RemoteError::Silent(self.first_frame_limit)))?
            .map_err(|error| failed(RemoteError::Unreachable(error)))?;
        match response.status() {
            StatusCode::OK if is_event_stream(&response) => Ok((response.into_body(), by)),
            StatusCode::OK => Err(failed(RemoteError::NoEventStream)),
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
                let reason = self.reason(response.into_body()).await;
                Err(EngineError::InvalidRequest(reason))
            }
            status => Err(failed(RemoteError::Status(status))),
        }
    }

    fn request(&self, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.target.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("silica/", env!("CARGO_PKG_VERSION"))),
        );
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        request
    }

    /// What the engine has against the request, fit for the client who made it.
    async fn reason(&self, body: Incoming) -> String {
        let reading = timeout(REFUSAL_LIMIT, Limited::new(body, LONGEST_REFUSAL).collect());
        let text = match reading.await {
            Ok(Ok(body)) => refusal_text(&body.to_bytes()),
            Ok(Err(_)) | Err(_) => None,
        };
        let text = text.unwrap_or_else(|| "the engine refused the request".to_owned());
        // The name behind the model is the operator's business.
        let text = text.replace(&self.model, "the model");
        let is_plain = |character: &char| !character.is_control();
        text.chars().filter(is_plain).take(LONGEST_REASON).collect()
    }
}

/// Trusts the system's certificates, or Mozilla's where the system has none. An address without
/// TLS does not pay for reading the system's.
fn tls(is_used: bool) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        || ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    if is_used {
        match builder()?.with_native_roots() {
            Ok(builder) => return Ok(builder.with_no_client_auth()),
            Err(error) => tracing::warn!(
                error = %error,
                "the system has no certificates ({error}); engines are checked against Mozilla's"
            ),
        }
    }
    Ok(builder()?.with_webpki_roots().with_no_client_auth())
}

fn bearer(key: &Secret) -> Result<HeaderValue, OptionsError> {
    // Exposed to the one place that needs it; the header hides itself from `Debug`.
    let mut value =
        HeaderValue::try_from(format!("Bearer {}", key.expose())).map_err(|_| OptionsError::ApiKey)?;
    value.set_sensitive(true);
    Ok(value)
}

fn is_event_stream(response: &Response<Incoming>) -> bool {
    let value = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("text/event-stream"))
}

/// A refusal in the forms that servers give it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Refusal {
    Nested { error: Message },
    Plain(Message),
    Short { error: String },
    Detail { detail: String },
}

#[derive(Debug, Deserialize)]
struct Message {
    message: String,
}

fn refusal_text(body: &[u8]) -> Option<String> {
    let text = match serde_json::from_slice(body).ok()? {
        Refusal::Nested {
            error: Message { message },
        }
        | Refusal::Plain(Message { message }) => message,
        Refusal::Short { error: text } | Refusal::Detail { detail: text } => text,
    };
    (!text.trim().is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_read_in_each_form() {
        for body in [
            r#"{"error":{"message":"too long","code":400}}"#,
            r#"{"object":"error","message":"too long"}"#,
            r#"{"error":"too long"}"#,
            r#"{"detail":"too long"}"#,
        ] {
            assert_eq!(
                refusal_text(body.as_bytes()).as_deref(),
                Some("too long"),
                "{body}"
            );
        }
        for body in [
            "",
            "too long",
            r#"{"message":" "}"#,
            r#"{"detail":[{"input":"x"}]}"#,
        ] {
            assert_eq!(refusal_text(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn the_key_is_not_shown_and_must_fit_a_header() {
        let value = bearer(&Secret::new("sk-abc")).unwrap();
        assert_eq!(value, "Bearer sk-abc");
        assert_eq!(format!("{value:?}"), "Sensitive");
        assert!(matches!(bearer(&Secret::new("a\nb")), Err(OptionsError::ApiKey)));
    }
}
