//! Refusals before the body is read, over real connections: the client sees the answer.

use std::net::SocketAddr;

use axum::body::Body;
use http::{Method, Request, StatusCode};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::support::App;
use super::support::tcp::{read_until, serve};

/// More than the buffers between the two ends hold.
const BODY_BYTES: usize = 10 * 1024 * 1024;

/// Method, path and key of requests that are refused at once, with the status and code.
fn refusals(app: &App) -> [(Method, &'static str, String, StatusCode, &'static str); 3] {
    let chat = "/v1/chat/completions";
    [
        (
            Method::POST,
            chat,
            "sk-wrong".to_owned(),
            StatusCode::UNAUTHORIZED,
            "30014",
        ),
        (
            Method::POST,
            "/v1/nowhere",
            app.key.clone(),
            StatusCode::NOT_FOUND,
            "20011",
        ),
        (
            Method::PUT,
            chat,
            app.key.clone(),
            StatusCode::METHOD_NOT_ALLOWED,
            "20011",
        ),
    ]
}

#[tokio::test]
async fn a_client_that_sends_far_too_much_still_reads_why_it_was_refused() {
    let app = App::new().await;
    serve(&app, async |address| {
        let mut connection = TcpStream::connect(address).await.unwrap();
        let length = 100 * 1024 * 1024;
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: silica\r\nauthorization: Bearer {}\r\ncontent-length: {length}\r\n\r\n",
            app.key
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        // More than the buffers between the two ends hold, so that the server has to read it.
        let piece = vec![b'x'; 1024 * 1024];
        for _ in 0..20 {
            connection.write_all(&piece).await.unwrap();
        }
        read_until(&mut connection, "20042").await;
    })
    .await;
}

#[tokio::test]
async fn a_client_that_sends_before_it_reads_sees_the_refusal_over_http1() {
    let app = App::new().await;
    serve(&app, async |address| {
        for (method, path, key, _, code) in refusals(&app) {
            let mut connection = TcpStream::connect(address).await.unwrap();
            let head = format!(
                "{method} {path} HTTP/1.1\r\nhost: silica\r\nauthorization: Bearer {key}\r\ncontent-length: {BODY_BYTES}\r\n\r\n"
            );
            connection.write_all(head.as_bytes()).await.unwrap();
            connection.write_all(&vec![b'x'; BODY_BYTES]).await.unwrap();
            read_until(&mut connection, code).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_that_waits_to_be_told_to_send_is_refused_at_once() {
    let app = App::new().await;
    serve(&app, async |address| {
        let mut connection = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST /v1/nowhere HTTP/1.1\r\nhost: silica\r\nexpect: 100-continue\r\ncontent-length: {BODY_BYTES}\r\n\r\n"
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        let seen = read_until(&mut connection, "20011").await;
        assert!(seen.starts_with("HTTP/1.1 404"), "{seen}");
    })
    .await;
}

#[tokio::test]
async fn a_refusal_over_http2_does_not_reset_the_stream() {
    let app = App::new().await;
    serve(&app, async |address| {
        for (method, path, key, status, _) in refusals(&app) {
            assert_eq!(send_over_http2(address, method, path, &key).await, status);
        }
    })
    .await;
}

/// Sends a body of 10 MiB and returns the status once all of it was taken.
async fn send_over_http2(address: SocketAddr, method: Method, path: &str, key: &str) -> StatusCode {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut client, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    let request = Request::builder()
        .method(method)
        .uri(format!("http://{address}{path}"))
        .header("authorization", format!("Bearer {key}"))
        .body(Body::from(vec![b'x'; BODY_BYTES]))
        .unwrap();
    let exchange = async {
        let response = client.send_request(request).await.unwrap();
        let status = response.status();
        let body = axum::body::to_bytes(Body::new(response.into_body()), BODY_BYTES).await;
        assert!(!body.unwrap().is_empty());
        status
    };
    tokio::select! {
        status = exchange => status,
        ended = connection => panic!("the connection ended: {ended:?}"),
    }
}
