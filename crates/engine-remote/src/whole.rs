//! Reads an answer in one piece from its connection, within limits of time and size.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

use crate::RemoteError;
use crate::connection::Answer;

/// Reads the whole body.
///
/// # Errors
/// When it is not there at the moment `by`, `limit` after the request was sent, is longer than `most`
/// bytes, or breaks.
pub(crate) async fn read_whole(
    body: Answer,
    by: Instant,
    limit: Duration,
    most: usize,
) -> Result<Bytes, RemoteError> {
    timeout_at(by, collect(body, most))
        .await
        .unwrap_or(Err(RemoteError::Silent(limit)))
}

async fn collect(mut body: Answer, most: usize) -> Result<Bytes, RemoteError> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        // Trailers say nothing here.
        let Ok(data) = frame.map_err(RemoteError::Broken)?.into_data() else {
            continue;
        };
        if first.len() + all.len() + data.len() > most {
            return Err(RemoteError::AnswerTooLong(most));
        }
        if first.is_empty() && all.is_empty() {
            // Most answers come in one piece, which is not copied.
            first = data;
        } else {
            all.extend_from_slice(&std::mem::take(&mut first));
            all.extend_from_slice(&data);
        }
    }
    if all.is_empty() {
        Ok(first)
    } else {
        Ok(all.freeze())
    }
}
