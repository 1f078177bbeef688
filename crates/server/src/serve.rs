//! `silica serve`: puts the parts together, starts them in order and ends them in order.

mod addresses;
mod check;
mod connection;
mod door;
mod follow;
mod health;
mod listener;
mod loader;
mod locked;
mod moderation;
mod open_files;
mod patient;
mod server;
mod signals;
mod telemetry;

use std::pin::pin;
use std::time::Duration;

use anyhow::Context as _;
use silica_types::Secret;
use tokio_util::task::TaskTracker;

use crate::cli::ServeArguments;
use crate::config::{self, Config, Environment};
use crate::setup::{self, DataFolder};
use crate::{logging, terminal};
use addresses::AddressFile;
pub(crate) use check::check_catalogue_file;
use door::Door;
use health::{Phase, Readiness};
use listener::{Limits, Listener, Shutdown};
use server::Server;
use signals::Signals;

/// How long a signal waits for the set-up of a first start.
const SET_UP_GRACE: Duration = Duration::from_secs(5);
/// How long the start waits for a place among the servers that count together.
const JOIN_GRACE: Duration = Duration::from_secs(5);
/// How long operators' requests may go on after the public API has ended.
const ADMIN_GRACE: Duration = Duration::from_secs(1);
/// How long work on blocking threads (a model that is still loading) may hold up the end.
const BLOCKING_GRACE: Duration = Duration::from_secs(1);

/// Serves until a signal ends it.
///
/// # Errors
/// Whatever keeps it from serving: configuration, ports, data folder, database, models.
pub(crate) fn run(arguments: &ServeArguments, environment: &Environment) -> anyhow::Result<()> {
    let config = config::load(arguments.config.as_deref(), environment, arguments.overrides())?;
    let _lines = logging::start(&config.log)?;
    silica_api::install_panic_hook();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("silica-api")
        .build()?;
    let outcome = runtime.block_on(serve(&config, environment));
    runtime.shutdown_timeout(BLOCKING_GRACE);
    outcome
}

async fn serve(config: &Config, environment: &Environment) -> anyhow::Result<()> {
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    // Ports first: a second server on the same ports must not touch the first one's data.
    let public = Listener::bind(config.server.listen, "server.listen").await?;
    let admin = Listener::bind(config.admin.listen, "admin.listen").await?;
    let _data = DataFolder::claim(&config.data.dir)?;
    let _addresses = AddressFile::write(&config.data.dir, public.address(), admin.address())?;
    let readiness = Readiness::starting();
    let running = Running::start(&readiness, config, public, admin);
    // A database that does not answer must not keep a signal waiting.
    let opened = tokio::select! {
        server = Server::open(config, environment, readiness.clone()) => server.map(Some),
        () = signals.next() => Ok(None),
    };
    let outcome = match &opened {
        Ok(Some(server)) => running.until_signalled(server, config, &mut signals).await,
        Ok(None) | Err(_) => Ok(()),
    };
    running
        .stop(&readiness, config.server.shutdown_grace.0, &mut signals)
        .await;
    if let Some(server) = opened? {
        server.close().await;
    }
    outcome
}

/// Both listeners at work.
struct Running {
    public_url: String,
    admin_url: String,
    public_door: Door,
    admin_door: Door,
    public: TaskTracker,
    admin: TaskTracker,
    public_shutdown: Shutdown,
    admin_shutdown: Shutdown,
}

impl Running {
    /// Begins to answer on both listeners: health at once, the rest when their doors are opened.
    fn start(readiness: &Readiness, config: &Config, public: Listener, admin: Listener) -> Self {
        let places = open_files::connections(config.server.max_connections);
        let limits = |connections| Limits {
            connections,
            idle: config.server.idle_timeout.0,
            write: config.server.write_timeout.0,
        };
        let running = Self {
            public_url: format!("http://{}", public.address()),
            admin_url: format!("http://{}", admin.address()),
            public_door: Door::closed(readiness),
            admin_door: Door::closed(readiness),
            public: TaskTracker::new(),
            admin: TaskTracker::new(),
            public_shutdown: Shutdown::default(),
            admin_shutdown: Shutdown::default(),
        };
        running.public.spawn(public.serve(
            running.public_door.clone(),
            limits(places.public),
            running.public_shutdown.clone(),
        ));
        running.admin.spawn(admin.serve(
            running.admin_door.clone(),
            limits(places.admin),
            running.admin_shutdown.clone(),
        ));
        running.public.close();
        running.admin.close();
        tracing::info!(public = %running.public_url, admin = %running.admin_url, "listening on {}", running.public_url);
        running
    }

    /// Gets ready, serves, and returns when a signal asks for the end, also before it is ready.
    async fn until_signalled(
        &self,
        server: &Server,
        config: &Config,
        signals: &mut Signals,
    ) -> anyhow::Result<()> {
        self.public_door.open(server.public_router(config)?);
        self.admin_door.open(server.admin_router(config)?);
        let first = tokio::select! {
            first = server.start_models(config) => first?,
            () = signals.next() => return Ok(()),
        };
        if let Some(models) = first {
            let mut set_up = pin!(self.set_up(server, config, &models));
            tokio::select! {
                done = set_up.as_mut() => done?,
                // The key may have been shown, so the set-up is finished before the end.
                () = signals.next() => {
                    return tokio::time::timeout(SET_UP_GRACE, set_up).await.context("the set-up was cut")?;
                }
            }
        }
        tokio::select! {
            // Without the others it serves as configured, and its log tells why.
            _joined = tokio::time::timeout(JOIN_GRACE, server.platform.joined()) => {}
            () = signals.next() => return Ok(()),
        }
        server.readiness.enter(Phase::Ready);
        tracing::info!("ready on {}", self.public_url);
        terminal::say(&format!("Silica is ready on {}", self.public_url));
        signals.next().await;
        Ok(())
    }

    /// Makes the operator and says on the terminal what a person needs to know.
    async fn set_up(&self, server: &Server, config: &Config, models: &[String]) -> anyhow::Result<()> {
        let email = &config.admin.operator_email;
        let show = |api_key: &Secret| {
            let welcome = setup::Welcome {
                data: &config.data.dir,
                public: &self.public_url,
                admin: &self.admin_url,
                operator_email: email,
                key_place: &server.admin_key_place,
                models,
                api_key,
            };
            terminal::hand_over(&welcome.text())
        };
        setup::make_operator(&server.platform, email, show).await
    }

    /// Ends both listeners. Running requests of the public one may go on for `grace`, unless
    /// another signal cuts them; the admin listener goes last, so that `/readyz` tells why.
    async fn stop(self, readiness: &Readiness, grace: Duration, signals: &mut Signals) {
        readiness.enter(Phase::Stopping);
        tracing::info!(
            grace_ms = grace.as_millis(),
            "stopping; running requests may finish"
        );
        self.public_shutdown.drain.cancel();
        tokio::select! {
            () = self.public.wait() => {}
            () = tokio::time::sleep(grace) => tracing::warn!("the grace period is over; cutting running requests"),
            () = signals.next() => tracing::warn!("signalled again; cutting running requests"),
        }
        self.public_shutdown.cut.cancel();
        self.public.wait().await;
        self.admin_shutdown.drain.cancel();
        // An operator's request that takes longer (loading a model) is cut like any other.
        let _ = tokio::time::timeout(ADMIN_GRACE, self.admin.wait()).await;
        self.admin_shutdown.cut.cancel();
        self.admin.wait().await;
        tracing::info!("stopped");
    }
}
