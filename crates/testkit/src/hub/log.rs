//! What clients asked for.

use std::sync::{Mutex, PoisonError};

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, COOKIE, IF_RANGE, RANGE};

/// Who was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HubServer {
    /// The hub itself.
    Hub,
    /// The server that large files are redirected to.
    Store,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubRequest {
    /// Who was asked.
    pub server: HubServer,
    /// The file's path in its repository; empty for the list.
    pub path: String,
    /// The header `Range`.
    pub range: Option<String>,
    /// The header `If-Range`.
    pub if_range: Option<String>,
    /// The headers that tell who asks: `Authorization` and `Cookie`.
    pub secrets: Vec<String>,
}

impl HubRequest {
    /// Where the wanted range begins; 0 without one.
    pub fn from(&self) -> usize {
        let start = self
            .range
            .as_deref()
            .and_then(|range| range.strip_prefix("bytes="));
        let start = start.and_then(|range| range.strip_suffix('-'));
        start.and_then(|start| start.parse().ok()).unwrap_or(0)
    }
}

#[derive(Debug, Default)]
pub(super) struct Log(Mutex<Vec<HubRequest>>);

impl Log {
    pub(super) fn add(&self, server: HubServer, path: &str, headers: &HeaderMap) -> HubRequest {
        let text = |value: &axum::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let request = HubRequest {
            server,
            path: path.to_owned(),
            range: headers.get(RANGE).map(text),
            if_range: headers.get(IF_RANGE).map(text),
            secrets: [AUTHORIZATION, COOKIE]
                .iter()
                .filter_map(|name| headers.get(name).map(text))
                .collect(),
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(request.clone());
        request
    }

    pub(super) fn all(&self) -> Vec<HubRequest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
