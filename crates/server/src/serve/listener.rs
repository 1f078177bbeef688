//! A listening socket and its connections: how many, how long, and how they end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection;
use super::door::Door;

/// Pause after a failed accept, which most often means that file descriptors have run out.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// A silent peer's machine is asked for a sign of life after this long,
const KEEPALIVE_AFTER: Duration = Duration::from_mins(1);
/// again after this long,
const KEEPALIVE_EVERY: Duration = Duration::from_secs(15);
/// and given up after so many questions without an answer.
const KEEPALIVE_PROBES: u32 = 4;

/// What connections may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Connections open at once.
    pub(super) connections: u32,
    /// How long a connection may stay open without a request in progress.
    pub(super) idle: Duration,
    /// How long a client may leave what is sent to it unread.
    pub(super) write: Duration,
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
    pub(super) async fn serve(self, door: Door, limits: Limits, shutdown: Shutdown) {
        let tasks = TaskTracker::new();
        let mut failing = false;
        let places = Arc::new(Semaphore::new(limits.connections as usize));
        loop {
            let accepted = tokio::select! {
                () = shutdown.drain.cancelled() => break,
                () = shutdown.cut.cancelled() => break,
                accepted = self.accept(&places, &mut failing) => accepted,
            };
            let Some((place, stream, peer)) = accepted else {
                continue;
            };
            let connection = connection::serve(
                stream,
                peer.into(),
                door.clone(),
                limits,
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
    /// `failing` remembers the last outcome, so that an outage is logged once.
    async fn accept(
        &self,
        places: &Arc<Semaphore>,
        failing: &mut bool,
    ) -> Option<(OwnedSemaphorePermit, TcpStream, SocketAddr)> {
        let place = Arc::clone(places).acquire_owned().await.ok()?;
        match self.socket.accept().await {
            Ok((stream, peer)) => {
                if std::mem::take(failing) {
                    tracing::info!("connections are accepted again on {}", self.address);
                }
                if let Err(error) = prepare(&stream) {
                    tracing::debug!(%error, "cannot set the options of a connection");
                }
                Some((place, stream, peer))
            }
            Err(error) => {
                if !std::mem::replace(failing, true) {
                    tracing::error!(%error, "cannot accept connections on {}", self.address);
                }
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                None
            }
        }
    }
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    // Tokens are small writes that must not wait for each other (Nagle's algorithm).
    stream.set_nodelay(true)?;
    // A client that vanishes without a word while it waits for an answer is noticed by this only.
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE_AFTER)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_EVERY)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_PROBES)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn small_writes_to_a_client_wait_for_nothing() {
        let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), "server.listen")
            .await
            .unwrap();
        let _client = TcpStream::connect(listener.address()).await.unwrap();
        let places = Arc::new(Semaphore::new(1));
        let (_place, accepted, _) = listener.accept(&places, &mut false).await.unwrap();
        assert!(accepted.nodelay().unwrap());
        assert!(sockopt::socket_keepalive(&accepted).unwrap());
    }
}
