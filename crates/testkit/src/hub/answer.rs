//! Answers of the hub and of the store behind it.

use std::io;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, LOCATION, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::stream;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::listing::{hugging_face, is_large, model_scope, sha256};
use super::log::{HubRequest, HubServer};
use super::state::State;
use super::{HUB_COMMIT, HubFault};

/// How much is sent at a time.
const PIECE_BYTES: usize = 64 << 10;

/// What a path of the hub means.
struct Route {
    repo: String,
    revision: String,
    /// `None` for the list.
    file: Option<String>,
    is_model_scope: bool,
}

pub(super) fn of_hub(state: &State, request: &Request) -> Response {
    let Some(route) = route(request) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let path = route.file.clone().unwrap_or_default();
    let logged = state.log.add(HubServer::Hub, &path, request.headers());
    let Some(files) = state.files(&route.repo) else {
        return refused(&route, StatusCode::UNAUTHORIZED, "RepoNotFound");
    };
    if let Some(token) = state.token(&route.repo)
        && !logged.secrets.contains(&format!("Bearer {token}"))
    {
        let status = if logged.secrets.is_empty() {
            StatusCode::UNAUTHORIZED
        } else {
            StatusCode::FORBIDDEN
        };
        return refused(&route, status, "GatedRepo");
    }
    if !["main", "master", HUB_COMMIT].contains(&route.revision.as_str()) {
        return refused(&route, StatusCode::NOT_FOUND, "RevisionNotFound");
    }
    if let Some(refusal) = passing_status(state, &path) {
        return refusal;
    }
    if route.file.is_none() {
        return json(&if route.is_model_scope {
            model_scope(state, &files)
        } else {
            hugging_face(state, &route.repo, &files)
        });
    }
    let gone = state.has_fault(&path, |fault| fault == HubFault::Gone).is_some();
    match files.get(&path) {
        Some(_) if gone => refused(&route, StatusCode::NOT_FOUND, "EntryNotFound"),
        Some(_) if is_large(&path) => {
            let location = format!("{}/{}/{path}?signature=geheim", state.store(), route.repo);
            (StatusCode::FOUND, [(LOCATION, location)]).into_response()
        }
        Some(content) => file(state, &logged, content),
        None => refused(&route, StatusCode::NOT_FOUND, "EntryNotFound"),
    }
}

