//! A scripted engine behind HTTP: a server of OpenAI's chat completions whose totals are known.
//!
//! It runs inside the test's process, so its log of what it produced outlives any server under test
//! that is killed. What a call does is told by a line in the request's messages, see
//! [`UpstreamScript`].

mod answer;
mod log;
mod script;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use self::answer::Answer;
use self::log::{Entry, Log};
pub use self::log::{UpstreamCall, UpstreamOutcome, UpstreamRequest};
pub use self::script::{UpstreamFault, UpstreamScript, UsageFrames};

/// A running server. Dropping it closes its port.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    log: Arc<Log>,
    _running: DropGuard,
}

impl Upstream {
    /// Starts a server on a free port of this machine.
    ///
    /// # Panics
    /// When there is none.
    #[expect(clippy::expect_used, reason = "a test without its engine has failed")]
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("the port's address");
        let log = Arc::new(Log::default());
        let router = Router::new()
            .route("/v1/chat/completions", post(chat_completions))
            .with_state(Arc::clone(&log))
            .into_make_service_with_connect_info::<SocketAddr>();
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        TaskTracker::new().spawn(async move {
            tokio::select! {
                _ = axum::serve(listener, router) => {}
                () = stopped => {}
            }
        });
        Self {
            address,
            log,
            _running: stop.drop_guard(),
        }
    }

    /// The address to configure an engine with, such as `http://127.0.0.1:41234/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Every call so far, in the order of their begin.
    pub fn calls(&self) -> Vec<UpstreamCall> {
        self.log.calls()
    }

    /// The last requests, at most 64, oldest first.
    pub fn requests(&self) -> Vec<UpstreamRequest> {
        self.log.requests()
    }

    /// Waits until the first call with this marker meets a condition, and returns it.
    ///
    /// # Panics
    /// When that takes longer than half a minute.
    pub async fn call_until(
        &self,
        marker: &str,
        condition: impl Fn(&UpstreamCall) -> bool + Send,
    ) -> UpstreamCall {
        self.log.call_until(marker, condition).await
    }
}

/// Plays the script that the request carries.
async fn chat_completions(
    State(log): State<Arc<Log>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Ok(body) = serde_json::from_slice::<Value>(&body) else {
        return refusal(StatusCode::BAD_REQUEST, "the body is no JSON");
    };
    let authorization = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let script = match UpstreamScript::of_request(&body) {
        Ok(script) => script,
        Err(fault) => return refusal(StatusCode::BAD_REQUEST, &fault),
    };
    let answer = Answer::new(&script, &body);
    let entry = Entry::begin(&log, &script, answer.planned());
    log.keep_request(UpstreamRequest {
        peer,
        authorization: authorization.map(str::to_owned),
        body,
    });
    match script.fault {
        UpstreamFault::Status(status) => {
            entry.end(UpstreamOutcome::Refused);
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            refusal(status, "refused by the script")
        }
        UpstreamFault::Hang => {
            let _entry = entry;
            std::future::pending().await
        }
        _ => {
            let body = Body::from_stream(answer.frames(entry));
            ([(CONTENT_TYPE, "text/event-stream; charset=utf-8")], body).into_response()
        }
    }
}

fn refusal(status: StatusCode, message: &str) -> Response {
    let error = json!({"error": {"message": message, "type": "scripted", "code": status.as_u16()}});
    let headers = [(CONTENT_TYPE, "application/json"), (RETRY_AFTER, "1")];
    (status, headers, error.to_string()).into_response()
}
