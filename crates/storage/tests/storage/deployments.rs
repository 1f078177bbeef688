use silica_storage::{
    Conflict, Deployment, EngineKind, Quantization, ReplicaSpec, RoutingPolicy, Storage, StorageError,
    catalogue, deployments,
};
use silica_testkit::on_each_database;
use silica_types::Secret;

use super::records::{begin_catalogue, deployment, later, model, time};

async fn with_models(storage: &Storage, ids: &[&str]) {
    let write = begin_catalogue(storage).await;
    for id in ids {
        catalogue::put(&write, &model(id)).await.unwrap();
    }
    write.commit().await.unwrap();
}

#[test]
fn replica_of_a_version_before_adapters_has_none_and_is_written_as_it_was() {
    let row = r#"{"engine":"candle","path":"/models/tiny","allow_private":false,"weight":1}"#;
    let replica: ReplicaSpec = serde_json::from_str(row).unwrap();
    assert_eq!(replica.adapter, None);
    assert_eq!(serde_json::to_string(&replica).unwrap(), row);
}

on_each_database! {
    async fn deployment_comes_back_with_its_models_in_order_and_its_secrets(database) {
        let storage = database.storage();
        with_models(&storage, &["m/a", "m/b", "m/c"]).await;
        let mut stored = deployment("chat", &["m/c", "m/a", "m/b"]);
        stored.replicas.push(ReplicaSpec {
            engine: EngineKind::Candle,
            path: Some("/models/tiny".into()),
            adapter: Some("/adapters/legal".into()),
            quantize: Some(Quantization::Q8_0),
            url: Some("http://127.0.0.1:8000/v1".to_owned()),
            api_key: Some(Secret::new("sealed:upstream-secret")),
            upstream_model: Some("qwen".to_owned()),
            allow_private: true,
            weight: 3,
            max_concurrency: Some(16),
            drain: true,
            continuous_usage: true,
            health_path: Some("/health".to_owned()),
            connect_timeout_ms: Some(100),
            first_token_timeout_ms: Some(2_000),
            stall_timeout_ms: Some(30_000),
        });
        stored.policy = RoutingPolicy::PrefixAffinity;
        stored.fallbacks = vec!["second".to_owned(), "first".to_owned()];
        let write = begin_catalogue(&storage).await;
        deployments::put(&write, &stored).await.unwrap();
        write.commit().await.unwrap();

        assert_eq!(deployments::find(&storage, "chat").await.unwrap(), Some(stored.clone()));
        assert_eq!(deployments::list(&storage).await.unwrap(), vec![stored.clone()]);
        assert!(!format!("{stored:?}").contains("upstream-secret"));
    }

    async fn second_put_replaces_models_and_replicas(database) {
        let storage = database.storage();
        with_models(&storage, &["m/a", "m/b"]).await;
        let write = begin_catalogue(&storage).await;
        deployments::put(&write, &deployment("chat", &["m/a", "m/b"])).await.unwrap();
        let replacement = Deployment { created_at: later(), updated_at: later(), ..deployment("chat", &["m/b"]) };
        deployments::put(&write, &replacement).await.unwrap();
        // The model that was let go is free for another.
        deployments::put(&write, &deployment("other", &["m/a"])).await.unwrap();
        write.commit().await.unwrap();
        let found = deployments::find(&storage, "chat").await.unwrap();
        assert_eq!(found, Some(Deployment { created_at: time(), ..replacement }));
    }

    async fn model_of_another_deployment_is_refused_by_type(database) {
        let storage = database.storage();
        with_models(&storage, &["m/a"]).await;
        let write = begin_catalogue(&storage).await;
        deployments::put(&write, &deployment("chat", &["m/a"])).await.unwrap();
        let error = deployments::put(&write, &deployment("other", &["m/a"])).await.unwrap_err();
        assert!(matches!(error, StorageError::Conflict(Conflict::ModelDeployed { .. })), "{error:?}");
    }

    async fn unknown_model_is_refused_by_type(database) {
        let storage = database.storage();
        let write = begin_catalogue(&storage).await;
        let error = deployments::put(&write, &deployment("chat", &["m/missing"])).await.unwrap_err();
        assert!(matches!(error, StorageError::Conflict(Conflict::NoSuchReference { what: "model", .. })), "{error:?}");
    }

    async fn deleting_frees_the_models_and_says_whether_there_was_one(database) {
        let storage = database.storage();
        with_models(&storage, &["m/a"]).await;
        let write = begin_catalogue(&storage).await;
        deployments::put(&write, &deployment("chat", &["m/a"])).await.unwrap();
        assert!(deployments::delete(&write, "chat").await.unwrap());
        assert!(!deployments::delete(&write, "chat").await.unwrap());
        deployments::put(&write, &deployment("other", &["m/a"])).await.unwrap();
        write.commit().await.unwrap();
        assert_eq!(deployments::find(&storage, "chat").await.unwrap(), None);
        assert_eq!(catalogue::list(&storage).await.unwrap().len(), 1, "the model stays in the catalogue");
    }

    async fn deployments_are_listed_by_name(database) {
        let storage = database.storage();
        with_models(&storage, &["m/a", "m/b", "m/c"]).await;
        let write = begin_catalogue(&storage).await;
        for (name, model) in [("b", "m/a"), ("a-2", "m/b"), ("B", "m/c")] {
            deployments::put(&write, &deployment(name, &[model])).await.unwrap();
        }
        write.commit().await.unwrap();
        let names: Vec<_> = deployments::list(&storage).await.unwrap().into_iter().map(|found| found.name).collect();
        assert_eq!(names, ["B", "a-2", "b"]);
    }
}
