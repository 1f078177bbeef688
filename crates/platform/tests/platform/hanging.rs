//! A database that neither answers nor refuses: PostgreSQL behind a proxy that stops forwarding.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use silica_platform::{AuthError, BillGrouping, BillRange, Platform, PlatformError, Storage};
use silica_testkit::database;
use silica_types::ManualClock;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use url::Url;

use super::support::{account, at, key};

/// Forwards connections to `server` while `open` says so, and otherwise leaves them hanging.
#[expect(clippy::disallowed_methods, reason = "ends with the test")]
async fn proxy(server: String) -> (SocketAddr, watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (open, watched) = watch::channel(true);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let Ok(upstream) = TcpStream::connect(&server).await else {
                return;
            };
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = upstream.into_split();
            tokio::spawn(forward(from_client, to_server, watched.clone()));
            tokio::spawn(forward(from_server, to_client, watched.clone()));
        }
    });
    (address, open)
}

async fn forward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut open: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 || open.wait_for(|open| *open).await.is_err() {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..count]).await?;
    }
}

#[tokio::test]
async fn calls_go_on_and_readers_are_told_soon_while_the_database_hangs() {
    let database = database::postgres().await;
    let mut url = Url::parse(database.url_text()).unwrap();
    let server = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5432));
    let (address, open) = proxy(server).await;
    url.set_host(Some("127.0.0.1")).unwrap();
    url.set_port(Some(address.port())).unwrap();
    let storage = Storage::open(&url.as_str().parse().unwrap()).await.unwrap();
    let clock = Arc::new(ManualClock::new(at("2025-02-13T21:22:26Z")));
    let platform = Platform::open(storage, clock).await.unwrap();
    let owner = account(&platform, "ada@example.org").await;
    let created = key(&platform, owner.id).await;
    let range = BillRange::month_of(platform.today());

    open.send(false).unwrap();
    let begin = Instant::now();
    assert!(platform.identify(created.key.expose(), None).await.is_ok());
    assert!(
        begin.elapsed() < Duration::from_millis(200),
        "a good key waits for nothing"
    );
    assert_eq!(
        platform.identify("sk-unknown", None).await,
        Err(AuthError::Invalid)
    );
    assert!(
        begin.elapsed() < Duration::from_secs(2),
        "an unknown key waits half a second"
    );
    let bill = platform.bill(owner.id, range, BillGrouping::Day).await;
    assert!(matches!(bill, Err(PlatformError::TooSlow)), "{bill:?}");
    assert!(
        begin.elapsed() < Duration::from_secs(7),
        "a bill waits three seconds"
    );

    open.send(true).unwrap();
    assert!(platform.bill(owner.id, range, BillGrouping::Day).await.is_ok());
}
