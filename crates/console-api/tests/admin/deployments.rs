use serde_json::{Value, json};

use super::support::TestAdmin;

#[tokio::test]
async fn deployment_is_loaded_stored_and_in_force() {
    let admin = TestAdmin::start().await;
    admin.chat_model("vendor/model").await;
    assert!(admin.platform.catalogue().listed().next().is_none());
    let stored = admin
        .put(
            "/admin/v1/deployments",
            json!({
                "name": "chat",
                "models": ["vendor/model"],
                "replicas": [{
                    "engine": "candle", "path": "/models/tiny", "url": "http://127.0.0.1:1/v1", "api_key": "upstream-secret",
                    "upstream_model": "x", "allow_private": true, "weight": 2, "max_concurrency": 8,
                }],
            }),
        )
        .await;
    assert_eq!(
        stored.ok(),
        json!({
            "name": "chat",
            "models": ["vendor/model"],
            "policy": "least-busy",
            "replicas": [{
                "engine": "candle", "path": "/models/tiny", "url": "http://127.0.0.1:1/v1",
                "upstream_model": "x", "allow_private": true, "weight": 2, "max_concurrency": 8,
                "drain": false, "continuous_usage": false,
            }],
            "fallbacks": [],
            "created_at": "2025-02-13T21:22:26Z",
            "updated_at": "2025-02-13T21:22:26Z",
        })
    );
    assert!(!stored.text.contains("upstream-secret"));
    assert!(admin.platform.catalogue().listed().next().is_some() && admin.gateway.is_ready());
    let kept = admin.platform.catalogue().deployment("chat").unwrap().replicas[0]
        .api_key
        .clone()
        .unwrap();
    assert_eq!(kept.expose(), "upstream-secret", "the upstream key is stored");
    assert_eq!(
        admin.get("/admin/v1/deployments").await.ok(),
        json!({"data": [stored.ok()], "next_cursor": null})
    );
}

#[tokio::test]
async fn unknown_engines_are_refused_with_the_known_ones() {
    let admin = TestAdmin::start().await;
    admin.chat_model("m/a").await;
    let body = json!({"name": "chat", "models": ["m/a"], "replicas": [{"engine": "abacus", "path": "/x"}]});
    let message = admin.put("/admin/v1/deployments", body).await.refused(400, 20015);
    assert_eq!(
        message,
        "replicas[0].engine: unknown engine \"abacus\"; known are candle, openai"
    );
}

#[tokio::test]
async fn servers_elsewhere_need_a_plain_address_and_a_model_and_their_texts_are_not_repeated() {
    let admin = TestAdmin::start().await;
    admin.chat_model("m/a").await;
    let deployment = |url: Option<&str>, model: Option<&str>| {
        json!({
            "name": "chat",
            "models": ["m/a"],
            "replicas": [{"engine": "openai", "url": url, "upstream_model": model, "api_key": "geheim"}],
        })
    };
    for (url, model, field) in [
        (None, Some("up"), "url"),
        (Some(""), Some("up"), "url"),
        (Some("host.example/v1"), Some("up"), "url"),
        (Some("ftp://geheim.example/v1"), Some("up"), "url"),
        (Some("https://user:geheim@host.example/v1"), Some("up"), "url"),
        (Some("https://host.example/v1?key=geheim"), Some("up"), "url"),
        (Some("https://host.example/v1#geheim"), Some("up"), "url"),
        (Some("https://host.example/v1"), Some(""), "upstream_model"),
    ] {
        let reply = admin.put("/admin/v1/deployments", deployment(url, model)).await;
        let message = reply.refused(400, 20015);
        assert!(message.starts_with(&format!("replicas[0].{field}")), "{message}");
        assert!(!message.contains("geheim"), "{message}");
    }
    let stored = deployment(Some("http://127.0.0.1:1/v1"), Some("up"));
    let stored = admin.put("/admin/v1/deployments", stored).await;
    assert_eq!(stored.ok()["replicas"][0]["engine"], "openai");
    assert!(!stored.text.contains("geheim"));
}

#[tokio::test]
async fn relative_paths_are_refused_since_they_depend_on_the_working_folder() {
    let admin = TestAdmin::start().await;
    admin.chat_model("m/a").await;
    let body =
        json!({"name": "chat", "models": ["m/a"], "replicas": [{"engine": "candle", "path": "models/tiny"}]});
    let message = admin.put("/admin/v1/deployments", body).await.refused(400, 20015);
    assert_eq!(
        message,
        "replicas[0].path: \"models/tiny\" is relative; give the absolute path, such as /srv/models/name"
    );
}

