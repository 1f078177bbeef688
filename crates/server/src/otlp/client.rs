//! Sends a body to the collector.

use std::time::Duration;

use axum::body::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

use crate::config::SecretHeaders;

/// The longest wait for the collector's answer.
const LIMIT: Duration = Duration::from_secs(10);
/// The most of its answer that is read, in bytes.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Why the collector did not take a body.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExportError {
    /// It cannot be reached.
    #[error("the collector cannot be reached")]
    Unreachable(#[from] hyper_util::client::legacy::Error),
    /// It answered with an error.
    #[error("the collector answered {0}")]
    Refused(StatusCode),
    /// It did not answer.
    #[error("the collector does not answer")]
    Silent,
    /// The body could not be written.
    #[error("the traces cannot be written")]
    Cut(#[from] tokio::task::JoinError),
    /// The request could not be made.
    #[error("the request is malformed")]
    Request(#[from] http::Error),
}

/// A client of one collector.
#[derive(Debug)]
pub(super) struct Client {
    http: HttpClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: Uri,
    /// What the operator has it sent along.
    headers: HeaderMap,
}

impl Client {
    pub(super) fn new(url: Uri, headers: Option<&SecretHeaders>) -> Self {
        let connector = HttpsConnectorBuilder::new();
        // Where the system has no certificates, Mozilla's are as good.
        let connector = match connector.with_native_roots() {
            Ok(connector) => connector,
            Err(_) => HttpsConnectorBuilder::new().with_webpki_roots(),
        };
        let connector = connector.https_or_http().enable_http1().build();
        Self {
            http: HttpClient::builder(TokioExecutor::new()).build(connector),
            url,
            headers: headers.map(|headers| headers.get().clone()).unwrap_or_default(),
        }
    }

    /// Sends one body.
    ///
    /// # Errors
    /// When the collector does not take it.
    pub(super) async fn send(&self, body: Bytes) -> Result<(), ExportError> {
        let mut request = Request::post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))?;
        request.headers_mut().extend(self.headers.clone());
        let answering = timeout(LIMIT, self.http.request(request));
        let answer = answering.await.map_err(|_| ExportError::Silent)??;
        let status = answer.status();
        // Read to its end, so that the connection can be used again.
        let rest = Limited::new(answer.into_body(), LONGEST_ANSWER).collect();
        let _ = timeout(LIMIT, rest).await;
        if status.is_success() {
            Ok(())
        } else {
            Err(ExportError::Refused(status))
        }
    }
}
