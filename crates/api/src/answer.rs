//! What the handlers of calls have in common, between the gateway's call and the response.

use axum::response::Response;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use silica_engine::{ChatEvent, ChatEventKind, Delta, FinishReason, Usage, WireRequest, WireRoute};
use silica_gateway::{Admitted, Call, Delivery, GatewayError};
use silica_protocol::ErrorCode;
use silica_types::MediaParts;

use crate::sse::{self, WriteFrames};
use crate::{ApiConfig, Failure, RawBody};

/// The request as it came, for engines that it can be forwarded to.
pub(crate) fn original(admitted: &Admitted, body: RawBody, route: WireRoute, streams: bool) -> WireRequest {
    WireRequest {
        body: body.bytes,
        members: body.members.into(),
        route,
        id: admitted.id().to_string(),
        model: admitted.model().id.clone(),
        media: MediaParts::default(),
        streams,
        is_read: false,
    }
}

/// How the answer goes to the client.
pub(crate) const fn delivery(streams: bool) -> Delivery {
    if streams {
        Delivery::Streamed
    } else {
        Delivery::Whole
    }
}

/// Waits for the first event, so that an early failure still has its HTTP status, and streams.
pub(crate) async fn streamed<W>(mut call: Call, writer: W, config: &ApiConfig) -> Result<Response, Failure>
where
    W: WriteFrames<Item = Result<ChatEvent, GatewayError>>,
{
    let first = call.next().await.ok_or(GatewayError::Cut)??;
    let events = stream::iter([Ok(first)]).chain(call);
    let label = config.ai_label.clone();
    let mut response = sse::response(events, writer, config.stream_stall_limit, label);
    if let Some(label) = &config.ai_label {
        label.on_stream(&mut response);
    }
    Ok(response)
}

/// Labels an answer in one piece, if the operator wants that.
pub(crate) async fn labelled(response: Response, config: &ApiConfig) -> Response {
    match &config.ai_label {
        Some(label) => label.on_whole(response).await,
        None => response,
    }
}

/// One choice of an answer in one piece, while it grows.
pub(crate) trait GrowingChoice {
    /// Takes more of the choice.
    fn add(&mut self, delta: Delta);

    /// Takes the reason for its end.
    fn end(&mut self, reason: FinishReason);
}

/// A whole answer.
pub(crate) enum Collected<T> {
    /// From the events of an engine.
    Written(T),
    /// As an engine wrote it: JSON.
    Forwarded(Bytes),
}

/// Reads a call to its end, into one part for each choice. Dropping the future cancels the call.
///
/// # Errors
/// When the call fails, whatever was generated before.
pub(crate) async fn collected<P: GrowingChoice>(
    mut call: Call,
    mut parts: Vec<P>,
) -> Result<Collected<(Vec<P>, Usage)>, GatewayError> {
    let mut usage = Usage::default();
    let mut forwarded = None;
    while let Some(event) = call.next().await {
        let event = event?;
        usage = event.usage;
        match event.kind {
            ChatEventKind::Started => {}
            ChatEventKind::Forwarded { bytes, .. } => forwarded = Some(bytes),
            ChatEventKind::Delta { choice, delta } => part(&mut parts, choice)?.add(delta),
            ChatEventKind::Finished { choice, reason, .. } => part(&mut parts, choice)?.end(reason),
        }
    }
    Ok(forwarded.map_or(Collected::Written((parts, usage)), Collected::Forwarded))
}

/// An engine that speaks of a choice nobody asked for has lost its way.
fn part<P>(parts: &mut [P], choice: u32) -> Result<&mut P, GatewayError> {
    usize::try_from(choice)
        .ok()
        .and_then(|index| parts.get_mut(index))
        .ok_or(GatewayError::Cut)
}

/// Runs what takes more than half a millisecond where it holds up no other request.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ErrorCode> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_panic_or_shutdown| ErrorCode::Internal)
}
