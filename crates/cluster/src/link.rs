//! One connection to one life of a Redis.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use fred::clients::Client;
use fred::error::Error;
use fred::interfaces::{
    ClientLike as _, EventInterface as _, KeysInterface as _, LuaInterface as _, PubsubInterface as _,
};
use fred::types::config::{Config, UnresponsiveConfig};
use fred::types::{Builder, InfoKind, RespVersion, Value};
use futures::FutureExt as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::names::Names;
use crate::script::Script;
use crate::{ClusterError, ClusterOptions};

/// How long a connection may take to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Commands that may wait for the connection at once; more fail at once.
const WAITING: usize = 65_536;

/// A connection. Once lost it stays lost: the server behind a new one may be another, or one that has
/// forgotten things. Cheap to clone; the clones are one.
#[derive(Clone)]
pub struct Link(Arc<Inner>);

struct Inner {
    client: Client,
    names: Names,
    /// The life of the server that this is connected to.
    run: String,
    /// The checksums of [`Script::ALL`].
    scripts: Vec<String>,
    lost: watch::Receiver<bool>,
}

impl Link {
    /// Connects and gives the server the scripts.
    ///
    /// # Errors
    /// [`ClusterError`] when the address is none or no server answers there in time.
    pub async fn connect(options: &ClusterOptions) -> Result<Self, ClusterError> {
        let client = client(options)?;
        // Boxed, here and below: the client's futures are deep, and would be part of those of every call.
        let connecting = timeout(CONNECT_LIMIT, client.init().boxed()).await;
        let task = connecting
            .map_err(|_| ClusterError::ConnectTimeout)?
            .map_err(ClusterError::Connect)?;
        let (lose, lost) = watch::channel(false);
        watch_over(task, lose);
        let run = match suitable_run(&client).await {
            Ok(run) => run,
            Err(error) => {
                let _gone = client.quit().boxed().await;
                return Err(error);
            }
        };
        let mut scripts = Vec::with_capacity(Script::ALL.len());
        for script in Script::ALL {
            match client.script_load(script.text()).boxed().await {
                Ok(hash) => scripts.push(hash),
                Err(source) => {
                    let _gone = client.quit().boxed().await;
                    return Err(ClusterError::command(script.action())(source));
                }
            }
        }
        let names = Names::new(&options.namespace);
        Ok(Self(Arc::new(Inner {
            client,
            names,
            run,
            scripts,
            lost,
        })))
    }

    /// Resolves when the connection is lost.
    pub async fn lost(&self) {
        let mut lost = self.0.lost.clone();
        // The sender lives as long as the connection.
        let _gone = lost.wait_for(|lost| *lost).await;
    }

    /// Tells every node that the database has news.
    ///
    /// # Errors
    /// [`ClusterError::Command`].
    pub async fn announce_change(&self) -> Result<(), ClusterError> {
        let told = self.0.client.publish::<i64, _, _>(self.names().changes(), "");
        told.boxed()
            .await
            .map(drop)
            .map_err(ClusterError::command("an announcement"))
    }

    /// Calls `heard` for every announcement of any node, until the connection is lost.
    ///
    /// # Errors
    /// [`ClusterError::Command`] when the server lets nobody listen.
    pub async fn hear_changes(&self, heard: impl Fn() + Send) -> Result<(), ClusterError> {
        let mut messages = self.0.client.message_rx();
        let subscribed = self.0.client.subscribe(self.names().changes()).boxed().await;
        subscribed.map_err(ClusterError::command("a subscription"))?;
        loop {
            tokio::select! {
                () = self.lost() => return Ok(()),
                message = messages.recv() => match message {
                    // Too many to read are as good as one.
                    Ok(_) | Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => heard(),
                    Err(tokio::sync::broadcast::error::RecvError::Closed) => return Ok(()),
                },
            }
        }
    }

    /// Ends the connection.
    pub async fn close(&self) {
        // It ends anyway when this is dropped.
        let _gone = self.0.client.quit().boxed().await;
    }

