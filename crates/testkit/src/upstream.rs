//! A scripted engine behind HTTP: a server of OpenAI's API whose totals are known.
//!
//! It runs inside the test's process, so its log of what it produced outlives any server under test
//! that is killed. What a call does is told by a line in the request, or for all requests that have
//! none by the server's default, see [`UpstreamScript`].

mod answer;
mod dead_end;
mod fault;
mod listener;
mod log;
mod script;
mod shape;
mod stage;
mod tail;
mod tls;
mod vectors;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

pub use self::dead_end::DeadEnd;
pub use self::fault::UpstreamFault;
use self::listener::{CountingListener, Peer};
pub use self::log::{UpstreamCall, UpstreamOutcome, UpstreamRequest, UpstreamRoute};
pub use self::script::UpstreamScript;
pub use self::shape::{FirstFrame, LineEnds, ReasoningField, UsageFrames};
use self::stage::Stage;
use self::tls::Identity;
pub use self::vectors::scripted_embedding;

/// A running server. Dropping it closes its port.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    stage: Arc<Stage>,
    authority_pem: Option<String>,
    _running: DropGuard,
}

impl Upstream {
    /// Starts a server on a free port of this machine.
    ///
    /// # Panics
    /// When there is none.
    pub async fn start() -> Self {
        Self::start_with(UpstreamScript::default()).await
    }

    /// Starts a server that plays this script for requests that carry none.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start_with(script: UpstreamScript) -> Self {
        Self::launch(script, None).await
    }

    /// Starts a server behind TLS, whose certificate an authority vouches for that nobody knows:
    /// see [`Upstream::authority_pem`]. It is for `127.0.0.1`, so the name `localhost` is wrong.
    ///
    /// # Panics
    /// When there is no free port.
    #[expect(clippy::expect_used, reason = "a test without its engine has failed")]
    pub async fn start_tls(script: UpstreamScript) -> Self {
        let identity = Identity::new().expect("a certificate");
        Self::launch(script, Some(identity)).await
    }

    #[expect(clippy::expect_used, reason = "a test without its engine has failed")]
    async fn launch(script: UpstreamScript, identity: Option<Identity>) -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = tcp.local_addr().expect("the port's address");
        let stage = Arc::new(Stage::new(script));
        let (tls, authority_pem) = identity
            .map(|identity| (identity.acceptor, identity.authority_pem))
            .unzip();
        let log = Arc::clone(&stage.log);
        let listener = CountingListener { tcp, tls, log };
        let router = stage::router(Arc::clone(&stage)).into_make_service_with_connect_info::<Peer>();
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        TaskTracker::new().spawn(async move {
            tokio::select! {
                _ = axum::serve(listener, router) => {}
                () = stopped => {}
            }
        });
        Self {
            address,
            stage,
            authority_pem,
            _running: stop.drop_guard(),
        }
    }

    /// Plays another script from now on for requests that carry none.
    pub fn set_default(&self, script: UpstreamScript) {
        self.stage.set_default(script);
    }

    /// Says whether `/health` and `/v1/models` answer with status 200 or 503; at first they do.
    pub fn set_healthy(&self, is_healthy: bool) {
        self.stage.set_healthy(is_healthy);
    }

    /// The address to configure an engine with, such as `http://127.0.0.1:41234/v1`.
    pub fn base_url(&self) -> String {
        let scheme = if self.authority_pem.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}/v1", self.address)
    }

    /// The certificate of the authority that vouches for a server behind TLS; `None` for others.
    pub fn authority_pem(&self) -> Option<&str> {
        self.authority_pem.as_deref()
    }

    /// Every call so far, in the order of their begin.
    pub fn calls(&self) -> Vec<UpstreamCall> {
        self.stage.log.calls()
    }

    /// The last requests, at most 64, oldest first.
    pub fn requests(&self) -> Vec<UpstreamRequest> {
        self.stage.log.requests()
    }

    /// How many connections were made so far, handshakes that failed included.
    pub fn connections(&self) -> usize {
        self.stage.log.connections.get()
    }

    /// How many times `/health` or `/v1/models` was asked.
    pub fn health_checks(&self) -> usize {
        self.stage.log.health_checks.get()
    }

    /// Waits until the first call with this marker meets a condition, and returns it.
    ///
    /// # Panics
    /// When that takes longer than half a minute.
    pub async fn call_until(
        &self,
        marker: &str,
        condition: impl Fn(&UpstreamCall) -> bool + Send,
    ) -> UpstreamCall {
        self.stage.log.call_until(marker, condition).await
    }
}
