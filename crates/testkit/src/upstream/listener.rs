//! Takes the scripted engine's connections, plain or behind TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use super::log::Log;

/// The longest wait for a client's part of the handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);
/// The pause after a connection that could not be taken.
const PAUSE: Duration = Duration::from_millis(50);

/// A listener that counts its connections.
pub(super) struct CountingListener {
    pub(super) tcp: TcpListener,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) log: Arc<Log>,
}

/// The address of a connection's other end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

impl Listener for CountingListener {
    type Io = Either<TcpStream, TlsStream<TcpStream>>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let Ok((connection, peer)) = self.tcp.accept().await else {
                sleep(PAUSE).await;
                continue;
            };
            self.log.connections.count();
            // Frames must not wait for each other here, so that a wait seen is not this server's.
            let _ = connection.set_nodelay(true);
            let Some(tls) = &self.tls else {
                return (Either::Left(connection), peer);
            };
            if let Ok(Ok(connection)) = timeout(HANDSHAKE_LIMIT, tls.accept(connection)).await {
                return (Either::Right(connection), peer);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

impl Connected<IncomingStream<'_, CountingListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, CountingListener>) -> Self {
        Self(*stream.remote_addr())
    }
}