    pub(crate) fn names(&self) -> &Names {
        &self.0.names
    }

    pub(crate) fn run(&self) -> &str {
        &self.0.run
    }

    /// Runs a script.
    pub(crate) async fn call(
        &self,
        script: Script,
        keys: Vec<String>,
        arguments: Vec<String>,
    ) -> Result<Value, ClusterError> {
        let hash = self.0.scripts[script as usize].clone();
        let called = self.0.client.evalsha(hash, keys, arguments).boxed().await;
        called.map_err(ClusterError::command(script.action()))
    }

    pub(crate) async fn get(&self, key: String) -> Result<Option<String>, ClusterError> {
        let found = self.0.client.get(key).boxed().await;
        found.map_err(ClusterError::command("a look at the epoch"))
    }

    pub(crate) fn client(&self) -> &Client {
        &self.0.client
    }
}

/// Tells when the connection has ended.
#[expect(
    clippy::disallowed_methods,
    reason = "it ends with the connection, and the connection with the link"
)]
fn watch_over(connection: JoinHandle<Result<(), Error>>, lose: watch::Sender<bool>) {
    tokio::spawn(async move {
        let _ended = connection.await;
        lose.send_replace(true);
    });
}

/// Builds a client that connects once and sends each command once: one that was sent twice would count
/// twice.
fn client(options: &ClusterOptions) -> Result<Client, ClusterError> {
    let mut config = Config::from_url(options.url.expose()).map_err(ClusterError::Url)?;
    config.fail_fast = true;
    // Announcements and answers on one connection.
    config.version = RespVersion::RESP3;
    let command = options.timeout;
    Builder::from_config(config)
        .with_performance_config(|performance| performance.default_command_timeout = command)
        .with_connection_config(|connection| {
            connection.connection_timeout = CONNECT_LIMIT;
            connection.internal_command_timeout = CONNECT_LIMIT;
            connection.max_command_attempts = 1;
            connection.max_command_buffer_len = WAITING;
            connection.unresponsive = UnresponsiveConfig {
                max_timeout: Some(command.saturating_mul(2)),
                interval: command,
            };
            connection.tcp.nodelay = Some(true);
        })
        .build()
        .map_err(ClusterError::Url)
}

/// The id that a server takes anew at each start, when it is one that keeps what it is given.
async fn suitable_run(client: &Client) -> Result<String, ClusterError> {
    const ACTION: &str = "a question for its run id";
    let ask = async |kind| -> Result<String, ClusterError> {
        let info = client.info(Some(kind)).boxed().await;
        info.map_err(ClusterError::command(ACTION))
    };
    let (server, memory) = (ask(InfoKind::Server).await?, ask(InfoKind::Memory).await?);
    if field(&server, "redis_mode") == Some("cluster") {
        return Err(ClusterError::Unsuitable {
            problem: "is part of a Redis Cluster; use one server, or one with replicas",
        });
    }
    match field(&memory, "maxmemory_policy") {
        Some(policy) if policy.starts_with("allkeys") => {
            return Err(ClusterError::Unsuitable {
                problem: "may drop what it was given; set maxmemory-policy to noeviction",
            });
        }
        Some(policy) if policy.starts_with("volatile") => {
            tracing::warn!(
                policy,
                "Redis may drop limits when its memory is full; set maxmemory-policy to noeviction"
            );
        }
        _ => {}
    }
    let run = field(&server, "run_id").map(str::to_owned);
    run.ok_or(ClusterError::Answer { action: ACTION })
}

/// A field of what `INFO` answers.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    let values = info
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    values.map(str::trim).find(|value| !value.is_empty())
}

impl Drop for Inner {
    /// The client does not end by itself.
    fn drop(&mut self) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let client = self.client.clone();
            runtime.spawn(async move {
                let _gone = client.quit().boxed().await;
            });
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Link").finish_non_exhaustive()
    }
}
