//! The envelope in both dialects, unknown paths and panics.

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{Method, Request};
use serde_json::json;
use silica_api::{ApiConfig, with_layers};
use silica_protocol::ErrorDialect;
use tower::ServiceExt as _;

use super::support::{Answer, App, Log, chat};

fn february_2025() -> ApiConfig {
    ApiConfig {
        dialect: ErrorDialect::February2025,
        ..ApiConfig::default()
    }
}

#[tokio::test]
async fn unknown_paths_and_methods() {
    let app = App::new().await;
    for path in ["/", "/v1", "/v1/nothing", "/v2/chat/completions"] {
        app.get(path).await.assert_error(404, 20011, "Not Found");
    }
    let answer = app.get("/v1/chat/completions").await;
    answer.assert_error(405, 20011, "Method Not Allowed");
    assert_eq!(answer.header("allow"), "POST");
}

#[tokio::test]
async fn february_2025_has_its_historical_bodies() {
    let app = App::with_config(february_2025()).await;
    let missing = app
        .send(Request::get("/v1/models").body(Body::empty()).unwrap())
        .await;
    assert_eq!(
        (missing.status.as_u16(), missing.text()),
        (401, r#""Invalid token""#)
    );
    assert_eq!(missing.header("www-authenticate"), "");
    assert_eq!(missing.header("content-type"), "application/json; charset=utf-8");
    let wrong = Request::get("/v1/models")
        .header("authorization", "Bearer sk-wrong")
        .body(Body::empty())
        .unwrap();
    assert_eq!(app.send(wrong).await.text(), r#""Api key is invalid""#);
    let unknown = app.get("/v1/nothing").await;
    assert_eq!(
        (unknown.status.as_u16(), unknown.text()),
        (404, "404 page not found")
    );
    assert_eq!(unknown.header("content-type"), "text/plain; charset=utf-8");
    let method = app.get("/v1/chat/completions").await;
    assert_eq!((method.status.as_u16(), method.header("allow")), (405, "POST"));
    for answer in [missing, unknown, method] {
        assert!(!answer.header("x-siliconcloud-trace-id").is_empty());
    }
    let model = app.chat(&chat("absent", &json!({}))).await;
    model.assert_error(400, 20012, "Model does not exist. Please check it carefully.");
}

#[tokio::test]
async fn a_panic_is_answered_and_the_server_goes_on() {
    let app = App::new().await;
    let routes = Router::new().route("/panic", get(|| async { panic!("a mistake of ours") as () }));
    let router = with_layers(routes, &app.state.config, app.state.clock.clone());
    for _ in 0..2 {
        let request = Request::builder()
            .method(Method::GET)
            .uri("/panic")
            .body(Body::empty())
            .unwrap();
        let answer = Answer::read(router.clone().oneshot(request).await.unwrap()).await;
        answer.assert_error(500, 60000, "Request processing failed due to an unknown error.");
    }
}

#[test]
fn a_panic_is_logged_without_its_text() {
    let (log, _guard) = Log::collect();
    silica_api::install_panic_hook();
    let panicked = std::panic::catch_unwind(|| panic!("XSECRET"));
    drop(std::panic::take_hook());
    assert!(panicked.is_err());
    let log = log.text();
    assert!(
        log.contains("a thread panicked at crates/api/tests/api/errors.rs:"),
        "{log}"
    );
    assert!(!log.contains("XSECRET"), "{log}");
}