pub(super) fn of_store(state: &State, request: &Request) -> Response {
    let path = request.uri().path().trim_start_matches('/');
    let mut parts = path.splitn(3, '/');
    let (Some(owner), Some(name), Some(file_path)) = (parts.next(), parts.next(), parts.next()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let logged = state.log.add(HubServer::Store, file_path, request.headers());
    let files = state.files(&format!("{owner}/{name}"));
    match files.as_ref().and_then(|files| files.get(file_path)) {
        Some(content) => file(state, &logged, content),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn route(request: &Request) -> Option<Route> {
    let path = request.uri().path().trim_start_matches('/');
    if let Some(rest) = path.strip_prefix("api/v1/models/") {
        let query = request.uri().query().unwrap_or_default();
        let value = |name: &str| {
            let pair = query.split('&').find_map(|pair| pair.strip_prefix(name));
            pair.map(|value| value.replace("%2F", "/"))
        };
        let list = rest.strip_suffix("/repo/files");
        return Some(Route {
            repo: list.or_else(|| rest.strip_suffix("/repo"))?.to_owned(),
            revision: value("Revision=")?,
            file: if list.is_some() {
                None
            } else {
                Some(value("FilePath=")?)
            },
            is_model_scope: true,
        });
    }
    let (repo, revision, file) = if let Some(rest) = path.strip_prefix("api/models/") {
        let (repo, revision) = rest.split_once("/revision/")?;
        (repo, revision, None)
    } else {
        let (repo, rest) = path.split_once("/resolve/")?;
        let (revision, file) = rest.split_once('/')?;
        (repo, revision, Some(file.to_owned()))
    };
    Some(Route {
        repo: repo.to_owned(),
        revision: revision.to_owned(),
        file,
        is_model_scope: false,
    })
}

fn refused(route: &Route, status: StatusCode, code: &'static str) -> Response {
    if route.is_model_scope {
        // It tells in words, and its status is 404 for what is private too.
        let (status, message) = match code {
            "GatedRepo" => (StatusCode::FORBIDDEN, "no access"),
            "RevisionNotFound" => (StatusCode::NOT_FOUND, "the revision does not exist"),
            _ => (StatusCode::NOT_FOUND, "not found"),
        };
        let body = serde_json::json!({"Code": 10_010_205_001_u64, "Message": message, "Success": false});
        return (status, body.to_string()).into_response();
    }
    let body = serde_json::json!({ "error": "refused by the script" }).to_string();
    (status, [("x-error-code", code)], body).into_response()
}

fn json(value: &Value) -> Response {
    ([(CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

/// A status that a file has for a while.
fn passing_status(state: &State, path: &str) -> Option<Response> {
    let is_status = |fault| matches!(fault, HubFault::Busy(..) | HubFault::Fail(_));
    match state.take_passing(path, is_status)? {
        HubFault::Busy(_, seconds) => {
            let wait = [(RETRY_AFTER, seconds.to_string())];
            Some((StatusCode::TOO_MANY_REQUESTS, wait).into_response())
        }
        _ => Some(StatusCode::SERVICE_UNAVAILABLE.into_response()),
    }
}

/// What follows the bytes of an answer.
#[derive(Clone)]
enum End {
    Well,
    Break,
    /// These, once the answer is released.
    Held(Bytes, CancellationToken),
    Never,
}

fn file(state: &State, request: &HubRequest, content: &Bytes) -> Response {
    let path = request.path.as_str();
    let lasting = |meant: fn(HubFault) -> bool| state.has_fault(path, meant);
    let mut content = content.clone();
    if lasting(|fault| fault == HubFault::Damage).is_some() {
        let mut damaged = content.to_vec();
        if let Some(last) = damaged.last_mut() {
            *last ^= 1;
        }
        content = damaged.into();
    }
    if let Some(HubFault::Truncate(length)) = lasting(|fault| matches!(fault, HubFault::Truncate(_))) {
        content.truncate(length);
    }
    let tag = format!("\"{}\"", sha256(&content));
    let is_same = request.if_range.as_ref().is_none_or(|wanted| *wanted == tag);
    let ignores = lasting(|fault| fault == HubFault::IgnoreRange).is_some();
    let whole = content.len();
    let from = if is_same && !ignores { request.from() } else { 0 };
    if from >= whole && from > 0 {
        return StatusCode::RANGE_NOT_SATISFIABLE.into_response();
    }
    let rest = content.slice(from..);
    let mut headers = HeaderMap::new();
    let mut say = |name, text: String| {
        if let Ok(value) = text.parse() {
            headers.insert(name, value);
        }
    };
    say(ETAG, tag);
    if from > 0 {
        say(CONTENT_RANGE, format!("bytes {from}-{}/{whole}", whole - 1));
    }
    let (rest, end, has_length) = ending(state, path, rest);
    if let Some(length) = has_length {
        say(CONTENT_LENGTH, length.to_string());
    }
    let status = if from > 0 {
        StatusCode::PARTIAL_CONTENT
    } else {
        StatusCode::OK
    };
    (status, headers, body(rest, end)).into_response()
}

/// The bytes that are sent, what follows them, and the length that is announced.
fn ending(state: &State, path: &str, rest: Bytes) -> (Bytes, End, Option<usize>) {
    let announced = rest.len();
    let first = |count: usize| rest.slice(..count.min(announced));
    let is_cut = |fault| matches!(fault, HubFault::Cut(_) | HubFault::Hold(_));
    match state.take_passing(path, is_cut) {
        Some(HubFault::Cut(count)) => return (first(count), End::Break, Some(announced)),
        Some(HubFault::Hold(count)) => {
            let held = rest.slice(count.min(announced)..);
            let end = End::Held(held, state.released.clone());
            return (first(count), end, Some(announced));
        }
        _ => {}
    }
    let is_ending = |fault| matches!(fault, HubFault::End(_) | HubFault::Endless);
    match state.has_fault(path, is_ending) {
        Some(HubFault::End(count)) => (first(count), End::Well, None),
        Some(_) => (rest, End::Never, None),
        None => (rest, End::Well, Some(announced)),
    }
}

fn body(bytes: Bytes, end: End) -> Body {
    Body::from_stream(stream::unfold((bytes, end), |(mut left, mut end)| async move {
        if left.is_empty()
            && let End::Held(rest, released) = end
        {
            released.cancelled().await;
            (left, end) = (rest, End::Well);
        }
        if !left.is_empty() {
            let piece = left.split_to(left.len().min(PIECE_BYTES));
            return Some((Ok(piece), (left, end)));
        }
        match end {
            End::Well | End::Held(..) => None,
            End::Break => {
                // A pending body lets the server write what it holds; breaking off would drop it.
                tokio::task::yield_now().await;
                Some((Err(io::Error::other("cut by the script")), (left, end)))
            }
            End::Never => Some((Ok(Bytes::from(vec![b'x'; PIECE_BYTES])), (left, end))),
        }
    }))
}
