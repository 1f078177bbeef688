//! The heads of requests. All but the body's length is known beforehand, so it is written once.

use std::fmt;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderValue, Uri};
use silica_engine::WireRoute;
use silica_types::Secret;

use super::Expected;
use crate::forward::Pieces;
use crate::{OptionsError, RemoteOptions, endpoint};

/// Nothing is to be packed: what is packed may unfold to any size.
const USER_AGENT: &str = concat!(
    "\r\nuser-agent: silica/",
    env!("CARGO_PKG_VERSION"),
    "\r\naccept-encoding: identity\r\n"
);

/// The requests of one engine.
#[derive(Debug)]
pub(super) struct Requests {
    chat: Target,
    completions: Target,
    embeddings: Target,
    rerank: Target,
    moderations: Target,
}

/// What an engine's health is asked with.
#[derive(Debug)]
pub(super) struct Health {
    head: Head,
    /// Whether the operator named it; the usual one is missing at some servers that are well.
    is_named: bool,
}

/// The heads of one address, by what is asked for.
#[derive(Debug)]
struct Target {
    events: Head,
    json: Head,
}

/// A head, whole or up to the length of the body. Holds the engine's key.
struct Head(Bytes);

impl Requests {
    /// Writes the heads of requests to this host.
    ///
    /// # Errors
    /// When the options are no engine's.
    pub(super) fn new(options: &RemoteOptions, host: &str) -> Result<Self, OptionsError> {
        let target = |route: WireRoute| {
            let path = endpoint::path_below(&options.base_url, route.path(), options.allow_private)?;
            let head = |expected: Expected| {
                let accept = expected.content_type();
                let body = format!("accept: {accept}\r\ncontent-type: application/json\r\ncontent-length: ");
                Head::new("POST", &path, host, options, &body)
            };
            Ok::<_, OptionsError>(Target {
                events: head(Expected::Events)?,
                json: head(Expected::Json)?,
            })
        };
        Ok(Self {
            chat: target(WireRoute::ChatCompletions)?,
            completions: target(WireRoute::Completions)?,
            embeddings: target(WireRoute::Embeddings)?,
            rerank: target(WireRoute::Rerank)?,
            moderations: target(WireRoute::Moderations)?,
        })
    }

    /// A whole request with this body.
    pub(super) fn with_body(&self, route: WireRoute, expected: Expected, body: Pieces) -> Pieces {
        let target = match route {
            WireRoute::ChatCompletions => &self.chat,
            WireRoute::Completions => &self.completions,
            WireRoute::Embeddings => &self.embeddings,
            WireRoute::Rerank => &self.rerank,
            WireRoute::Moderations => &self.moderations,
        };
        let Head(head) = match expected {
            Expected::Events => &target.events,
            Expected::Json => &target.json,
        };
        let mut digits = itoa::Buffer::new();
        let length = digits.format(body.len());
        let mut whole = BytesMut::with_capacity(head.len() + length.len() + 4);
        whole.put_slice(head);
        whole.put_slice(length.as_bytes());
        whole.put_slice(b"\r\n\r\n");
        let mut request = body;
        request.put_first(whole.freeze());
        request
    }
}

impl Health {
    /// `None` when the engine is not asked.
    ///
    /// # Errors
    /// When the options are no engine's.
    pub(super) fn new(options: &RemoteOptions, host: &str) -> Result<Option<Self>, OptionsError> {
        let path = options.health_path.as_deref().unwrap_or("/models");
        if path.is_empty() {
            return Ok(None);
        }
        let path = endpoint::path_below(&options.base_url, path, options.allow_private)?;
        Ok(Some(Self {
            head: Head::new("GET", &path, host, options, "\r\n")?,
            is_named: options.health_path.is_some(),
        }))
    }

    pub(super) fn request(&self) -> Pieces {
        self.head.0.clone().into()
    }

    pub(super) const fn is_named(&self) -> bool {
        self.is_named
    }
}

impl Head {
    /// Writes a head that goes on with `rest`. Path, host and key go through the types of HTTP, which
    /// take nothing that could end a line.
    fn new(
        method: &str,
        path: &Uri,
        host: &str,
        options: &RemoteOptions,
        rest: &str,
    ) -> Result<Self, OptionsError> {
        let host = HeaderValue::from_str(host).map_err(|_| OptionsError::Host)?;
        let mut head = BytesMut::new();
        head.put_slice(format!("{method} {path} HTTP/1.1\r\nhost: ").as_bytes());
        head.put_slice(host.as_bytes());
        head.put_slice(USER_AGENT.as_bytes());
        if let Some(key) = &options.api_key {
            head.put_slice(b"authorization: ");
            head.put_slice(bearer(key)?.as_bytes());
            head.put_slice(b"\r\n");
        }
        head.put_slice(rest.as_bytes());
        Ok(Self(head.freeze()))
    }
}

/// Leaves out the key.
impl fmt::Debug for Head {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Head").finish_non_exhaustive()
    }
}

fn bearer(key: &Secret) -> Result<HeaderValue, OptionsError> {
    // Exposed to the one place that needs it.
    HeaderValue::try_from(format!("Bearer {}", key.expose())).map_err(|_| OptionsError::ApiKey)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(key: &str) -> RemoteOptions {
        RemoteOptions {
            api_key: Some(Secret::new(key)),
            ..RemoteOptions::new("https://engine.example:81/v1", "m")
        }
    }

    fn text(mut request: Pieces) -> String {
        let mut text = Vec::new();
        while !request.is_empty() {
            let mut slices = [std::io::IoSlice::new(&[]); 1];
            request.slices(&mut slices);
            text.extend_from_slice(&slices[0]);
            let length = slices[0].len();
            request.advance(length);
        }
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_request_says_who_asks_for_what_and_how_long_its_body_is() {
        let requests = Requests::new(&options("sk-abc"), "engine.example:81").unwrap();
        let body = Pieces::from(Bytes::from_static(b"{\"a\":1}"));
        assert_eq!(
            text(requests.with_body(WireRoute::ChatCompletions, Expected::Events, body)),
            format!(
                "POST /v1/chat/completions HTTP/1.1\r\nhost: engine.example:81\r\nuser-agent: silica/{}\r\naccept-encoding: identity\r\n\
                 authorization: Bearer sk-abc\r\naccept: text/event-stream\r\ncontent-type: application/json\r\n\
                 content-length: 7\r\n\r\n{{\"a\":1}}",
                env!("CARGO_PKG_VERSION")
            )
        );
        let health = Health::new(&options("sk-abc"), "engine.example:81")
            .unwrap()
            .unwrap();
        let asked = text(health.request());
        assert!(asked.starts_with("GET /v1/models HTTP/1.1\r\n"), "{asked}");
        assert!(asked.ends_with("Bearer sk-abc\r\n\r\n"), "{asked}");
    }

    #[test]
    fn the_key_is_not_shown_and_must_fit_a_header() {
        let requests = Requests::new(&options("sk-abc"), "engine.example:81").unwrap();
        assert!(!format!("{requests:?}").contains("sk-abc"));
        for key in ["a\nb", "a\r\nx: y", "a\u{0}"] {
            let refused = Requests::new(&options(key), "engine.example:81");
            assert!(matches!(refused, Err(OptionsError::ApiKey)), "{key:?}");
        }
        let refused = Requests::new(&options("sk"), "engine\r\nx: y");
        assert!(matches!(refused, Err(OptionsError::Host)));
    }
}
