//! The layers around the routes, each small, each on its own.

use std::any::Any;
use std::time::Duration;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{Extensions, HeaderMap, HeaderName, Method, StatusCode, Version, header};
use silica_protocol::{ApiError, ErrorCode, ErrorDialect, ErrorForm};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{And, Predicate, SizeAbove};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use crate::failure::render;
use crate::{CorsOrigins, Failure, drain_unread, limit_headers};

/// The response header that carries the trace id.
pub const TRACE_ID_HEADER: HeaderName = HeaderName::from_static("x-siliconcloud-trace-id");

/// Reads what the handler leaves of the request's body, and writes errors in the form of the route
/// and the operator's dialect; see [`drain_unread`] and [`Failure`].
pub(crate) async fn exchange(dialect: ErrorDialect, request: Request, next: Next) -> Response {
    let form = form_of(request.uri().path(), dialect);
    let response = drain_unread(request, next).await;
    match response.extensions().get::<ApiError>() {
        Some(error) if form != ErrorForm::Platform(ErrorDialect::Year2026) => {
            let error = error.clone();
            let mut rendered = render(&error, form);
            // `Allow` of a 405 and what a 429 says of the limits stay; content type and length are
            // the new body's, and the challenge of a 401 belongs to the dialect.
            for (name, value) in response.headers() {
                let of_body = [
                    header::CONTENT_TYPE,
                    header::CONTENT_LENGTH,
                    header::WWW_AUTHENTICATE,
                ];
                if !of_body.contains(name) {
                    rendered.headers_mut().insert(name, value.clone());
                }
            }
            rendered.extensions_mut().insert(error);
            rendered
        }
        Some(_) | None => response,
    }
}

/// Clients of Anthropic read errors in Anthropic's form, on its routes and below them.
fn form_of(path: &str, dialect: ErrorDialect) -> ErrorForm {
    let path = path.strip_prefix("/v1").unwrap_or(path);
    if path == "/messages" || path.starts_with("/messages/") {
        ErrorForm::Anthropic
    } else {
        ErrorForm::Platform(dialect)
    }
}

/// Answers 500 with code 60000 when a handler panics, and lets the server go on.
pub fn panic_barrier() -> CatchPanicLayer<fn(Box<dyn Any + Send>) -> Response> {
    CatchPanicLayer::custom(answer_panic as fn(Box<dyn Any + Send>) -> Response)
}

/// The panic's own text is not logged: it may quote the request.
fn answer_panic(_payload: Box<dyn Any + Send>) -> Response {
    tracing::error!("a handler panicked");
    Failure::from(ErrorCode::Internal).into_response()
}

/// Makes panics of any thread log where they happened, and nothing of their text: it may quote a
/// request. Takes the place of the hook that writes both to standard error.
pub fn install_panic_hook() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        tracing::error!(thread, "a thread panicked at {location}");
    }));
}

/// Lets browsers call the API and read the trace id, the limits and when to try again.
pub(crate) fn cors(origins: &CorsOrigins) -> CorsLayer {
    let origins = match origins {
        CorsOrigins::Any => AllowOrigin::any(),
        CorsOrigins::Only(list) => AllowOrigin::list(list.iter().cloned()),
    };
    let exposed: Vec<_> = [TRACE_ID_HEADER, header::RETRY_AFTER]
        .into_iter()
        .chain(limit_headers::all())
        .collect();
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        // `*` would leave out Authorization (Fetch standard, section 3.3.4).
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(exposed)
        .max_age(Duration::from_hours(1))
}

type OnlyJson = fn(StatusCode, Version, &HeaderMap, &Extensions) -> bool;

/// Compresses JSON answers above a kilobyte. Never SSE: an encoder would hold frames back.
pub(crate) fn compression() -> CompressionLayer<And<SizeAbove, OnlyJson>> {
    let predicate = SizeAbove::new(1024).and(is_json as OnlyJson);
    CompressionLayer::new()
        .gzip(true)
        .zstd(true)
        .compress_when(predicate)
}

fn is_json(_status: StatusCode, _version: Version, headers: &HeaderMap, _extensions: &Extensions) -> bool {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    content_type.is_some_and(|value| value.starts_with("application/json"))
}
