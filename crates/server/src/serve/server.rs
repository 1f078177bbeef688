//! The parts of one server and what they are made from.

use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::body::Bytes;
use axum::routing::{MethodRouter, get};
use http::header::CONTENT_TYPE;
use metrics_exporter_prometheus::PrometheusHandle;
use silica_api::{ApiConfig, ApiState, BodyLimits};
use silica_console_api::AdminState;
use silica_gateway::Gateway;
use silica_platform::{Platform, Storage};
use silica_types::{Secret, SharedClock, SystemClock};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::health::{Readiness, routes};
use super::loader::Engines;
use super::telemetry;
use crate::config::{Config, Environment, OnLoadError};
use crate::setup::{self, KeyPlace};

/// Everything that the listeners share.
pub(super) struct Server {
    storage: Storage,
    platform: Platform,
    gateway: Gateway,
    clock: SharedClock,
    metrics: PrometheusHandle,
    admin_key: Secret,
    pub(super) admin_key_place: KeyPlace,
    pub(super) readiness: Readiness,
    background: TaskTracker,
    stop_background: CancellationToken,
}

impl Server {
    /// Opens the database and starts the background tasks; loads no model yet.
    ///
    /// # Errors
    /// When the admin key is not usable or the database cannot be opened.
    pub(super) async fn open(config: &Config, environment: &Environment) -> anyhow::Result<Self> {
        let metrics = telemetry::start()?;
        let (admin_key, admin_key_place) = setup::load_or_make(&config.data.dir, environment.admin_key())?;
        let url = config.database.url(&config.data.dir);
        let storage = Storage::open(&url)
            .await
            .with_context(|| format!("database {url}"))?;
        let clock: SharedClock = Arc::new(SystemClock);
        let platform = Platform::open(storage.clone(), SharedClock::clone(&clock)).await?;
        let engines = Arc::new(Engines::new(config.engine.clone()));
        let gateway = Gateway::new(platform.clone(), engines, SharedClock::clone(&clock));
        let server = Self {
            storage,
            platform,
            gateway,
            clock,
            metrics,
            admin_key,
            admin_key_place,
            readiness: Readiness::starting(),
            background: TaskTracker::new(),
            stop_background: CancellationToken::new(),
        };
        server.background.spawn(
            server
                .platform
                .clone()
                .refresh_loop(server.stop_background.clone()),
        );
        server.background.spawn(telemetry::upkeep(
            server.metrics.clone(),
            server.stop_background.clone(),
        ));
        Ok(server)
    }

    /// What the public listener answers.
    ///
    /// # Errors
    /// When a CORS origin is none; the configuration was checked for that before.
    pub(super) fn public_router(&self, config: &Config) -> anyhow::Result<Router> {
        let state = ApiState {
            platform: self.platform.clone(),
            gateway: self.gateway.clone(),
            clock: SharedClock::clone(&self.clock),
            config: ApiConfig {
                dialect: config.errors.dialect,
                body: body_limits(config),
                cors: config.cors.origins()?,
                ..ApiConfig::default()
            },
        };
        let openapi = document(&silica_api::openapi())?;
        Ok(silica_api::router(state)
            .merge(routes(&self.readiness))
            .route("/openapi.json", openapi))
    }

    /// What the operator's listener answers.
    ///
    /// # Errors
    /// When the document of the API cannot be written.
    pub(super) fn admin_router(&self, config: &Config) -> anyhow::Result<Router> {
        let state = AdminState {
            platform: self.platform.clone(),
            gateway: self.gateway.clone(),
            admin_key: self.admin_key.clone(),
            metrics: self.metrics.clone(),
            clock: SharedClock::clone(&self.clock),
            body: body_limits(config),
        };
        let openapi = document(&silica_console_api::openapi())?;
        Ok(silica_console_api::admin_router(state)
            .merge(routes(&self.readiness))
            .route("/openapi.json", openapi))
    }

    /// Loads the models of the catalogue and follows its changes from then on. On the first start
    /// it deploys the demo models, makes the operator, and returns what to show.
    ///
    /// # Errors
    /// When a model cannot be loaded and the configuration says to fail, or the database fails.
    pub(super) async fn start_models(
        &self,
        config: &Config,
    ) -> anyhow::Result<Option<(Vec<String>, Secret)>> {
        let first_start = setup::is_first_start(&self.platform).await?;
        let mut demo_models = Vec::new();
        if first_start {
            demo_models = setup::deploy_demo_models(&self.platform, &self.gateway, &config.models).await?;
        }
        // Subscribed before reading, so that no change falls between the two.
        let changes = self.platform.subscribe();
        if let Err(error) = self.gateway.reconcile().await {
            match config.models.on_load_error {
                OnLoadError::Fail => return Err(error).context(setup::LOAD_FAILED),
                OnLoadError::Skip => {
                    tracing::error!("skipping a deployment: {:#}", anyhow::Error::from(error));
                }
            }
        }
        self.background.spawn(follow(
            self.gateway.clone(),
            changes,
            self.stop_background.clone(),
        ));
        if !first_start {
            return Ok(None);
        }
        let api_key = setup::make_operator(&self.platform, &config.admin.operator_email).await?;
        Ok(api_key.map(|api_key| (demo_models, api_key)))
    }

    /// Ends the background tasks and closes the database.
    pub(super) async fn close(self) {
        self.stop_background.cancel();
        self.background.close();
        self.background.wait().await;
        if let Err(error) = self.storage.close().await {
            tracing::warn!("{:#}", anyhow::Error::from(error));
        }
    }
}

/// Serves a document that is written once.
fn document(document: &utoipa::openapi::OpenApi) -> anyhow::Result<MethodRouter> {
    let text: Bytes = document.to_json()?.into();
    Ok(get(move || {
        std::future::ready(([(CONTENT_TYPE, "application/json")], text.clone()))
    }))
}

fn body_limits(config: &Config) -> BodyLimits {
    BodyLimits {
        max_bytes: usize::try_from(config.server.max_body.bytes()).unwrap_or(usize::MAX),
        timeout: config.server.body_timeout.0,
    }
}

/// Loads and drops engines as the catalogue changes, also when another process changed it.
async fn follow(
    gateway: Gateway,
    mut changes: tokio::sync::watch::Receiver<u64>,
    shutdown: CancellationToken,
) {
    loop {
        let changed = tokio::select! {
            () = shutdown.cancelled() => return,
            changed = changes.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
        let reconciled = tokio::select! {
            () = shutdown.cancelled() => return,
            reconciled = gateway.reconcile() => reconciled,
        };
        if let Err(error) = reconciled {
            tracing::error!("a deployment is not in force: {:#}", anyhow::Error::from(error));
        }
    }
}
