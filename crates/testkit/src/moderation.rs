//! A scripted moderation service behind HTTP, in the form of OpenAI's `/moderations`.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// How the service answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ModerationFault {
    /// As it should.
    #[default]
    None,
    /// With this status.
    Status(u16),
    /// Never.
    Hang,
    /// With a page for people that says it is JSON.
    Garbage,
    /// With no results.
    Empty,
    /// With nothing but `flagged`, which is so.
    Bare,
}

/// A running service, which flags what has its word in it. Dropping it closes its port.
#[derive(Debug)]
pub struct ModerationServer {
    address: SocketAddr,
    stage: Arc<Stage>,
    _running: DropGuard,
}

#[derive(Debug)]
struct Stage {
    word: String,
    fault: Mutex<(ModerationFault, &'static str)>,
    requests: Mutex<Vec<Value>>,
}

impl ModerationServer {
    /// Starts a service that flags this word.
    ///
    /// # Panics
    /// When there is no free port.
    #[expect(clippy::expect_used, reason = "a test without its service has failed")]
    pub async fn start(word: &str) -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = tcp.local_addr().expect("the port's address");
        let stage = Arc::new(Stage {
            word: word.to_owned(),
            fault: Mutex::default(),
            requests: Mutex::default(),
        });
        let router = Router::new()
            .route("/v1/moderations", post(answer))
            .with_state(Arc::clone(&stage));
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        TaskTracker::new().spawn(async move {
            tokio::select! {
                _ = axum::serve(tcp, router) => {}
                () = stopped => {}
            }
        });
        Self {
            address,
            stage,
            _running: stop.drop_guard(),
        }
    }

    /// The address to configure, such as `http://127.0.0.1:41234/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Answers in this manner from now on.
    pub fn set_fault(&self, fault: ModerationFault) {
        self.set_fault_on("", fault);
    }

    /// Answers in this manner from now on what has this text in it, and everything else as it should.
    pub fn set_fault_on(&self, text: &'static str, fault: ModerationFault) {
        *self.stage.fault.lock().unwrap_or_else(PoisonError::into_inner) = (fault, text);
    }

    /// What it was asked so far: the bodies, with the bearer token as `key`.
    pub fn requests(&self) -> Vec<Value> {
        let requests = self.stage.requests.lock();
        requests.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn answer(State(stage): State<Arc<Stage>>, headers: HeaderMap, body: Bytes) -> Response {
    let Ok(mut asked) = serde_json::from_slice::<Value>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let token = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    asked["key"] = token.unwrap_or_default().into();
    let inputs = inputs(&asked["input"]);
    stage
        .requests
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(asked);
    let (fault, on) = *stage.fault.lock().unwrap_or_else(PoisonError::into_inner);
    let fault = if inputs.iter().any(|text| text.contains(on)) {
        fault
    } else {
        ModerationFault::None
    };
    let results: Vec<Value> = match fault {
        ModerationFault::None => inputs
            .iter()
            .map(|text| result(text.contains(&stage.word)))
            .collect(),
        ModerationFault::Empty => Vec::new(),
        ModerationFault::Bare => inputs.iter().map(|_| json!({"flagged": true})).collect(),
        ModerationFault::Hang => std::future::pending().await,
        ModerationFault::Garbage => return sent("<html>no</html>".to_owned()),
        ModerationFault::Status(status) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            return status.into_response();
        }
    };
    sent(json!({"id": "modr-upstream", "model": "scripted-moderation", "results": results}).to_string())
}

fn sent(text: String) -> Response {
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}

fn result(flagged: bool) -> Value {
    json!({
        "flagged": flagged,
        "categories": {"violence": flagged, "spam": true},
        "category_scores": {"violence": if flagged { 0.9 } else { 0.1 }, "spam": 0.6},
        "category_applied_input_types": {"violence": ["text"], "spam": ["text"]},
    })
}

/// The texts to judge: a text, each of a list, or the parts of one.
fn inputs(input: &Value) -> Vec<String> {
    match input {
        Value::Array(items) if items.iter().all(Value::is_string) => items
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        other => vec![other.to_string()],
    }
}
