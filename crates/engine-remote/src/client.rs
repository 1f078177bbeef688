//! The HTTP client: one request, the head of its answer, and what a refusal means.

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, DATE, HOST, RETRY_AFTER, USER_AGENT,
};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use silica_engine::{EngineError, WireRoute};
use silica_types::Secret;
use tokio::time::{Instant, timeout, timeout_at};

use crate::address::GuardedResolver;
use crate::authorities::tls;
use crate::connection::{Answer, Connections};
use crate::forward::Pieces;
use crate::refusal::Secrecy;
use crate::{OptionsError, RemoteError, RemoteOptions, endpoint};

/// The most of a refusal that is read, in bytes.
const LONGEST_REFUSAL: usize = 64 * 1024;
/// The longest wait for a refusal's text.
const REFUSAL_LIMIT: Duration = Duration::from_secs(5);

/// Sends requests to one engine. No proxy, no redirects, HTTP/1.1 only: a connection carries one
/// answer at a time, so closing it ends exactly that answer.
#[derive(Debug)]
pub(crate) struct Client {
    connections: Connections,
    host: HeaderValue,
    targets: Targets,
    health: Option<Health>,
    authorization: Option<HeaderValue>,
    secrecy: Secrecy,
    first_frame_limit: Duration,
    whole_limit: Duration,
}

/// The addresses of the routes.
#[derive(Debug)]
struct Targets {
    chat: Uri,
    completions: Uri,
    embeddings: Uri,
    rerank: Uri,
}

/// What an engine's health is asked of.
#[derive(Debug)]
struct Health {
    target: Uri,
    /// Whether the operator named it; the usual one is missing at some servers that are well.
    is_named: bool,
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// A stream of events.
    Events,
    /// One JSON object, or list.
    Json,
}

impl Expected {
    const fn content_type(self) -> &'static str {
        match self {
            Self::Events => "text/event-stream",
            Self::Json => "application/json",
        }
    }
}

impl Targets {
    fn new(options: &RemoteOptions) -> Result<Self, OptionsError> {
        let below =
            |route: WireRoute| endpoint::path_below(&options.base_url, route.path(), options.allow_private);
        Ok(Self {
            chat: below(WireRoute::ChatCompletions)?,
            completions: below(WireRoute::Completions)?,
            embeddings: below(WireRoute::Embeddings)?,
            rerank: below(WireRoute::Rerank)?,
        })
    }

    const fn of(&self, route: WireRoute) -> &Uri {
        match route {
            WireRoute::ChatCompletions => &self.chat,
            WireRoute::Completions => &self.completions,
            WireRoute::Embeddings => &self.embeddings,
            WireRoute::Rerank => &self.rerank,
        }
    }
}

impl Health {
    fn new(options: &RemoteOptions) -> Result<Option<Self>, OptionsError> {
        let path = options.health_path.as_deref().unwrap_or("/models");
        if path.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self {
            target: endpoint::path_below(&options.base_url, path, options.allow_private)?,
            is_named: options.health_path.is_some(),
        }))
    }
}

