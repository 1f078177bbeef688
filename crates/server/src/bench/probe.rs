//! Asks cheap questions while the model is busy, to see whether the rest of the server stays quick.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use super::percentile::Durations;
use super::stream::Target;

/// Pause between two rounds of questions.
const PAUSE: Duration = Duration::from_millis(20);

/// Response times of the two probed routes.
#[derive(Debug, Default)]
pub(super) struct Probed {
    pub(super) models: Durations,
    pub(super) health: Durations,
}

/// Asks `GET /v1/models` and `GET /healthz` in turn until `stop` is cancelled.
///
/// # Errors
/// When one of the answers is no success.
pub(super) async fn probe(target: Target, stop: CancellationToken) -> anyhow::Result<Probed> {
    let models_url = format!("{}/models", target.base_url);
    let health_url = format!("{}/healthz", target.base_url.trim_end_matches("/v1"));
    let (mut models, mut health) = (Vec::new(), Vec::new());
    while !stop.is_cancelled() {
        models.push(
            time(&target, &models_url)
                .await
                .context("GET /v1/models failed")?,
        );
        health.push(time(&target, &health_url).await.context("GET /healthz failed")?);
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
    Ok(Probed {
        models: models.into_iter().collect(),
        health: health.into_iter().collect(),
    })
}

async fn time(target: &Target, url: &str) -> anyhow::Result<Duration> {
    let started = Instant::now();
    let response = target
        .client
        .get(url)
        .bearer_auth(&target.api_key)
        .send()
        .await?
        .error_for_status()?;
    response.bytes().await?;
    Ok(started.elapsed())
}
