//! Addresses that no answer comes from.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::log::Counter;

/// How long a connection that is made at all may take on this machine.
const CONNECTED_BY: Duration = Duration::from_millis(300);

/// An address of this machine that no answer comes from, until it is dropped.
#[derive(Debug)]
pub struct DeadEnd {
    address: SocketAddr,
    connections: Arc<Counter>,
    _held: Held,
}

/// What keeps the address dead.
#[derive(Debug)]
enum Held {
    Unheard {
        _socket: TcpSocket,
    },
    Full {
        _listener: TcpListener,
        _waiting: Vec<TcpStream>,
    },
    Served {
        _running: DropGuard,
    },
}

impl DeadEnd {
    /// Refuses connections: nobody listens, and nobody else can have the port.
    ///
    /// # Panics
    /// When there is no free port.
    #[expect(clippy::expect_used, reason = "a test without its address has failed")]
    pub fn refusing() -> Self {
        let socket = bound();
        let address = socket.local_addr().expect("the port's address");
        Self::new(address, Arc::default(), Held::Unheard { _socket: socket })
    }

    /// Takes no connection: its queue is full, so that further attempts wait for ever.
    ///
    /// # Panics
    /// When the queue does not fill up.
    #[expect(clippy::expect_used, reason = "a test without its address has failed")]
    pub async fn full() -> Self {
        let listener = bound().listen(0).expect("a listening port");
        let address = listener.local_addr().expect("the port's address");
        let mut waiting = Vec::new();
        while let Ok(connected) = timeout(CONNECTED_BY, TcpStream::connect(address)).await {
            waiting.push(connected.expect("a place in the queue"));
            assert!(waiting.len() < 64, "the queue does not fill up");
        }
        let held = Held::Full {
            _listener: listener,
            _waiting: waiting,
        };
        Self::new(address, Arc::default(), held)
    }

    /// Takes connections and never says a word.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn silent() -> Self {
        Self::served(true)
    }

    /// Takes connections and closes them at once.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn closing() -> Self {
        Self::served(false)
    }

    #[expect(clippy::expect_used, reason = "a test without its address has failed")]
    fn served(is_kept: bool) -> Self {
        let listener = bound().listen(128).expect("a listening port");
        let address = listener.local_addr().expect("the port's address");
        let connections = Arc::<Counter>::default();
        let stop = CancellationToken::new();
        let (stopped, counted) = (stop.clone().cancelled_owned(), Arc::clone(&connections));
        let serving = async move {
            let mut kept = Vec::new();
            while let Ok((connection, _)) = listener.accept().await {
                counted.count();
                if is_kept {
                    kept.push(connection);
                }
            }
        };
        TaskTracker::new().spawn(async move {
            tokio::select! {
                () = serving => {}
                () = stopped => {}
            }
        });
        let held = Held::Served {
            _running: stop.drop_guard(),
        };
        Self::new(address, connections, held)
    }

    const fn new(address: SocketAddr, connections: Arc<Counter>, held: Held) -> Self {
        Self {
            address,
            connections,
            _held: held,
        }
    }

    /// The address to configure an engine with, such as `http://127.0.0.1:41234/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// How many connections were taken.
    pub fn connections(&self) -> usize {
        self.connections.get()
    }
}

#[expect(clippy::expect_used, reason = "a test without its address has failed")]
fn bound() -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .expect("a free port");
    socket
}