impl Client {
    pub(crate) fn new(options: &RemoteOptions) -> Result<Self, OptionsError> {
        let engine = endpoint::below(&options.base_url, "", options.allow_private)?;
        let host = engine.authority().ok_or(OptionsError::Host)?;
        let secrecy = Secrecy {
            model: options.model.clone(),
            authority: host.as_str().to_owned(),
        };
        let host = HeaderValue::from_str(host.as_str()).map_err(|_| OptionsError::Host)?;
        let mut connector = HttpConnector::new_with_resolver(GuardedResolver {
            allow_private: options.allow_private,
            limit: options.connect_limit,
        });
        // The name says https to the layer above; this one only connects.
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(options.connect_limit));
        let is_https = engine.scheme_str() == Some("https");
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(is_https, options.authorities.as_ref())?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        Ok(Self {
            // Once for the connection and once for its encryption.
            connections: Connections::new(engine, connector, 2 * options.connect_limit),
            host,
            targets: Targets::new(options)?,
            health: Health::new(options)?,
            authorization: options.api_key.as_ref().map(bearer).transpose()?,
            secrecy,
            first_frame_limit: options.first_frame_limit,
            whole_limit: options.whole_limit,
        })
    }

    /// Sends a request and returns the answer's body, with the moment by which its first frame, or
    /// all of a whole answer, must be there. Dropping the future closes the connection.
    ///
    /// # Errors
    /// When the engine refuses, or cannot be reached.
    pub(crate) async fn send(
        &self,
        route: WireRoute,
        body: Pieces,
        expected: Expected,
    ) -> Result<(Answer, Instant), EngineError> {
        let limit = match expected {
            Expected::Events => self.first_frame_limit,
            Expected::Json => self.whole_limit,
        };
        let by = Instant::now() + limit;
        let failed = |error: RemoteError| error.into_engine_error(&self.secrecy.model);
        let answering = timeout_at(by, self.connections.send(self.request(route, body, expected)));
        let response = answering
            .await
            .map_err(|_| failed(RemoteError::Silent(limit)))?
            .map_err(failed)?;
        match response.status() {
            // Nothing was asked to be packed, and what is packed may unfold to any size.
            StatusCode::OK if is_packed(&response) => Err(failed(RemoteError::Encoded)),
            StatusCode::OK if is_of_type(&response, expected) => Ok((response.into_body(), by)),
            StatusCode::OK => Err(failed(RemoteError::ContentType(expected.content_type()))),
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
                let reason = self.reason(response.into_body()).await;
                Err(EngineError::InvalidRequest(reason))
            }
            status => Err(failed(RemoteError::Status {
                status,
                retry_after: retry_after(response.headers()),
            })),
        }
    }

    /// Asks for the engine's health; nothing when it is not asked.
    ///
    /// # Errors
    /// When the engine is not well, or does not say so within `limit`.
    pub(crate) async fn probe(&self, limit: Duration) -> Result<(), EngineError> {
        let Some(health) = &self.health else {
            return Ok(());
        };
        let mut request = Request::new(Pieces::default());
        *request.uri_mut() = health.target.clone();
        self.introduce(&mut request);
        let failed = |error: RemoteError| EngineError::failed(error);
        let response = timeout(limit, self.connections.send(request))
            .await
            .map_err(|_| failed(RemoteError::Silent(limit)))?
            .map_err(failed)?;
        let status = response.status();
        if status.is_success() || (status == StatusCode::NOT_FOUND && !health.is_named) {
            // Read to its end, so that the connection can be used again.
            let _ = timeout(
                limit,
                Limited::new(response.into_body(), LONGEST_REFUSAL).collect(),
            )
            .await;
            return Ok(());
        }
        Err(failed(RemoteError::Status {
            status,
            retry_after: None,
        }))
    }

    /// Whether the engine's health is asked.
    pub(crate) const fn has_health(&self) -> bool {
        self.health.is_some()
    }

    fn request(&self, route: WireRoute, body: Pieces, expected: Expected) -> Request<Pieces> {
        let mut request = Request::new(body);
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.targets.of(route).clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static(expected.content_type()));
        self.introduce(&mut request);
        request
    }

    /// Says who asks.
    fn introduce(&self, request: &mut Request<Pieces>) {
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("silica/", env!("CARGO_PKG_VERSION"))),
        );
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
    }

    /// What the engine has against the request, fit for the client who made it.
    async fn reason(&self, body: Answer) -> String {
        let reading = timeout(REFUSAL_LIMIT, Limited::new(body, LONGEST_REFUSAL).collect());
        let body = match reading.await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) | Err(_) => Bytes::new(),
        };
        self.secrecy.reason(&body)
    }
}

