//! The layers around the routes, each small, each on its own.

use std::any::Any;
use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use futures::future::BoxFuture;
use http::{Extensions, HeaderMap, HeaderName, Method, StatusCode, Version, header};
use silica_protocol::{ApiError, ErrorCode, ErrorDialect, ErrorForm};
use tower::{Layer, Service};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{And, Predicate, SizeAbove};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use crate::ai_label::AI_LABEL_HEADER;
use crate::drain::Unread;
use crate::failure::render;
use crate::{CorsOrigins, Failure, limit_headers};

/// The response header that carries the trace id.
pub const TRACE_ID_HEADER: HeaderName = HeaderName::from_static("x-siliconcloud-trace-id");

/// Reads what the handler leaves of the request's body, and writes errors in the form of the route
/// and the operator's dialect; see [`drain_unread`](crate::drain_unread) and [`Failure`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExchangeLayer(pub(crate) ErrorDialect);

impl<S> Layer<S> for ExchangeLayer {
    type Service = Exchange<S>;

    fn layer(&self, inner: S) -> Exchange<S> {
        let Self(dialect) = *self;
        Exchange { inner, dialect }
    }
}

/// The service of [`ExchangeLayer`].
#[derive(Debug, Clone)]
pub(crate) struct Exchange<S> {
    inner: S,
    dialect: ErrorDialect,
}

impl<S> Service<Request> for Exchange<S>
where
    S: Service<Request, Response: IntoResponse, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let form = form_of(request.uri().path(), self.dialect);
        let (request, unread) = Unread::watch(request);
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await?.into_response();
            unread.drain().await;
            Ok(in_form(response, form))
        })
    }
}

/// Writes an error anew in the form of its route; other responses stay what they are.
fn in_form(response: Response, form: ErrorForm) -> Response {
    let Some(error) = response.extensions().get::<ApiError>() else {
        return response;
    };
    if form == ErrorForm::Platform(ErrorDialect::Year2026) {
        return response;
    }
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
    let exposed: Vec<_> = [TRACE_ID_HEADER, header::RETRY_AFTER, AI_LABEL_HEADER]
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
