//! Follows the catalogue file while the server runs.

use std::time::Duration;

use anyhow::Context as _;
use silica_gateway::Gateway;
use silica_platform::{AppliedCatalogue, Platform};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::apply::apply;
use super::{CatalogueFileError, CatalogueSource};

/// Pause between two looks at the file. It is small, so it is read and compared as a whole: no
/// change of its time stamp, its place or its size needs to be trusted.
const PERIOD: Duration = Duration::from_secs(1);

/// Puts the catalogue file in force at start and whenever it changes.
pub(crate) struct CatalogueFollower {
    source: CatalogueSource,
    platform: Platform,
    gateway: Gateway,
    /// SIGHUP: read it now, and again even when it is the same.
    hangups: Signal,
    /// The last text that was tried and is not worth trying again; `None` before the first.
    tried: Option<String>,
    /// The last complaint, which is not repeated.
    complaint: Option<String>,
}

impl CatalogueFollower {
    /// Takes over SIGHUP; from now on it does not end the process.
    ///
    /// # Errors
    /// When the system refuses to give the signal.
    pub(crate) fn new(source: CatalogueSource, platform: Platform, gateway: Gateway) -> anyhow::Result<Self> {
        Ok(Self {
            source,
            platform,
            gateway,
            hangups: signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?,
            tried: None,
            complaint: None,
        })
    }

    /// Puts the file in force at start. A file that is not good is bearable when there is a last
    /// good one, which the database remembers.
    ///
    /// # Errors
    /// When the file is not good and no file was ever in force, or the database fails.
    pub(crate) async fn start(&mut self) -> anyhow::Result<()> {
        let Err(error) = self.read_and_apply().await else {
            return Ok(());
        };
        let Some(last) = self.platform.catalogue_file().await? else {
            return Err(error.into());
        };
        self.complain(error);
        tracing::error!(
            applied_at = %last.applied_at,
            "going on with the models and deployments of the last good catalogue file"
        );
        Ok(())
    }

    /// Looks at the file until `shutdown`.
    pub(crate) async fn follow(mut self, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
                _ = self.hangups.recv() => {
                    tracing::info!("SIGHUP: reading the catalogue file again");
                    self.tried = None;
                    self.complaint = None;
                }
            }
            let outcome = tokio::select! {
                () = shutdown.cancelled() => return,
                outcome = self.read_and_apply() => outcome,
            };
            if let Err(error) = outcome {
                self.complain(error);
            }
        }
    }

    /// Puts the file in force unless it was tried before.
    async fn read_and_apply(&mut self) -> Result<(), CatalogueFileError> {
        let source = self.source.clone();
        let reading = tokio::task::spawn_blocking(move || source.text());
        let text = reading.await.map_err(CatalogueFileError::Cut)??;
        if self.tried.as_deref() == Some(text.as_str()) {
            return Ok(());
        }
        let outcome = apply(&self.source, &text, &self.platform, &self.gateway).await;
        if !outcome.as_ref().is_err_and(CatalogueFileError::is_passing) {
            self.tried = Some(text);
        }
        let applied = outcome?;
        self.complaint = None;
        good(true);
        self.tell(&applied);
        Ok(())
    }

    fn tell(&self, applied: &AppliedCatalogue) {
        tracing::info!(
            catalogue.file = %self.source.path().display(),
            models = applied.models.len(),
            deployments = applied.deployments.len(),
            disabled_models = applied.disabled_models.len(),
            deleted_deployments = applied.deleted_deployments.len(),
            "the catalogue file is in force; changed models: {:?}, changed deployments: {:?}, disabled models: {:?}, deleted deployments: {:?}",
            applied.models,
            applied.deployments,
            applied.disabled_models,
            applied.deleted_deployments
        );
    }

    /// Logs what is wrong, once.
    fn complain(&mut self, error: CatalogueFileError) {
        good(false);
        let error = format!("{:#}", anyhow::Error::from(error));
        if self.complaint.as_deref() != Some(error.as_str()) {
            tracing::error!("the catalogue file is not good, the last good one stays in force: {error}");
            self.complaint = Some(error);
        }
    }
}

/// Says whether what the file says is what is in force.
fn good(is_good: bool) {
    metrics::gauge!("silica_catalogue_file_good").set(if is_good { 1.0 } else { 0.0 });
}
