//! A listening socket and its connections: how many, how long, and how they end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection;

/// Pause after a failed accept, which most often means that file descriptors have run out.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// What connections may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Connections open at once.
    pub(super) connections: u32,
    /// How long a connection may stay open without a request in progress.
    pub(super) idle: Duration,
}

/// How a listener is told to end.
#[derive(Debug, Clone, Default)]
pub(super) struct Shutdown {
    /// Accept nothing more, finish what is running.
    pub(super) drain: CancellationToken,
    /// Close everything now.
    pub(super) cut: CancellationToken,
}

/// A bound socket. Clients may connect from now on; they are answered once it serves.
pub(super) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds `address`; `key` is the configuration key to name when that fails.
    ///
    /// # Errors
    /// When the port is taken or the address is not one of this machine.
    pub(super) async fn bind(address: SocketAddr, key: &str) -> anyhow::Result<Self> {
        let socket = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address} ({key})"))?;
        let address = socket
            .local_addr()
            .with_context(|| format!("cannot listen on {address} ({key})"))?;
        Ok(Self { socket, address })
    }

    /// The address that was bound, with the port that was taken for port 0.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`; returns when the last connection has ended.
    pub(super) async fn serve(self, router: Router, limits: Limits, shutdown: Shutdown) {
        let tasks = TaskTracker::new();
        let places = Arc::new(Semaphore::new(limits.connections as usize));
        loop {
            let accepted = tokio::select! {
                () = shutdown.drain.cancelled() => break,
                () = shutdown.cut.cancelled() => break,
                accepted = self.accept(&places) => accepted,
            };
            let Some((place, stream)) = accepted else { continue };
            let connection = connection::serve(
                stream,
                router.clone(),
                limits.idle,
                shutdown.clone(),
                tasks.clone(),
            );
            tasks.spawn(async move {
                connection.await;
                drop(place);
            });
        }
        // New connections are refused from here on, not left waiting.
        drop(self.socket);
        tasks.close();
        tasks.wait().await;
    }

    /// Waits for a free place and then for a client. `None` after a failure that is worth a retry.
    async fn accept(&self, places: &Arc<Semaphore>) -> Option<(OwnedSemaphorePermit, TcpStream)> {
        let place = Arc::clone(places).acquire_owned().await.ok()?;
        match self.socket.accept().await {
            Ok((stream, _)) => {
                // Tokens are small writes that must not wait for each other (Nagle's algorithm).
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "cannot set TCP_NODELAY");
                }
                Some((place, stream))
            }
            Err(error) => {
                tracing::error!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                None
            }
        }
    }
}
