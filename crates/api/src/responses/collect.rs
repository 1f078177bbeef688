//! The answer in one piece.

use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use silica_engine::{ChatEventKind, FinishReason, Usage};
use silica_gateway::{Call, GatewayError};

use super::growing::{Deaf, Growing};
use crate::{Failure, Json};

/// Reads a call to its end and writes the answer. Dropping the future cancels the call.
///
/// # Errors
/// When the call fails, whatever was generated before.
pub(super) async fn collect(mut call: Call, mut growing: Growing) -> Result<Response, Failure> {
    let mut end: Option<(FinishReason, Usage)> = None;
    while let Some(event) = call.next().await {
        let event = event?;
        match event.kind {
            // Only requests that carry their body are forwarded.
            ChatEventKind::Started | ChatEventKind::Forwarded { .. } => {}
            ChatEventKind::Delta { delta, .. } => growing.add(delta, &mut Deaf),
            ChatEventKind::Finished { reason, .. } => {
                growing.end(reason, event.usage, &mut Deaf);
                end = Some((reason, event.usage));
            }
        }
    }
    let (reason, usage) = end.ok_or(GatewayError::Cut)?;
    Ok(Json(growing.whole(reason, usage)).into_response())
}