fn bearer(key: &Secret) -> Result<HeaderValue, OptionsError> {
    // Exposed to the one place that needs it; the header hides itself from `Debug`.
    let mut value =
        HeaderValue::try_from(format!("Bearer {}", key.expose())).map_err(|_| OptionsError::ApiKey)?;
    value.set_sensitive(true);
    Ok(value)
}

fn is_of_type(response: &Response<Answer>, expected: Expected) -> bool {
    let value = response.headers().get(CONTENT_TYPE);
    let essence = value
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case(expected.content_type()))
}

fn is_packed(response: &Response<Answer>) -> bool {
    let encodings = response.headers().get_all(CONTENT_ENCODING);
    encodings.iter().any(|encoding| encoding != "identity")
}

/// How long the engine wants to be left alone, if it says so, in seconds or by a date. A date is that of
/// the engine's own clock, so it counts from the date of its answer; without one it says nothing.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let wanted = text(RETRY_AFTER)?;
    if let Ok(seconds) = wanted.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = |text: &str| httpdate::parse_http_date(text).ok();
    let (then, now) = (date(wanted)?, date(text(DATE)?)?);
    // One that has passed is no wait.
    Some(then.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_that_an_engine_asks_for_is_read_in_seconds_and_as_a_date_of_its_own_clock() {
        const NOW: &str = "Wed, 21 Oct 2015 07:28:00 GMT";
        for (wanted, now, expected) in [
            (" 120", None, Some(120)),
            ("Wed, 21 Oct 2015 07:30:05 GMT", Some(NOW), Some(125)),
            ("Wednesday, 21-Oct-15 07:30:05 GMT", Some(NOW), Some(125)),
            ("Wed, 21 Oct 2015 07:27:59 GMT", Some(NOW), Some(0)),
            ("Wed, 21 Oct 2015 07:30:05 GMT", None, None),
            ("Wed, 21 Oct 2015 07:30:05 GMT", Some("today"), None),
            ("soon", Some(NOW), None),
            ("-1", Some(NOW), None),
            ("", Some(NOW), None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_str(wanted).unwrap());
            if let Some(now) = now {
                headers.insert(DATE, HeaderValue::from_str(now).unwrap());
            }
            assert_eq!(
                retry_after(&headers),
                expected.map(Duration::from_secs),
                "{wanted}"
            );
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    #[tokio::test]
    async fn connections_that_wait_for_too_long_are_closed_though_another_is_used() {
        let engine = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = engine.local_addr().unwrap();
        let options = RemoteOptions {
            allow_private: true,
            ..RemoteOptions::new(format!("http://{address}/v1"), "model")
        };
        let connections = Client::new(&options).unwrap().connections;
        for _ in 0..3 {
            connections.lie_idle().await;
        }
        assert_eq!(connections.idle(), 3);
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(4)).await;
        tokio::time::resume();
        connections.lie_idle().await;
        assert_eq!(connections.idle(), 1);
    }

    #[tokio::test]
    async fn small_writes_to_an_engine_wait_for_nothing() {
        let engine = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = engine.local_addr().unwrap();
        let options = RemoteOptions {
            allow_private: true,
            ..RemoteOptions::new(format!("http://{address}/v1"), "model")
        };
        let socket = Client::new(&options).unwrap().connections.socket().await.unwrap();
        let hyper_rustls::MaybeHttpsStream::Http(socket) = socket else {
            panic!("a connection without TLS");
        };
        assert!(socket.inner().nodelay().unwrap());
    }

    #[test]
    fn the_key_is_not_shown_and_must_fit_a_header() {
        let value = bearer(&Secret::new("sk-abc")).unwrap();
        assert_eq!(value, "Bearer sk-abc");
        assert_eq!(format!("{value:?}"), "Sensitive");
        assert!(matches!(bearer(&Secret::new("a\nb")), Err(OptionsError::ApiKey)));
    }
}