#[tokio::test]
async fn model_that_cannot_be_loaded_changes_nothing_and_names_the_file() {
    let admin = TestAdmin::start().await;
    admin.chat_model("m/a").await;
    let body = json!({"name": "chat", "models": ["m/a"], "replicas": [{"engine": "candle", "path": "/models/broken"}]});
    let message = admin.put("/admin/v1/deployments", body).await.refused(400, 20015);
    assert!(message.contains("models/broken/config.json"), "{message}");
    assert_eq!(admin.get("/admin/v1/deployments").await.ok()["data"], json!([]));
    assert!(admin.platform.catalogue().deployment_of("m/a").is_none());
}

#[tokio::test]
async fn models_outside_the_catalogue_and_of_others_are_refused() {
    let admin = TestAdmin::start().await;
    admin.chat_model("m/a").await;
    let deployment = |name: &str, model: &str| json!({"name": name, "models": [model], "replicas": [{"engine": "candle", "path": "/models/tiny"}]});
    let message = admin
        .put("/admin/v1/deployments", deployment("chat", "m/b"))
        .await
        .refused(400, 20015);
    assert!(message.starts_with("models[0]"), "{message}");
    admin
        .put("/admin/v1/deployments", deployment("chat", "m/a"))
        .await
        .ok();
    admin
        .put("/admin/v1/deployments", deployment("other", "m/a"))
        .await
        .refused(409, 20015);
}

#[tokio::test]
async fn deployments_are_deleted_by_name_with_or_without_escapes() {
    let admin = TestAdmin::start().await;
    admin.chat_model("m/a").await;
    let body =
        json!({"name": "vendor/chat", "models": ["m/a"], "replicas": [{"engine": "candle", "path": "/x"}]});
    for path in [
        "/admin/v1/deployments/vendor/chat",
        "/admin/v1/deployments/vendor%2Fchat",
    ] {
        admin.put("/admin/v1/deployments", body.clone()).await.ok();
        assert_eq!(admin.delete(path).await.status, 204);
        assert!(admin.platform.catalogue().deployment_of("m/a").is_none());
        admin.delete(path).await.refused(404, 20011);
    }
}

#[tokio::test]
async fn pages_go_on_after_the_deployment_of_the_cursor_was_deleted() {
    let admin = TestAdmin::start().await;
    for name in ["a", "b", "c"] {
        let model = format!("m/{name}");
        admin.chat_model(&model).await;
        let replicas = json!([{"engine": "candle", "path": "/x"}]);
        let body = json!({"name": name, "models": [model], "replicas": replicas});
        admin.put("/admin/v1/deployments", body).await.ok();
    }
    let page = admin.get("/admin/v1/deployments?limit=2").await.ok();
    let cursor = page["next_cursor"].as_str().unwrap();
    admin.delete("/admin/v1/deployments/b").await;
    let rest = admin
        .get(&format!("/admin/v1/deployments?limit=2&cursor={cursor}"))
        .await
        .ok();
    assert_eq!(
        (&rest["data"][0]["name"], &rest["next_cursor"]),
        (&json!("c"), &json!(null))
    );
}

#[tokio::test]
async fn deployment_that_was_read_can_be_put_back_and_keeps_its_upstream_key() {
    let admin = TestAdmin::start().await;
    admin.chat_model("m/a").await;
    let key = || {
        let catalogue = admin.platform.catalogue();
        let kept = catalogue.deployment("chat").unwrap().replicas[0].api_key.clone();
        kept.map(|key| key.expose().to_owned())
    };
    let put = async |body: &Value| admin.put("/admin/v1/deployments", body.clone()).await.ok();
    let replica = json!({"engine": "candle", "path": "/x", "url": "http://127.0.0.1:1/v1", "api_key": "upstream-secret"});
    put(&json!({"name": "chat", "models": ["m/a"], "replicas": [replica]})).await;

    let mut read = admin.get("/admin/v1/deployments").await.ok()["data"][0].clone();
    assert_eq!(put(&read).await, read);
    assert_eq!(key().as_deref(), Some("upstream-secret"));

    read["replicas"][0]["api_key"] = json!(null);
    put(&read).await;
    assert_eq!(key(), None, "null deletes it");

    read["replicas"][0]["api_key"] = json!("upstream-secret");
    put(&read).await;
    read["replicas"][0].as_object_mut().unwrap().remove("api_key");
    read["replicas"][0]["url"] = json!("http://127.0.0.1:2/v1");
    put(&read).await;
    assert_eq!(key(), None, "another address never gets the key");
}

