use silica_platform::{
    Conflict, LimitClass, Limits, ModelFeature, ModelStatus, ModelType, NewDeployment, NewModel, NewReplica,
    PlatformError, Price, SubType,
};
use silica_testkit::on_each_database;
use silica_types::{ModelName, Secret};

use super::support::{deployment, open, open_other, put_chat_model, put_deployment};

fn chat(id: &str) -> NewModel {
    NewModel::new(ModelName::new(id).unwrap(), SubType::Chat)
}

fn field_of(error: &PlatformError) -> &str {
    let PlatformError::Invalid { field, .. } = error else {
        panic!("{error:?}")
    };
    field
}

on_each_database! {
    async fn model_is_in_the_catalogue_at_once_and_after_a_restart(database) {
        let platform = open(database).await;
        let mut changes = platform.subscribe();
        let price = Price { input: Some("0.70".parse().unwrap()), ..Price::default() };
        let features = vec![ModelFeature::Tools, ModelFeature::Json, ModelFeature::Tools];
        let limits = Some(Limits::Class { class: LimitClass::S });
        platform.put_model(NewModel { features, price, limits, ..chat("Vendor/model") }).await.unwrap();

        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        for catalogue in [platform.catalogue(), open_other(database).await.catalogue()] {
            let model = catalogue.model("Vendor/model").unwrap();
            assert_eq!(model.features, [ModelFeature::Json, ModelFeature::Tools], "sorted and without repetition");
            assert_eq!(model.price.input.unwrap().to_string(), "0.70");
            assert_eq!(model.limits, limits);
            assert!(catalogue.model("vendor/model").is_none(), "names are exact");
        }
        platform.put_model(chat("Vendor/other")).await.unwrap();
        assert!(changes.has_changed().unwrap());
    }

    async fn models_are_listed_when_deployed_and_enabled(database) {
        let platform = open(database).await;
        for id in ["m/b", "m/a", "m/c"] {
            put_chat_model(&platform, id).await;
        }
        put_deployment(&platform, "chat", &["m/a", "m/b"]).await;
        let listed = |platform: &silica_platform::Platform| {
            platform.catalogue().listed().map(|model| model.id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(listed(&platform).len(), 2);
        assert!(!listed(&platform).contains(&"m/c".to_owned()));
        assert_eq!(listed(&platform), listed(&open_other(database).await), "the same order after a restart");
        assert_eq!(platform.catalogue().deployment_of("m/a").unwrap().name, "chat");

        platform.put_model(NewModel { status: ModelStatus::Disabled, ..chat("m/a") }).await.unwrap();
        assert_eq!(listed(&platform), ["m/b"]);
        platform.delete_deployment("chat").await.unwrap();
        assert!(listed(&platform).is_empty());
        assert!(platform.catalogue().deployment_of("m/b").is_none());
    }

    async fn type_must_be_that_of_the_sub_type(database) {
        let platform = open(database).await;
        let wrong = NewModel { model_type: ModelType::Image, ..chat("m/a") };
        assert_eq!(field_of(&platform.put_model(wrong).await.unwrap_err()), "sub_type");
        let wrong = NewModel { context_length: Some(0), ..chat("m/a") };
        assert_eq!(field_of(&platform.put_model(wrong).await.unwrap_err()), "context_length");
    }

    async fn bad_deployments_are_refused_with_the_field(database) {
        let platform = open(database).await;
        put_chat_model(&platform, "m/a").await;
        let good = deployment("chat", &["m/a"]);
        let mut cases = vec![
            (NewDeployment { name: "a b".to_owned(), ..good.clone() }, "name"),
            (deployment("chat", &[]), "models"),
            (deployment("chat", &["m/missing"]), "models[0]"),
            (deployment("chat", &["m/a", "m/a"]), "models[1]"),
            (NewDeployment { policy: Some("dice".to_owned()), ..good.clone() }, "policy"),
            (NewDeployment { replicas: Vec::new(), ..good.clone() }, "replicas"),
        ];
        for (change, field) in [
            (NewReplica { engine: "abacus".to_owned(), ..good.replicas[0].clone() }, "replicas[0].engine"),
            (NewReplica { path: None, ..good.replicas[0].clone() }, "replicas[0].path"),
            (NewReplica { path: Some("".into()), ..good.replicas[0].clone() }, "replicas[0].path"),
            (NewReplica { path: Some("models/tiny".into()), ..good.replicas[0].clone() }, "replicas[0].path"),
            (NewReplica { path: Some("./tiny".into()), ..good.replicas[0].clone() }, "replicas[0].path"),
            (NewReplica { adapter: Some("".into()), ..good.replicas[0].clone() }, "replicas[0].adapter"),
            (NewReplica { adapter: Some("adapters/legal".into()), ..good.replicas[0].clone() }, "replicas[0].adapter"),
            (NewReplica { adapter: Some("/adapters/legal".into()), path: None, ..good.replicas[0].clone() }, "replicas[0].path"),
            (
                NewReplica {
                    engine: "openai".to_owned(),
                    url: Some("https://host.example/v1".to_owned()),
                    adapter: Some("/adapters/legal".into()),
                    ..good.replicas[0].clone()
                },
                "replicas[0].adapter",
            ),
            (NewReplica { quantize: Some("q2_k".to_owned()), ..good.replicas[0].clone() }, "replicas[0].quantize"),
            (NewReplica { weight: Some(0), ..good.replicas[0].clone() }, "replicas[0].weight"),
            (NewReplica { max_concurrency: Some(0), ..good.replicas[0].clone() }, "replicas[0].max_concurrency"),
            (NewReplica { connect_timeout_ms: Some(99), ..good.replicas[0].clone() }, "replicas[0].connect_timeout_ms"),
            (NewReplica { first_token_timeout_ms: Some(1_800_001), ..good.replicas[0].clone() }, "replicas[0].first_token_timeout_ms"),
            (NewReplica { stall_timeout_ms: Some(0), ..good.replicas[0].clone() }, "replicas[0].stall_timeout_ms"),
            (NewReplica { health_path: Some("health".to_owned()), ..good.replicas[0].clone() }, "replicas[0].health_path"),
            // These would be another host, and so would "/\\host".
            (NewReplica { health_path: Some("//host/health".to_owned()), ..good.replicas[0].clone() }, "replicas[0].health_path"),
            (NewReplica { health_path: Some("/\\host/health".to_owned()), ..good.replicas[0].clone() }, "replicas[0].health_path"),
            (NewReplica { health_path: Some("/a b".to_owned()), ..good.replicas[0].clone() }, "replicas[0].health_path"),
            (NewReplica { health_path: Some(format!("/{}", "a".repeat(256))), ..good.replicas[0].clone() }, "replicas[0].health_path"),
            (NewReplica { api_key: Some(Secret::new("sealed:v1:a:b")), ..good.replicas[0].clone() }, "replicas[0].api_key"),
        ] {
            cases.push((NewDeployment { replicas: vec![change], ..good.clone() }, field));
        }
        for (case, field) in cases {
            assert_eq!(field_of(&platform.check_deployment(case).unwrap_err()), field);
        }
        assert!(platform.check_deployment(good).is_ok());
    }

    async fn fallbacks_exist_once_and_never_lead_back(database) {
        let platform = open(database).await;
        for name in ["a", "b", "c"] {
            put_chat_model(&platform, &format!("m/{name}")).await;
            put_deployment(&platform, name, &[&format!("m/{name}")]).await;
        }
        let with = |name: &str, fallbacks: &[&str]| NewDeployment {
            fallbacks: fallbacks.iter().map(|name| (*name).to_owned()).collect(),
            ..deployment(name, &[&format!("m/{name}")])
        };
        for (name, fallbacks) in [("a", vec!["b", "c"]), ("b", vec!["c"])] {
            let checked = platform.check_deployment(with(name, &fallbacks)).unwrap();
            assert_eq!(platform.put_deployment(checked).await.unwrap().fallbacks, fallbacks);
        }
        for (name, fallbacks, field, problem) in [
            ("a", vec!["a"], "fallbacks[0]", "itself"),
            ("a", vec!["b", "d"], "fallbacks[1]", "there is no deployment \"d\""),
            ("a", vec!["b", "b"], "fallbacks[1]", "twice"),
            ("b", vec!["a"], "fallbacks[0]", "circle"),
            ("c", vec!["a"], "fallbacks[0]", "circle"),
            ("a", vec!["b", "c", "d", "e", "f"], "fallbacks", "at most 4"),
        ] {
            let error = platform.check_deployment(with(name, &fallbacks)).unwrap_err();
            assert_eq!(field_of(&error), field, "{name} {fallbacks:?}");
            assert!(error.to_string().contains(problem), "{error}");
        }
        // What a replaced deployment says no longer counts.
        let free = platform.check_deployment(with("a", &[])).unwrap();
        platform.put_deployment(free).await.unwrap();
        assert!(platform.check_deployment(with("c", &["a"])).is_ok());
    }

    async fn fallback_that_went_or_turned_since_the_check_is_refused_by_the_put(database) {
        let platform = open(database).await;
        for name in ["a", "b"] {
            put_chat_model(&platform, &format!("m/{name}")).await;
            put_deployment(&platform, name, &[&format!("m/{name}")]).await;
        }
        let to = |name: &str, fallback: &str| NewDeployment {
            fallbacks: vec![fallback.to_owned()],
            ..deployment(name, &[&format!("m/{name}")])
        };
        let there = platform.check_deployment(to("a", "b")).unwrap();
        let back = platform.check_deployment(to("b", "a")).unwrap();
        platform.put_deployment(there.clone()).await.unwrap();
        assert_eq!(field_of(&platform.put_deployment(back).await.unwrap_err()), "fallbacks[0]");

        let refused = platform.delete_deployment("b").await.unwrap_err();
        assert_eq!(refused.to_string(), "b is a fallback of a; take it from their fallbacks first");
        assert!(platform.catalogue().deployment("b").is_some());
        put_deployment(&platform, "a", &["m/a"]).await;
        platform.delete_deployment("b").await.unwrap();
        assert_eq!(field_of(&platform.put_deployment(there).await.unwrap_err()), "fallbacks[0]");
    }

    async fn model_of_another_deployment_conflicts_in_the_check_and_in_the_put(database) {
        let platform = open(database).await;
        put_chat_model(&platform, "m/a").await;
        let late = platform.check_deployment(deployment("late", &["m/a"])).unwrap();
        put_deployment(&platform, "chat", &["m/a"]).await;
        for error in [
            platform.check_deployment(deployment("other", &["m/a"])).unwrap_err(),
            platform.put_deployment(late).await.unwrap_err(),
        ] {
            assert!(matches!(error, PlatformError::Conflict(Conflict::ModelDeployed { .. })), "{error:?}");
        }
        put_deployment(&platform, "chat", &["m/a"]).await;
    }

    async fn deleting_an_unknown_deployment_is_not_found(database) {
        let platform = open(database).await;
        let error = platform.delete_deployment("chat").await.unwrap_err();
        assert!(matches!(error, PlatformError::NotFound { what: "deployment", .. }), "{error:?}");
    }
}
