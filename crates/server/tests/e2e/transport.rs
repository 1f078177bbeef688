//! HTTP/1.1 and HTTP/2 on one port, compression, CORS.

use std::fs;
use std::process::Command;

use reqwest::{Client, Method, Version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{SOON, bare, chat, copied_model, endless_chat, server};

#[tokio::test]
async fn http2_with_prior_knowledge_works_on_the_same_port() {
    let server = server().start().await;
    let client = Client::builder().http2_prior_knowledge().build().unwrap();
    let url = format!("{}/v1/chat/completions", server.base_url());
    let mut request = chat("Write a short story.");
    request["stream"] = true.into();
    let response = client
        .post(url)
        .bearer_auth(server.api_key())
        .json(&request)
        .send()
        .await
        .unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    assert!(response.text().await.unwrap().ends_with("data: [DONE]\n\n"));
    assert_eq!(
        server.get("/v1/models", &server.api_key()).await.version(),
        Version::HTTP_11
    );
}

#[tokio::test]
async fn json_is_compressed_and_streams_never_are() {
    let server = server().start().await;
    // Log-probabilities make an answer worth compressing.
    let mut body = endless_chat(1);
    body["max_tokens"] = 40.into();
    body["logprobs"] = true.into();
    let ask = async |stream: bool, encoding: &str| {
        let mut body = body.clone();
        body["stream"] = stream.into();
        let request = server
            .request(Method::POST, "/v1/chat/completions")
            .bearer_auth(server.api_key());
        request
            .header("accept-encoding", encoding)
            .json(&body)
            .send()
            .await
            .unwrap()
    };
    for encoding in ["gzip", "zstd"] {
        assert_eq!(ask(false, encoding).await.headers()["content-encoding"], encoding);
    }
    assert!(
        !ask(false, "identity")
            .await
            .headers()
            .contains_key("content-encoding")
    );
    let response = ask(true, "gzip, zstd").await;
    assert!(
        response.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/event-stream")
    );
    assert!(!response.headers().contains_key("content-encoding"));
    assert!(response.text().await.unwrap().starts_with("data: {"));
}

#[tokio::test]
async fn web_pages_may_call_unless_the_operator_names_their_origins() {
    let allowed = |response: &reqwest::Response| {
        response
            .headers()
            .get("access-control-allow-origin")
            .map(|value| value.to_str().unwrap().to_owned())
    };
    let open = server().start().await;
    let page = |server: &silica_testkit::TestServer| {
        server
            .request(Method::OPTIONS, "/v1/chat/completions")
            .header("origin", "https://page.example")
    };
    let preflight = |request: reqwest::RequestBuilder| {
        request
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization")
    };
    let response = preflight(page(&open)).send().await.unwrap();
    assert!(response.status().is_success());
    assert_eq!(allowed(&response).as_deref(), Some("*"));
    let closed = server()
        .config("[cors]\norigins = [\"https://app.example\"]\n")
        .start()
        .await;
    let response = preflight(page(&closed)).send().await.unwrap();
    assert_ne!(allowed(&response).as_deref(), Some("https://page.example"));
    assert_ne!(allowed(&response).as_deref(), Some("*"));
}

#[tokio::test]
async fn silent_and_slow_connections_are_closed() {
    let server = bare()
        .config("[server]\nidle_timeout = \"200ms\"\n")
        .start()
        .await;
    let address = server.base_url().trim_start_matches("http://").to_owned();
    for beginning in [
        "",
        "GET /healthz HTTP/1.1\r\nhost: x\r\n",
        "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n",
    ] {
        let mut connection = TcpStream::connect(&address).await.unwrap();
        connection.write_all(beginning.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let closed = timeout(SOON, connection.read_to_end(&mut answer)).await;
        assert!(closed.is_ok(), "still open after {beginning:?}");
        assert_eq!(
            answer.starts_with(b"HTTP/1.1 200"),
            beginning.ends_with("\r\n\r\n")
        );
    }
}

#[tokio::test]
async fn health_is_answered_while_models_are_loaded() {
    let (root, model) = copied_model();
    // Opening a pipe waits for its other end, so the load cannot end before the test opens it.
    let weights = model.join("model.safetensors");
    fs::remove_file(&weights).unwrap();
    assert!(Command::new("mkfifo").arg(&weights).status().unwrap().success());
    let server = bare().models(root.path()).start_without_waiting().await;
    let status = async |path: &str| {
        let response = server.request(Method::GET, path).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    assert_eq!(status("/healthz").await, (200, "ok".to_owned()));
    assert_eq!(status("/readyz").await, (503, "starting".to_owned()));
    // An empty pipe is no model: the start fails, which shows that this is what it waited for.
    let opening = tokio::task::spawn_blocking(move || fs::OpenOptions::new().write(true).open(weights));
    timeout(SOON, opening).await.unwrap().unwrap().unwrap();
    let mut server = server;
    assert!(!server.ended(SOON).await.success());
}
