use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use http::Method;
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use super::support::{ADMIN_KEY, TestAdmin};

/// Every route with a method that it has.
fn routes() -> Vec<(Method, &'static str)> {
    let id = "/admin/v1/accounts/019516ecd5791194e7ce760dcc227413";
    let key = "/admin/v1/accounts/019516ecd5791194e7ce760dcc227413/keys/019516ecd5791194e7ce760dcc227413";
    let keys = "/admin/v1/accounts/019516ecd5791194e7ce760dcc227413/keys";
    vec![
        (Method::POST, "/admin/v1/accounts"),
        (Method::GET, "/admin/v1/accounts"),
        (Method::GET, id),
        (Method::PATCH, id),
        (Method::POST, keys),
        (Method::GET, keys),
        (Method::PATCH, key),
        (Method::DELETE, key),
        (Method::PUT, "/admin/v1/models"),
        (Method::GET, "/admin/v1/models"),
        (Method::PUT, "/admin/v1/deployments"),
        (Method::GET, "/admin/v1/deployments"),
        (Method::DELETE, "/admin/v1/deployments/chat"),
        (Method::GET, "/admin/v1/replicas"),
    ]
}

#[tokio::test]
async fn no_route_works_without_the_admin_key() {
    let admin = TestAdmin::start().await;
    let account = admin.account("ada@example.org").await;
    let made = admin.post(&format!("{account}/keys"), json!({})).await.ok();
    let user_key = made["key"].as_str().unwrap();
    for (method, path) in routes() {
        for key in [
            None,
            Some(""),
            Some("wrong"),
            Some(&ADMIN_KEY[..31]),
            Some(user_key),
        ] {
            let reply = admin.send_text(method.clone(), path, "{}", key).await;
            assert_eq!(
                reply.refused(401, 30014),
                "Token is invalid.",
                "{method} {path} {key:?}"
            );
        }
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_answer_the_envelope() {
    let admin = TestAdmin::start().await;
    admin.get("/admin/v1/nothing").await.refused(404, 20011);
    admin.get("/").await.refused(404, 20011);
    admin.delete("/admin/v1/models").await.refused(405, 20011);
}

#[tokio::test]
async fn malformed_bodies_are_refused() {
    let admin = TestAdmin::start().await;
    for body in [
        "",
        "{",
        "[]",
        "null",
        "{\"email\":1,\"name\":\"x\"}",
        "{\"email\":\"a@b.c\",\"name\":\"x\"} trailing",
    ] {
        let reply = admin
            .send_text(Method::POST, "/admin/v1/accounts", body, Some(ADMIN_KEY))
            .await;
        reply.refused(400, 20015);
    }
    let deep = "[".repeat(200_000);
    admin
        .send_text(Method::POST, "/admin/v1/accounts", &deep, Some(ADMIN_KEY))
        .await
        .refused(400, 20015);
}

#[tokio::test]
async fn unknown_fields_are_refused_by_name() {
    let admin = TestAdmin::start().await;
    let account = admin.account("ada@example.org").await;
    for (method, path, body) in [
        (
            Method::POST,
            "/admin/v1/accounts".to_owned(),
            json!({"email": "a@b.c", "name": "x", "typo": 1}),
        ),
        (Method::PATCH, account.clone(), json!({"typo": 1})),
        (Method::POST, format!("{account}/keys"), json!({"typo": 1})),
        (
            Method::POST,
            format!("{account}/keys"),
            json!({"limits": {"typo": 1}}),
        ),
        (
            Method::PUT,
            "/admin/v1/models".to_owned(),
            json!({"id": "m/a", "type": "text", "sub_type": "chat", "typo": 1}),
        ),
        (
            Method::PUT,
            "/admin/v1/models".to_owned(),
            json!({"id": "m/a", "type": "text", "sub_type": "chat", "price": {"typo": "1"}}),
        ),
        (
            Method::PUT,
            "/admin/v1/deployments".to_owned(),
            json!({"name": "chat", "models": ["m/a"], "replicas": [{"engine": "candle", "path": "/x", "typo": 1}]}),
        ),
    ] {
        let message = admin
            .send(method.clone(), &path, Some(body))
            .await
            .refused(400, 20015);
        assert!(message.contains("typo"), "{method} {path}: {message}");
    }
}

#[tokio::test]
async fn metrics_need_no_key() {
    let admin = TestAdmin::start().await;
    let reply = admin.send_text(Method::GET, "/metrics", "", None).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn database_that_is_gone_answers_503_and_authentication_goes_on() {
    let admin = TestAdmin::start().await;
    let account = admin.account("ada@example.org").await;
    let made = admin.post(&format!("{account}/keys"), json!({})).await.ok();
    admin.database().storage().close().await.unwrap();

    admin.get(&account).await.refused(503, 50508);
    admin
        .post("/admin/v1/accounts", json!({"email": "b@b.c", "name": "B"}))
        .await
        .refused(503, 50508);
    assert!(admin.platform.authenticate(made["key"].as_str().unwrap()).is_ok());
}

/// Collects log lines.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn addresses_names_and_keys_are_never_logged() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(lines.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);

    let admin = TestAdmin::start().await;
    let body = json!({"email": "geheim@example.org", "name": "Geheimer Name"});
    admin.post("/admin/v1/accounts", body.clone()).await.ok();
    let message = admin.post("/admin/v1/accounts", body).await.refused(409, 20015);
    assert!(!message.contains("geheim"));
    admin
        .post("/admin/v1/accounts", json!({"email": "geheim", "name": "x"}))
        .await
        .refused(400, 20015);
    let account = admin.account("geheim2@example.org").await;
    let made = admin
        .post(&format!("{account}/keys"), json!({"description": "geheim"}))
        .await
        .ok();
    admin.get("/admin/v1/accounts").await.ok();
    drop(guard);

    let logged = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("made"), "the log was captured");
    assert!(!logged.to_lowercase().contains("geheim"), "{logged}");
    assert!(
        !logged.contains(&made["key"].as_str().unwrap()[3..]),
        "no key is logged"
    );
    assert!(!logged.contains(ADMIN_KEY), "the admin key is not logged");
}
