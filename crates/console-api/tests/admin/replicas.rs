//! How replicas are doing.

use serde_json::json;
use silica_platform::{NewDeployment, NewReplica};

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

#[tokio::test]
async fn deployment_that_cannot_be_loaded_says_why() {
    let admin = TestAdmin::start().await;
    admin.chat_model("m/a").await;
    let broken = NewDeployment {
        name: "chat".to_owned(),
        models: vec!["m/a".to_owned()],
        replicas: vec![NewReplica {
            engine: "candle".to_owned(),
            path: Some("/models/broken".into()),
            ..NewReplica::default()
        }],
        ..NewDeployment::default()
    };
    let broken = admin.platform.check_deployment(broken).unwrap();
    admin.platform.put_deployment(broken).await.unwrap();
    let loading = json!([{"deployment": "chat", "in_force": false, "replicas": []}]);
    assert_eq!(admin.get("/admin/v1/replicas").await.ok()["data"], loading);
    admin.gateway.reconcile().await.unwrap_err();
    assert_eq!(
        admin.get("/admin/v1/replicas").await.ok()["data"],
        json!([{
            "deployment": "chat",
            "in_force": false,
            "problem": "deployment \"chat\", replica 0: the engine cannot load the model: models/broken/config.json: no such file",
            "replicas": [],
        }])
    );
}
