use silica_platform::{
    CatalogueEntry, CheckedCatalogue, Conflict, ModelStatus, NewCatalogue, NewDeployment, NewModel, NewPrice,
    Platform, PlatformError, Price, SubType,
};
use silica_testkit::on_each_database;
use silica_types::ModelName;

use super::support::{deployment, open, open_other, put_chat_model, put_deployment};

const FILE: &str = "/etc/silica/catalogue.toml";

fn chat(id: &str) -> NewModel {
    NewModel::new(ModelName::new(id).unwrap(), SubType::Chat)
}

fn priced(id: &str, input: &str) -> NewModel {
    let price = Price {
        input: Some(input.parse().unwrap()),
        ..Price::default()
    };
    NewModel { price, ..chat(id) }
}

fn file(models: Vec<NewModel>, deployments: Vec<NewDeployment>) -> NewCatalogue {
    NewCatalogue { models, deployments }
}

async fn checked(platform: &Platform, new: NewCatalogue) -> CheckedCatalogue {
    platform.check_catalogue(new).await.unwrap()
}

async fn apply(platform: &Platform, new: NewCatalogue) -> silica_platform::AppliedCatalogue {
    let checked = checked(platform, new).await;
    platform.apply_catalogue(FILE, &checked).await.unwrap()
}

/// The place and the text of a file's first fault.
async fn fault(platform: &Platform, new: NewCatalogue) -> (CatalogueEntry, String) {
    let fault = platform.check_catalogue(new).await.unwrap_err();
    (fault.entry, fault.source.to_string())
}

