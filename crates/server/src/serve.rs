//! `silica serve`: puts the parts together, starts them in order and ends them in order.

mod addresses;
mod connection;
mod health;
mod listener;
mod loader;
mod server;
mod signals;
mod telemetry;

use std::time::Duration;

use anyhow::Context as _;
use tokio_util::task::TaskTracker;

use crate::cli::ServeArguments;
use crate::config::{self, Config, Environment};
use crate::{logging, setup, terminal};
use addresses::AddressFile;
use health::Phase;
use listener::{Limits, Listener, Shutdown};
use server::Server;
use signals::Signals;

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
    logging::start(&config.log)?;
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
    setup::make_data_folder(&config.data.dir)?;
    // A database that does not answer must not keep a signal waiting.
    let server = tokio::select! {
        server = Server::open(config, environment) => server?,
        () = signals.next() => return Ok(()),
    };
    let _addresses = AddressFile::write(&config.data.dir, public.address(), admin.address())?;
    let running = Running::start(&server, config, public, admin)?;
    let outcome = tokio::select! {
        started = running.announce(&server, config) => match started {
            Ok(()) => {
                signals.next().await;
                Ok(())
            }
            Err(error) => Err(error),
        },
        () = signals.next() => Ok(()),
    };
    running
        .stop(&server, config.server.shutdown_grace.0, &mut signals)
        .await;
    server.close().await;
    outcome
}

/// Both listeners at work.
struct Running {
    public_url: String,
    admin_url: String,
    public: TaskTracker,
    admin: TaskTracker,
    public_shutdown: Shutdown,
    admin_shutdown: Shutdown,
}

impl Running {
    /// Begins to answer on both listeners: `/healthz` at once, models once they are loaded.
    fn start(server: &Server, config: &Config, public: Listener, admin: Listener) -> anyhow::Result<Self> {
        let limits = Limits {
            connections: config.server.max_connections,
            idle: config.server.idle_timeout.0,
        };
        let running = Self {
            public_url: format!("http://{}", public.address()),
            admin_url: format!("http://{}", admin.address()),
            public: TaskTracker::new(),
            admin: TaskTracker::new(),
            public_shutdown: Shutdown::default(),
            admin_shutdown: Shutdown::default(),
        };
        running.public.spawn(public.serve(
            server.public_router(config)?,
            limits,
            running.public_shutdown.clone(),
        ));
        running.admin.spawn(admin.serve(
            server.admin_router(config)?,
            limits,
            running.admin_shutdown.clone(),
        ));
        running.public.close();
        running.admin.close();
        tracing::info!(public = %running.public_url, admin = %running.admin_url, "listening on {}", running.public_url);
        Ok(running)
    }

    /// Loads the models, then tells the terminal where the server is.
    async fn announce(&self, server: &Server, config: &Config) -> anyhow::Result<()> {
        let first = server.start_models(config).await?;
        server.readiness.enter(Phase::Ready);
        tracing::info!("ready on {}", self.public_url);
        if let Some((models, api_key)) = first {
            let welcome = setup::Welcome {
                data: &config.data.dir,
                public: &self.public_url,
                admin: &self.admin_url,
                operator_email: &config.admin.operator_email,
                key_place: &server.admin_key_place,
                models: &models,
                api_key: &api_key,
            };
            terminal::say(&welcome.text());
        }
        terminal::say(&format!("Silica is ready on {}", self.public_url));
        Ok(())
    }

    /// Ends both listeners. Running requests of the public one may go on for `grace`, unless
    /// another signal cuts them; the admin listener goes last, so that `/readyz` tells why.
    async fn stop(self, server: &Server, grace: Duration, signals: &mut Signals) {
        server.readiness.enter(Phase::Stopping);
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
