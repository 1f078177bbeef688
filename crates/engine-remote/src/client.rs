//! The HTTP client: one request, the head of its answer, and what a refusal means.

mod requests;

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt as _, Limited};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use silica_engine::{EngineError, WireRoute};
use tokio::time::{Instant, timeout, timeout_at};

use self::requests::{Health, Requests};
use crate::address::GuardedResolver;
use crate::authorities::tls;
use crate::connection::{Answer, Connections, Content};
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
    requests: Requests,
    health: Option<Health>,
    secrecy: Secrecy,
    first_frame_limit: Duration,
    whole_limit: Duration,
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
    const fn content(self) -> Content {
        match self {
            Self::Events => Content::Events,
            Self::Json => Content::Json,
        }
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::Events => "text/event-stream",
            Self::Json => "application/json",
        }
    }
}

impl Client {
    pub(crate) fn new(options: &RemoteOptions) -> Result<Self, OptionsError> {
        let engine = endpoint::below(&options.base_url, "", options.allow_private)?;
        let host = engine.authority().ok_or(OptionsError::Host)?.as_str().to_owned();
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
            requests: Requests::new(options, &host)?,
            health: Health::new(options, &host)?,
            secrecy: Secrecy {
                model: options.model.clone(),
                authority: host,
                key: options.api_key.clone(),
            },
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
        let request = self.requests.with_body(route, expected, body);
        let answering = timeout_at(by, self.connections.send(request)).await;
        let (head, answer) = answering
            .map_err(|_| failed(RemoteError::Silent(limit)))?
            .map_err(failed)?;
        match head.status {
            // It was asked not to be packed: what is packed may unfold to any size.
            StatusCode::OK if head.is_packed => Err(failed(RemoteError::Encoded)),
            StatusCode::OK if head.content == expected.content() => Ok((answer, by)),
            StatusCode::OK => Err(failed(RemoteError::ContentType(expected.content_type()))),
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
                let reason = self.reason(answer).await;
                Err(EngineError::InvalidRequest(reason))
            }
            status => Err(failed(RemoteError::Status {
                status,
                retry_after: head.retry_after,
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
        let failed = |error: RemoteError| EngineError::failed(error);
        let (head, answer) = timeout(limit, self.connections.send(health.request()))
            .await
            .map_err(|_| failed(RemoteError::Silent(limit)))?
            .map_err(failed)?;
        let status = head.status;
        if status.is_success() || (status == StatusCode::NOT_FOUND && !health.is_named()) {
            // Read to its end, so that the connection can be used again.
            let _ = timeout(limit, Limited::new(answer, LONGEST_REFUSAL).collect()).await;
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

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(socket.is_nodelay());
    }
}