on_each_database! {
    async fn a_file_is_in_force_at_once_and_after_a_restart(database) {
        let platform = open(database).await;
        let new = || file(vec![priced("m/a", "0.70"), chat("m/b")], vec![deployment("one", &["m/a"]), deployment("two", &["m/b"])]);
        let applied = apply(&platform, new()).await;
        assert_eq!((applied.models, applied.deployments), (vec!["m/a".into(), "m/b".into()], vec!["one".into(), "two".into()]));
        for platform in [platform.clone(), open_other(database).await] {
            let catalogue = platform.catalogue();
            assert_eq!(catalogue.deployment_of("m/b").unwrap().name, "two");
            let now = "2025-02-14T00:00:00Z".parse().unwrap();
            let price = catalogue.model("m/a").unwrap().price_at(now, None).unwrap().list.input;
            assert_eq!(price.unwrap().to_string(), "0.70");
            let known = platform.catalogue_file().await.unwrap().unwrap();
            assert_eq!((known.path.as_str(), known.deployments), (FILE, vec!["one".to_owned(), "two".to_owned()]));
            assert!(apply(&platform, new()).await.is_empty(), "the same file changes nothing");
        }
    }

    async fn a_model_moves_between_deployments_in_one_step(database) {
        let platform = open(database).await;
        let models = || vec![chat("m/a"), chat("m/b")];
        apply(&platform, file(models(), vec![deployment("one", &["m/a"]), deployment("two", &["m/b"])])).await;
        let created = platform.catalogue().deployment("one").unwrap().created_at;
        apply(&platform, file(models(), vec![deployment("one", &["m/b"]), deployment("two", &["m/a"])])).await;
        let catalogue = platform.catalogue();
        assert_eq!(catalogue.deployment_of("m/a").unwrap().name, "two");
        assert_eq!(catalogue.deployment_of("m/b").unwrap().name, "one");
        assert_eq!(catalogue.deployment("one").unwrap().created_at, created);
    }

    async fn what_the_file_no_longer_names_goes_and_what_others_made_stays(database) {
        let platform = open(database).await;
        put_chat_model(&platform, "m/own").await;
        put_deployment(&platform, "own", &["m/own"]).await;
        apply(&platform, file(vec![chat("m/a"), chat("m/b")], vec![deployment("one", &["m/a"]), deployment("two", &["m/b"])])).await;
        let applied = apply(&platform, file(vec![chat("m/b")], vec![deployment("two", &["m/b"])])).await;
        assert_eq!(applied.deleted_deployments, ["one"]);
        assert_eq!(applied.disabled_models, ["m/a"]);
        let listed = |platform: &Platform| platform.catalogue().listed().map(|model| model.id.to_string()).collect::<Vec<_>>();
        assert_eq!(listed(&platform).len(), 2);
        assert!(!listed(&platform).contains(&"m/a".to_owned()));
        assert_eq!(platform.catalogue().model("m/a").unwrap().status, ModelStatus::Disabled);
        apply(&platform, file(vec![], vec![])).await;
        assert_eq!(listed(&platform), ["m/own"]);
    }

    async fn what_the_file_names_is_changed_by_the_file_only(database) {
        let platform = open(database).await;
        put_chat_model(&platform, "m/a").await;
        put_deployment(&platform, "one", &["m/a"]).await;
        apply(&platform, file(vec![chat("m/a")], vec![deployment("one", &["m/a"])])).await;
        let refusals = [
            platform.put_model(chat("m/a")).await.unwrap_err(),
            platform.put_deployment(platform.check_deployment(deployment("one", &["m/a"])).unwrap()).await.unwrap_err(),
            platform.delete_deployment("one").await.unwrap_err(),
        ];
        for refusal in refusals {
            assert!(matches!(&refusal, PlatformError::Managed { file, .. } if file == FILE), "{refusal:?}");
        }
        put_chat_model(&platform, "m/other").await;
        let known = platform.forget_catalogue_file().await.unwrap().unwrap();
        assert_eq!(known.models, ["m/a"]);
        platform.put_model(chat("m/a")).await.unwrap();
        platform.delete_deployment("one").await.unwrap();
        assert_eq!(platform.forget_catalogue_file().await.unwrap(), None);
    }

    async fn an_operators_price_outlasts_a_file_that_says_the_same(database) {
        let platform = open(database).await;
        let new = |price: &str, context: u32| file(vec![NewModel { context_length: Some(context), ..priced("m/a", price) }], vec![]);
        let now = || platform.catalogue().model("m/a").unwrap().price_at("2025-02-14T00:00:00Z".parse().unwrap(), None).unwrap().list.input.unwrap().to_string();
        apply(&platform, new("1", 100)).await;
        let list = Price { input: Some("3".parse().unwrap()), ..Price::default() };
        let entry = NewPrice { model: ModelName::new("m/a").unwrap(), mode: None, list, promotional: None, badge: None, effective_from: None, effective_until: None };
        platform.add_price(entry).await.unwrap();
        assert_eq!(apply(&platform, new("1", 200)).await.models, ["m/a"]);
        assert_eq!(now(), "3");
        apply(&platform, new("2", 200)).await;
        assert_eq!(now(), "2");
    }

    async fn every_fault_is_found_before_anything_changes(database) {
        let platform = open(database).await;
        put_chat_model(&platform, "m/own").await;
        put_deployment(&platform, "own", &["m/own"]).await;
        let before = platform.catalogue();

        let (entry, text) = fault(&platform, file(vec![chat("m/a"), chat("m/a")], vec![])).await;
        assert_eq!((entry, text.as_str()), (CatalogueEntry::Model(1), "id: m/a is there twice"));
        let twice = vec![deployment("one", &["m/a"]), deployment("one", &["m/a"])];
        let (entry, text) = fault(&platform, file(vec![chat("m/a")], twice)).await;
        assert_eq!((entry, text.as_str()), (CatalogueEntry::Deployment(1), "name: one is there twice"));
        let (entry, text) = fault(&platform, file(vec![chat("m/a")], vec![deployment("one", &["m/own"])])).await;
        assert_eq!(entry, CatalogueEntry::Deployment(0));
        assert!(text.starts_with("models[0]:") && text.contains("m/own"), "{text}");
        let shared = vec![deployment("one", &["m/a"]), deployment("two", &["m/a"])];
        let refused = platform.check_catalogue(file(vec![chat("m/a")], shared)).await.unwrap_err();
        assert!(matches!(refused.source, PlatformError::Conflict(Conflict::ModelDeployed { .. })), "{refused:?}");
        let taken = vec![deployment("one", &["m/own"])];
        let refused = platform.check_catalogue(file(vec![chat("m/own")], taken)).await.unwrap_err();
        assert!(matches!(refused.source, PlatformError::Conflict(Conflict::ModelDeployed { .. })), "{refused:?}");
        let circle = vec![
            NewDeployment { fallbacks: vec!["two".into()], ..deployment("one", &["m/a"]) },
            NewDeployment { fallbacks: vec!["one".into()], ..deployment("two", &["m/b"]) },
        ];
        let (entry, text) = fault(&platform, file(vec![chat("m/a"), chat("m/b")], circle)).await;
        assert_eq!(entry, CatalogueEntry::Deployment(0));
        assert!(text.contains("circle"), "{text}");
        let elsewhere = vec![NewDeployment { fallbacks: vec!["own".into()], ..deployment("one", &["m/a"]) }];
        let (_, text) = fault(&platform, file(vec![chat("m/a")], elsewhere)).await;
        assert!(text.starts_with("fallbacks[0]:"), "{text}");

        assert!(std::sync::Arc::ptr_eq(&before, &platform.catalogue()));
        assert_eq!(platform.catalogue_file().await.unwrap(), None);
    }

    async fn a_deployment_that_others_fall_back_to_cannot_go(database) {
        let platform = open(database).await;
        apply(&platform, file(vec![chat("m/a")], vec![deployment("one", &["m/a"])])).await;
        put_chat_model(&platform, "m/own").await;
        let own = NewDeployment { fallbacks: vec!["one".into()], ..deployment("own", &["m/own"]) };
        platform.put_deployment(platform.check_deployment(own).unwrap()).await.unwrap();
        let (entry, text) = fault(&platform, file(vec![], vec![])).await;
        assert_eq!(entry, CatalogueEntry::Missing);
        assert!(text.contains("fallback of own"), "{text}");
    }
}
