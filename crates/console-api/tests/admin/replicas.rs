//! How replicas are doing.

use serde_json::json;

use super::support::TestAdmin;

#[tokio::test]
async fn replicas_of_deployments_are_listed_with_their_condition() {
    let admin = TestAdmin::start().await;
    let empty = admin.get("/admin/v1/replicas").await.ok();
    assert_eq!(empty, json!({"data": [], "next_cursor": null}));
    admin.chat_model("m/a").await;
    let replicas = json!([
        {"engine": "candle", "path": "/x"},
        {"engine": "candle", "path": "/y", "drain": true},
    ]);
    let deployment = json!({"name": "chat", "models": ["m/a"], "replicas": replicas});
    admin.put("/admin/v1/deployments", deployment).await.ok();
    assert_eq!(
        admin.get("/admin/v1/replicas").await.ok()["data"],
        json!([{
            "deployment": "chat",
            "in_force": true,
            "replicas": [
                {"health": "unknown", "breaker": "closed", "running": 0, "drain": false},
                {"health": "unknown", "breaker": "closed", "running": 0, "drain": true},
            ],
        }])
    );
}
