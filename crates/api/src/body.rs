//! Request bodies: read within limits, parsed away from the async threads when large.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRef, FromRequest, Request};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use silica_protocol::{ApiError, ErrorCode, ForwardableBody, MemberSpans, RequestBody};
use tokio::time::timeout;

use crate::Failure;
use crate::body_budget::{BodyBudget, BodyShare, NoRoom};

/// Limits on request bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimits {
    /// The most bytes of a body.
    pub max_bytes: usize,
    /// The most bytes of all large bodies together while they are read and parsed; one that finds no
    /// room is refused with 503.
    pub max_total_bytes: usize,
    /// The time within which a body must have arrived.
    pub timeout: Duration,
}

/// Larger bodies are parsed on the blocking pool: parsing takes about a millisecond per megabyte.
const PARSE_INLINE_BYTES: usize = 64 * 1024;

/// A body gets room for so many times what has come of it, as long as it goes on: whoever announces much
/// and sends little takes little, and of what is sent less than a third is copied for want of room.
const GROWTH: usize = 4;

/// A body that validates itself.
#[derive(Debug, Clone, Copy)]
pub struct ValidJson<T>(pub T);

/// As [`ValidJson`], with the body as it came, for engines that it can be forwarded to.
#[derive(Debug, Clone)]
pub struct ForwardableJson<T>(pub T, pub RawBody);

/// A body as it came.
#[derive(Debug, Clone)]
pub struct RawBody {
    /// Its text.
    pub bytes: Bytes,
    /// What of it is not forwarded as it came.
    pub members: MemberSpans,
}

impl<S: Send + Sync, T: ForwardableBody> FromRequest<S> for ForwardableJson<T>
where
    BodyLimits: FromRef<S>,
{
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let body = read(request, BodyLimits::from_ref(state)).await?;
        let (request, members) = parse(body.clone(), T::from_json_with_spans).await?;
        Ok(Self(request, RawBody { bytes: body, members }))
    }
}

impl<S: Send + Sync, T: RequestBody> FromRequest<S> for ValidJson<T>
where
    BodyLimits: FromRef<S>,
{
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let body = read(request, BodyLimits::from_ref(state)).await?;
        Ok(Self(parse(body, T::from_json).await?))
    }
}

/// JSON both ways, for endpoints of our own: a body read by serde, whose errors name the field,
/// or a response.
#[derive(Debug, Clone, Copy)]
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send + 'static> FromRequest<S> for Json<T>
where
    BodyLimits: FromRef<S>,
{
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let body = read(request, BodyLimits::from_ref(state)).await?;
        Ok(Self(parse(body, from_serde).await?))
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => json_response(body),
            Err(error) => {
                tracing::error!(%error, "a response cannot be serialised");
                Failure::from(ErrorCode::Internal).into_response()
            }
        }
    }
}

/// A response of JSON that is written already.
pub(crate) fn json_response(body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn from_serde<T: DeserializeOwned>(text: &str) -> Result<T, ApiError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        ApiError::invalid(if path == "." {
            inner.to_string()
        } else {
            format!("{path}: {inner}")
        })
    })?;
    deserializer
        .end()
        .map_err(|error| ApiError::invalid(error.to_string()))?;
    Ok(value)
}

async fn parse<T: Send + 'static>(
    body: Bytes,
    parser: fn(&str) -> Result<T, ApiError>,
) -> Result<T, ApiError> {
    if body.len() <= PARSE_INLINE_BYTES {
        return parse_utf8(&body, parser);
    }
    let parsed = tokio::task::spawn_blocking(move || parse_utf8(&body, parser)).await;
    parsed.unwrap_or_else(|_panic_or_shutdown| Err(ErrorCode::Internal.into()))
}

fn parse_utf8<T>(body: &[u8], parser: fn(&str) -> Result<T, ApiError>) -> Result<T, ApiError> {
    let text =
        std::str::from_utf8(body).map_err(|_| ApiError::invalid("The request body is not valid UTF-8."))?;
    parser(text)
}

/// Reads a whole body within the limits. What it has taken of the budget is given back with the last
/// of its bytes. What is left of a refused one is for [`drain_unread`](crate::drain_unread).
async fn read(request: Request, limits: BodyLimits) -> Result<Bytes, ApiError> {
    // Absent on the operator's listener, whose few callers need no common bound.
    let share = request.extensions().get::<BodyBudget>().map(BodyBudget::share);
    let body = request.into_body();
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limits.max_bytes {
        return Err(too_large(limits));
    }
    timeout(limits.timeout, collect(body, announced, limits, share))
        .await
        .unwrap_or_else(|_elapsed| Err(ErrorCode::BodyTimeout.into()))
}

async fn collect(
    mut body: Body,
    announced: usize,
    limits: BodyLimits,
    mut share: Option<BodyShare>,
) -> Result<Bytes, ApiError> {
    let mut collected = BytesMut::with_capacity(announced.min(PARSE_INLINE_BYTES));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::invalid("The request body could not be read."))?;
        let Ok(data) = frame.into_data() else { continue };
        if collected.len() + data.len() > limits.max_bytes {
            return Err(too_large(limits));
        }
        if let Some(share) = &mut share {
            // Counted as it arrives: an announced length costs a client nothing.
            share
                .grow_to(collected.len() + data.len())
                .map_err(|NoRoom| ErrorCode::ModelServiceUnavailable)?;
        }
        if collected.capacity() - collected.len() < data.len() {
            let left = announced.saturating_sub(collected.len());
            collected.reserve(left.min(GROWTH * collected.len()).max(data.len()));
        }
        collected.extend_from_slice(&data);
    }
    let bytes = collected.freeze();
    Ok(match share {
        Some(share) => share.over(bytes),
        None => bytes,
    })
}

fn too_large(limits: BodyLimits) -> ApiError {
    let text = format!("The request body must have at most {} bytes.", limits.max_bytes);
    ApiError::with_message(ErrorCode::EntityTooLarge, text)
}
