//! Guarded downloads: `GET` of addresses that users and hubs name.
//!
//! Every hop is checked like an engine's address: `http` or `https`, no user or password, and an
//! address that is public unless private ones are allowed. What is checked is what is connected to.
//! Redirects are followed, at most [`MOST_REDIRECTS`], never from `https` to `http`, and headers that
//! are confidential go to the first address's server only. No proxy is asked.

mod error;
mod target;

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, LOCATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;

pub use self::error::FetchError;
use self::target::Target;
use crate::address::GuardedResolver;
use crate::authorities::tls;
use crate::{Authorities, OptionsError};

/// The most redirects of one request.
const MOST_REDIRECTS: usize = 10;

type Http = Client<HttpsConnector<HttpConnector<GuardedResolver>>, Empty<Bytes>>;

/// How to fetch.
#[derive(Debug, Clone)]
pub struct FetchOptions {
    /// Whether servers may be at addresses that are not public.
    pub allow_private: bool,
    /// Who may vouch for servers beside the system's authorities.
    pub authorities: Option<Authorities>,
    /// The longest wait for a name's addresses, and again for a connection. Not zero.
    pub connect_limit: Duration,
    /// The longest wait for the head of an answer, and between two pieces of its body. Not zero.
    pub stall_limit: Duration,
}

impl Default for FetchOptions {
    /// Public addresses only, 10 s to connect, 30 s of silence.
    fn default() -> Self {
        Self {
            allow_private: false,
            authorities: None,
            connect_limit: Duration::from_secs(10),
            stall_limit: Duration::from_secs(30),
        }
    }
}

/// What to ask for.
#[derive(Debug, Clone, Default)]
pub struct FetchRequest {
    /// The address, `http` or `https`.
    pub url: String,
    /// Sent to every server on the way.
    pub headers: HeaderMap,
    /// Sent to the server of `url` only (scheme, host and port), not to where it redirects.
    pub confidential: HeaderMap,
}

/// Fetches what addresses lead to. Keeps connections; cheap to clone.
#[derive(Debug, Clone)]
pub struct Fetcher {
    http: Http,
    allow_private: bool,
    stall_limit: Duration,
}

impl Fetcher {
    /// Makes one.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(options: &FetchOptions) -> Result<Self, OptionsError> {
        let mut connector = HttpConnector::new_with_resolver(GuardedResolver {
            allow_private: options.allow_private,
            limit: options.connect_limit,
        });
        // The name says https to the layer above; this one only connects.
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(options.connect_limit));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(true, options.authorities.as_ref())?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        Ok(Self {
            http: Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .build(connector),
            allow_private: options.allow_private,
            stall_limit: options.stall_limit,
        })
    }

    /// Sends a request, follows redirects, and returns the head of the answer, whatever its status.
    /// Dropping the body closes the connection.
    ///
    /// # Errors
    /// When an address on the way must not be connected to, or a server cannot be reached or is
    /// silent.
    pub async fn get(&self, request: &FetchRequest) -> Result<Response<FetchedBody>, FetchError> {
        let first = Target::parse(&request.url, self.allow_private)?;
        let mut target = first.clone();
        for _ in 0..=MOST_REDIRECTS {
            let mut headers = request.headers.clone();
            if target.is_same_server(&first) {
                headers.extend(request.confidential.clone());
            }
            let answer = self.send(&target, headers).await?;
            match redirected(&answer) {
                Some(location) => target = target.redirected(location, self.allow_private)?,
                None => return self.opened(answer, target),
            }
        }
        Err(FetchError::Redirects(MOST_REDIRECTS))
    }

    async fn send(&self, target: &Target, headers: HeaderMap) -> Result<Response<Incoming>, FetchError> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = target.uri()?;
        *request.headers_mut() = headers;
        let headers = request.headers_mut();
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("silica/", env!("CARGO_PKG_VERSION"))),
        );
        // What is packed may unfold to any size, and has another checksum.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let answering = timeout(self.stall_limit, self.http.request(request));
        match answering.await {
            Ok(answer) => answer.map_err(|error| FetchError::unreachable(target.host(), error)),
            Err(_) => Err(target.silent(self.stall_limit)),
        }
    }

    fn opened(
        &self,
        answer: Response<Incoming>,
        target: Target,
    ) -> Result<Response<FetchedBody>, FetchError> {
        let encodings = answer.headers().get_all(CONTENT_ENCODING);
        if answer.status().is_success() && encodings.iter().any(|encoding| encoding != "identity") {
            return Err(target.packed());
        }
        let stall_limit = self.stall_limit;
        Ok(answer.map(|body| FetchedBody {
            body,
            target,
            stall_limit,
        }))
    }
}

fn redirected(answer: &Response<Incoming>) -> Option<&HeaderValue> {
    let is_redirect = matches!(
        answer.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    answer.headers().get(LOCATION).filter(|_| is_redirect)
}

/// The body of an answer.
#[derive(Debug)]
pub struct FetchedBody {
    body: Incoming,
    target: Target,
    stall_limit: Duration,
}

impl FetchedBody {
    /// The host that answers, for messages.
    pub fn host(&self) -> &str {
        self.target.host()
    }

    /// Returns the next piece, or `None` at the end. Not cancel-safe for the piece that is waited
    /// for; the body is whole or closed afterwards.
    ///
    /// # Errors
    /// When the connection breaks or the server is silent for too long.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, FetchError> {
        loop {
            let waiting = timeout(self.stall_limit, self.body.frame());
            let Ok(frame) = waiting.await else {
                return Err(self.target.silent(self.stall_limit));
            };
            let Some(frame) = frame else {
                return Ok(None);
            };
            let frame = frame.map_err(|source| self.target.broken(source))?;
            // What follows the body (trailers) says nothing.
            if let Ok(bytes) = frame.into_data() {
                return Ok(Some(bytes));
            }
        }
    }

    /// Reads all of it.
    ///
    /// # Errors
    /// As [`FetchedBody::piece`], and when there is more than `most` bytes.
    pub async fn whole(mut self, most: usize) -> Result<Bytes, FetchError> {
        let mut whole = Vec::new();
        while let Some(piece) = self.piece().await? {
            if whole.len() + piece.len() > most {
                return Err(self.target.too_long(most));
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.into())
    }
}
