//! The API over real connections.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::App;

/// Serves the API while `client` runs.
pub(crate) async fn serve(app: &App, client: impl AsyncFnOnce(SocketAddr)) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = axum::serve(listener, app.router.clone()).into_future();
    tokio::select! {
        _ = server => panic!("the server ended"),
        () = client(address) => {}
    }
}

/// Reads until `text` has come; returns all that came.
pub(crate) async fn read_until(connection: &mut TcpStream, text: &str) -> String {
    let mut seen = String::new();
    let mut buffer = [0; 1024];
    while !seen.contains(text) {
        let read = timeout(Duration::from_secs(20), connection.read(&mut buffer));
        let read = read.await.expect("no silence").unwrap();
        assert!(read > 0, "closed after {seen}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    seen
}
