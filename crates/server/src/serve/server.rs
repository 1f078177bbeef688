//! The parts of one server and what they are made from.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::Bytes;
use axum::routing::{MethodRouter, get};
use http::header::CONTENT_TYPE;
use metrics_exporter_prometheus::PrometheusHandle;
use silica_api::{ApiConfig, ApiState, BodyLimits, ObserveLayer, method_not_allowed, panic_barrier};
use silica_console_api::AdminState;
use silica_gateway::Gateway;
use silica_platform::{Journal, MemoryCounters, Meter, MeterOptions, Platform, PlatformOptions, Storage};
use silica_types::{Secret, SharedClock, SystemClock};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::follow::follow;
use super::health::{Readiness, routes};
use super::loader::Engines;
use super::moderation::moderation;
use super::telemetry;
use crate::catalogue_file::{CatalogueFollower, CatalogueSource};
use crate::config::{Config, Environment, OnLoadError};
use crate::otlp;
use crate::setup::{self, KeyPlace, MasterKeyPlace};

/// How long the database may take to close.
const CLOSE_LIMIT: Duration = Duration::from_secs(8);

/// Everything that the listeners share.
pub(super) struct Server {
    storage: Storage,
    pub(super) platform: Platform,
    meter: Meter,
    gateway: Gateway,
    clock: SharedClock,
    metrics: PrometheusHandle,
    admin_key: Secret,
    environment: Environment,
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
    pub(super) async fn open(
        config: &Config,
        environment: &Environment,
        readiness: Readiness,
    ) -> anyhow::Result<Self> {
        let metrics = telemetry::start()?;
        let clock: SharedClock = Arc::new(SystemClock);
        let engines = Arc::new(Engines::new(config, SharedClock::clone(&clock)).await?);
        let moderation = moderation(&config.moderation, engines.authorities().await?).await?;
        let (admin_key, admin_key_place) = setup::load_or_make(&config.data.dir, environment.admin_key())?;
        let url = config.database.url(&config.data.dir);
        let storage = Storage::open(&url)
            .await
            .with_context(|| format!("database {url}"))?;
        let zone = config.billing.zone()?;
        let master_keys = MasterKeyPlace::find_or_make(&config.data.dir, environment.master_key().as_ref())?;
        let options = PlatformOptions {
            zone,
            level_package_days: config.billing.level_package_days,
            cluster: config
                .cluster
                .settings(|| setup::load_or_make_node_id(&config.journal.path(&config.data.dir)))?,
            ..PlatformOptions::new(Arc::new(master_keys))
        };
        let platform = Platform::open_with(storage.clone(), SharedClock::clone(&clock), options).await?;
        let meter = open_meter(config, &platform).await?;
        let gateway = Gateway::with_health(
            platform.clone(),
            meter.clone(),
            engines,
            SharedClock::clone(&clock),
            config.gateway.health(),
        );
        if let Some(moderation) = moderation {
            gateway.moderate(moderation);
        }
        let server = Self {
            storage,
            platform,
            meter,
            gateway,
            clock,
            metrics,
            admin_key,
            environment: environment.clone(),
            admin_key_place,
            readiness,
            background: TaskTracker::new(),
            stop_background: CancellationToken::new(),
        };
        server.background.spawn(
            server
                .platform
                .clone()
                .refresh_loop(server.stop_background.clone()),
        );
        let (meter, stop) = (&server.meter, &server.stop_background);
        if let Some((sink, exporter)) = otlp::traces(&config.telemetry) {
            server.gateway.watch_calls(Arc::new(sink));
            server.background.spawn(exporter.run(stop.clone()));
        }
        server.background.spawn(meter.clone().apply_loop(stop.clone()));
        server.background.spawn(meter.clone().upkeep_loop(stop.clone()));
        server.background.spawn(meter.clone().alive_loop(stop.clone()));
        server.background.spawn(meter.clone().cluster_loop(stop.clone()));
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
            config: Arc::new(ApiConfig {
                dialect: config.errors.dialect,
                body: body_limits(config),
                cors: config.cors.origins()?,
                stream_stall_limit: config.server.write_timeout.0,
                trusted_proxies: config.server.trusted_proxies()?,
                ai_label: config.ai_label.label()?,
                ..ApiConfig::default()
            }),
        };
        let (layers, clock) = (Arc::clone(&state.config), SharedClock::clone(&self.clock));
        let routes = silica_api::routes(state).merge(self.common_routes(&silica_api::openapi())?);
        Ok(silica_api::with_layers(routes, &layers, clock))
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
        // The operator's router comes with its layers, so these routes get theirs here.
        let common = self
            .common_routes(&silica_console_api::openapi())?
            .layer(panic_barrier())
            .layer(ObserveLayer::new(SharedClock::clone(&self.clock)));
        Ok(silica_console_api::admin_router(state).merge(common))
    }

    /// What both listeners answer beside their API.
    fn common_routes(&self, openapi: &utoipa::openapi::OpenApi) -> anyhow::Result<Router> {
        Ok(routes(&self.readiness)
            .route("/openapi.json", document(openapi)?)
            .method_not_allowed_fallback(method_not_allowed))
    }

    /// Loads the models of the catalogue and follows its changes from then on. On the first start
    /// it deploys the demo models and returns their names.
    ///
    /// # Errors
    /// When a model cannot be loaded and the configuration says to fail, or the database fails.
    pub(super) async fn start_models(&self, config: &Config) -> anyhow::Result<Option<Vec<String>>> {
        let catalogue_file = self.catalogue_file(config).await?;
        let first_start = setup::is_first_start(&self.platform).await?;
        let mut demo_models = Vec::new();
        if first_start {
            demo_models = setup::deploy_demo_models(&self.platform, &self.gateway, &config.models).await?;
        }
        if let Some(mut follower) = catalogue_file {
            follower.start().await?;
            let stop = self.stop_background.clone();
            self.background.spawn(follower.follow(stop));
        }
        // Subscribed before reading, so that no change falls between the two.
        let changes = self.platform.subscribe();
        let reconciled = self.gateway.reconcile().await;
        let behind = reconciled.is_err();
        if let Err(error) = reconciled {
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
            behind,
            self.stop_background.clone(),
        ));
        Ok(first_start.then_some(demo_models))
    }

    /// Makes what follows the catalogue file, if there is one. Without one, what came from a file
    /// that was configured before belongs to the operators.
    async fn catalogue_file(&self, config: &Config) -> anyhow::Result<Option<CatalogueFollower>> {
        let Some(path) = &config.catalogue.file else {
            if let Some(file) = self.platform.forget_catalogue_file().await? {
                tracing::warn!(
                    catalogue.file = %file.path,
                    "no catalogue file is configured any more; the {} models and {} deployments of the last one stay and belong to the operator API",
                    file.models.len(),
                    file.deployments.len()
                );
            }
            return Ok(None);
        };
        let source = CatalogueSource::new(path, &self.environment);
        CatalogueFollower::new(source, self.platform.clone(), self.gateway.clone()).map(Some)
    }

    /// Ends the background tasks, which apply the last settled calls, and closes the journal and
    /// the database.
    pub(super) async fn close(self) {
        self.stop_background.cancel();
        self.background.close();
        self.gateway.close().await;
        if timeout(CLOSE_LIMIT, self.background.wait()).await.is_err() {
            tracing::warn!("background work does not end; leaving it");
        }
        if timeout(CLOSE_LIMIT, self.meter.leave_cluster()).await.is_err() {
            tracing::warn!(
                "the other nodes do not hear that this one leaves; what it holds is free after a while"
            );
        }
        if timeout(CLOSE_LIMIT, self.meter.journal().clone().close())
            .await
            .is_err()
        {
            tracing::warn!("the usage journal does not close; what it holds is applied at the next start");
        }
        match timeout(CLOSE_LIMIT, self.storage.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("{:#}", anyhow::Error::from(error)),
            Err(_) => tracing::warn!("the database does not close; leaving it"),
        }
    }
}

/// Opens the usage journal and brings the database up to date with it.
async fn open_meter(config: &Config, platform: &Platform) -> anyhow::Result<Meter> {
    let options = config.journal.options(&config.data.dir);
    let opening = tokio::task::spawn_blocking(move || {
        let context = || format!("usage journal {}", options.path.display());
        if let Some(folder) = options.path.parent() {
            setup::make_private_folder(folder).with_context(context)?;
        }
        Journal::open(options.clone()).with_context(context)
    });
    let journal = opening.await??;
    let options = MeterOptions {
        tables: config.limits.tables()?,
        max_calls: usize::try_from(config.limits.max_running_calls)?,
        retention_days: config.billing.call_retention_days,
    };
    let counters = Arc::new(MemoryCounters::new());
    Ok(Meter::open(platform.clone(), journal, counters, options).await?)
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
        max_total_bytes: usize::try_from(config.server.max_bodies.bytes()).unwrap_or(usize::MAX),
        timeout: config.server.body_timeout.0,
    }
}
