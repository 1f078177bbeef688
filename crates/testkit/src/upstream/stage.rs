//! The routes of the scripted engine: each request is played by its script.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get, post};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::answer::Answer;
use super::listener::Peer;
use super::log::{Entry, Log};
use super::{UpstreamFault, UpstreamOutcome, UpstreamRequest, UpstreamRoute, UpstreamScript, tail, vectors};

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream; charset=utf-8";

/// What all requests of a server share.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) log: Arc<Log>,
    default: Mutex<UpstreamScript>,
    is_healthy: AtomicBool,
}

impl Stage {
    pub(super) fn new(default: UpstreamScript) -> Self {
        Self {
            log: Arc::default(),
            default: Mutex::new(default),
            is_healthy: AtomicBool::new(true),
        }
    }

    pub(super) fn set_default(&self, script: UpstreamScript) {
        *self.default.lock().unwrap_or_else(PoisonError::into_inner) = script;
    }

    pub(super) fn set_healthy(&self, is_healthy: bool) {
        self.is_healthy.store(is_healthy, Ordering::SeqCst);
    }

    fn default(&self) -> UpstreamScript {
        self.default
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// The routes.
pub(super) fn router(stage: Arc<Stage>) -> Router {
    Router::new()
        .route("/v1/chat/completions", played(UpstreamRoute::Chat))
        .route("/v1/completions", played(UpstreamRoute::Completions))
        .route("/v1/embeddings", played(UpstreamRoute::Embeddings))
        .route("/v1/rerank", played(UpstreamRoute::Rerank))
        .route("/v1/models", get(models))
        .route("/health", get(health))
        .route("/v1/health", get(health))
        .layer(DefaultBodyLimit::disable())
        .with_state(stage)
}

fn played(route: UpstreamRoute) -> MethodRouter<Arc<Stage>> {
    post(
        move |State(stage): State<Arc<Stage>>,
              ConnectInfo(peer): ConnectInfo<Peer>,
              headers: HeaderMap,
              body: Bytes| async move { play(route, &stage, peer, headers, &body).await },
    )
}

async fn models(State(stage): State<Arc<Stage>>) -> Response {
    let list = json!({"object": "list", "data": [{"id": "scripted", "object": "model"}]});
    answer_health(&stage, &list)
}

async fn health(State(stage): State<Arc<Stage>>) -> Response {
    answer_health(&stage, &json!({}))
}

fn answer_health(stage: &Stage, body: &Value) -> Response {
    stage.log.health_checks.count();
    if stage.is_healthy.load(Ordering::SeqCst) {
        ([(CONTENT_TYPE, JSON)], body.to_string()).into_response()
    } else {
        StatusCode::SERVICE_UNAVAILABLE.into_response()
    }
}

/// Plays the script that the request carries, or the default.
async fn play(route: UpstreamRoute, stage: &Stage, peer: Peer, headers: HeaderMap, body: &[u8]) -> Response {
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return refusal(StatusCode::BAD_REQUEST, "the body is no JSON", None);
    };
    let script = match UpstreamScript::of_request(&body) {
        Ok(script) => script.unwrap_or_else(|| stage.default()),
        Err(fault) => return refusal(StatusCode::BAD_REQUEST, &fault, None),
    };
    let is_wordy = matches!(route, UpstreamRoute::Chat | UpstreamRoute::Completions);
    let is_streamed = is_wordy && body["stream"] == Value::Bool(true);
    let answer = Answer::new(&script, route, &body);
    let entry = Entry::begin(&stage.log, &script, route, is_streamed, answer.planned());
    let authorization = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    stage.log.keep_request(UpstreamRequest {
        peer: peer.0,
        authorization: authorization.map(str::to_owned),
        body: body.clone(),
        headers,
    });
    let kind = if is_streamed { EVENTS } else { JSON };
    if let Some(response) = instead(&script, kind, &entry) {
        return response;
    }
    if script.fault == UpstreamFault::Hang {
        let _entry = entry;
        return std::future::pending().await;
    }
    if is_streamed {
        return ([(CONTENT_TYPE, kind)], Body::from_stream(answer.frames(entry))).into_response();
    }
    let whole = match route {
        UpstreamRoute::Chat | UpstreamRoute::Completions => answer.whole(&entry).await,
        UpstreamRoute::Embeddings => vectors::embeddings(&script, &body),
        UpstreamRoute::Rerank => vectors::rerank(&script, &body),
    };
    let whole = Bytes::from(whole.to_string());
    let body = if let Some((first, tail)) = tail::of_whole(script.fault, &whole) {
        tail::body(first, tail, entry)
    } else {
        entry.handed_over(whole.len());
        entry.sent();
        entry.end(UpstreamOutcome::Finished);
        Body::from(whole)
    };
    ([(CONTENT_TYPE, kind)], body).into_response()
}

/// What a fault answers instead of the answer.
fn instead(script: &UpstreamScript, kind: &'static str, entry: &Entry) -> Option<Response> {
    let response = match script.fault {
        UpstreamFault::Status(status) => {
            entry.end(UpstreamOutcome::Refused);
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            return Some(refusal(status, "refused by the script", script.retry_after));
        }
        UpstreamFault::Html => {
            let page = "<!doctype html><title>Welcome</title><p>Please sign in.";
            ([(CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
        }
        UpstreamFault::Empty => ([(CONTENT_TYPE, kind)], Body::empty()).into_response(),
        UpstreamFault::Bomb => {
            let headers = [(CONTENT_TYPE, kind), (CONTENT_ENCODING, "gzip")];
            (headers, BOMB.clone()).into_response()
        }
        _ => return None,
    };
    entry.end(UpstreamOutcome::Broken);
    Some(response)
}

fn refusal(status: StatusCode, message: &str, retry_after: Option<u32>) -> Response {
    let error = json!({"error": {"message": message, "type": "scripted", "code": status.as_u16()}});
    let mut response = (status, [(CONTENT_TYPE, JSON)], error.to_string()).into_response();
    let headers = response.headers_mut();
    if let Some(seconds) = retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if status.is_redirection() {
        // Whoever follows it comes back, which the log shows.
        headers.insert(LOCATION, HeaderValue::from_static("/v1/chat/completions"));
    }
    response
}

/// 128 MiB of white space, packed in 128 members of a MiB each.
static BOMB: LazyLock<Bytes> = LazyLock::new(|| {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let packed = encoder
        .write_all(&vec![b' '; 1024 * 1024])
        .and_then(|()| encoder.finish());
    // Writing to memory does not fail; an empty body would show as a fault of its own.
    packed.unwrap_or_default().repeat(128).into()
});