#[tokio::test]
async fn everything_that_a_deployment_can_say_is_shown_but_its_keys() {
    let admin = TestAdmin::start().await;
    let replica = json!({
        "engine": "openai", "url": "https://host.example/v1", "api_key": "upstream-secret", "upstream_model": "qwen",
        "allow_private": false, "weight": 2, "max_concurrency": 8, "drain": true, "continuous_usage": true,
        "health_path": "/health", "connect_timeout_ms": 100, "first_token_timeout_ms": 60000, "stall_timeout_ms": 1_800_000,
        "quantize": "q8_0",
    });
    for (name, fallbacks) in [("b", json!([])), ("c", json!([])), ("a", json!(["c", "b"]))] {
        let model = format!("m/{name}");
        admin.chat_model(&model).await;
        let body = json!({
            "name": name, "models": [model], "policy": "prefix-affinity",
            "replicas": [replica], "fallbacks": fallbacks,
        });
        let shown = admin.put("/admin/v1/deployments", body.clone()).await.ok();
        let mut expected = replica.clone();
        expected.as_object_mut().unwrap().remove("api_key");
        assert_eq!(shown["replicas"][0], expected);
        assert_eq!(
            (&shown["fallbacks"], &shown["policy"]),
            (&fallbacks, &json!("prefix-affinity"))
        );
    }
    let listed = admin.get("/admin/v1/deployments").await.ok().to_string();
    assert!(
        !listed.contains("upstream-secret") && !listed.contains("sealed"),
        "{listed}"
    );
}

#[tokio::test]
async fn adapter_of_an_embedded_engine_is_stored_shown_and_can_be_put_back() {
    let admin = TestAdmin::start().await;
    admin.chat_model("m/a").await;
    let deployment = |replica: Value| json!({"name": "legal", "models": ["m/a"], "replicas": [replica]});
    let replica = json!({"engine": "candle", "path": "/models/tiny", "adapter": "/adapters/legal"});
    let shown = admin.put("/admin/v1/deployments", deployment(replica)).await.ok();
    assert_eq!(shown["replicas"][0]["adapter"], "/adapters/legal");
    let again = admin.put("/admin/v1/deployments", shown.clone()).await.ok();
    assert_eq!(again["replicas"], shown["replicas"]);
    for (replica, refusal) in [
        (
            json!({"engine": "candle", "path": "/models/tiny", "adapter": "legal"}),
            "replicas[0].adapter: \"legal\" is relative; give the absolute path, such as /srv/adapters/name",
        ),
        (
            json!({"engine": "openai", "url": "https://host.example/v1", "adapter": "/adapters/legal"}),
            "replicas[0].adapter: only the engine candle takes one; a server elsewhere has its own, called by upstream_model",
        ),
    ] {
        let refused = admin.put("/admin/v1/deployments", deployment(replica)).await;
        assert_eq!(refused.refused(400, 20015), refusal);
    }
}

#[tokio::test]
async fn deployment_that_others_fall_back_to_is_not_deleted_and_they_are_named() {
    let admin = TestAdmin::start().await;
    for (name, fallbacks) in [
        ("last", json!([])),
        ("a", json!(["last"])),
        ("b", json!(["last"])),
    ] {
        let model = format!("m/{name}");
        admin.chat_model(&model).await;
        let replicas = json!([{"engine": "candle", "path": "/x"}]);
        let body = json!({"name": name, "models": [model], "replicas": replicas, "fallbacks": fallbacks});
        admin.put("/admin/v1/deployments", body).await.ok();
    }
    let refused = admin.delete("/admin/v1/deployments/last").await;
    assert!(
        refused.text.contains("last is a fallback of a, b;"),
        "{}",
        refused.text
    );
    assert_eq!(refused.status, 409);
    assert!(admin.platform.catalogue().deployment_of("m/last").is_some());
}

#[tokio::test]
async fn sealed_text_is_no_key_and_is_not_repeated() {
    let admin = TestAdmin::start().await;
    admin.chat_model("m/a").await;
    let replica = json!({"engine": "openai", "url": "https://host.example/v1", "api_key": "sealed:v1:0123456789abcdef:geheim"});
    let body = json!({"name": "chat", "models": ["m/a"], "replicas": [replica]});
    let refused = admin.put("/admin/v1/deployments", body).await;
    assert!(refused.text.contains("replicas[0].api_key"), "{}", refused.text);
    assert!(!refused.text.contains("geheim"), "{}", refused.text);
    assert_eq!(refused.status, 400);
}
