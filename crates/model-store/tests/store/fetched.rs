//! Models that a hub gives as it should.

use std::fs;

use silica_model_store::{Origin, Silent, StoreError, WeightFormat};
use silica_testkit::{HUB_COMMIT, HubServer, ModelHub};

use crate::support::{
    REPO, Shop, Steps, adding, gguf, has_extension, hub_with_tiny_chat, id, options, secret, tiny_chat,
};

#[tokio::test]
async fn model_of_either_dialect_is_there_whole_and_nothing_else() {
    let hub = hub_with_tiny_chat().await;
    for (address, commit) in [
        (hub.hugging_face(), Some(HUB_COMMIT.to_owned())),
        (hub.model_scope(), None),
    ] {
        let shop = Shop::new();
        let steps = Steps::default();
        let manifest = shop.add_with(options(&address), &adding(&steps)).await.unwrap();
        let folder = shop.store.folder(&id(REPO));
        let names: Vec<&str> = manifest.files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "config.json",
                "generation_config.json",
                "model.safetensors",
                "tokenizer.json",
                "tokenizer_config.json"
            ]
        );
        for name in names {
            assert_eq!(
                fs::read(folder.join(name)).unwrap(),
                fs::read(tiny_chat().join(name)).unwrap(),
                "{name}"
            );
        }
        assert_eq!(steps.bytes(), i64::try_from(manifest.bytes()).unwrap());
        let facts = &manifest.facts;
        assert_eq!(
            (
                facts.format,
                facts.architecture.as_str(),
                facts.quantisation.as_str()
            ),
            (WeightFormat::Safetensors, "qwen3", "F16")
        );
        assert_eq!(facts.context_length, 2048);
        assert!(facts.parameters > 4_000_000 && facts.parameters < 5_000_000);
        assert_eq!(facts.features, ["json", "tools", "prefix", "fim", "reasoning"]);
        let Origin::Hub {
            commit: found, repo, ..
        } = &manifest.origin
        else {
            panic!("{:?}", manifest.origin);
        };
        assert_eq!((found, repo.as_str()), (&commit, REPO));
        assert_eq!(shop.store.list().unwrap().models, std::slice::from_ref(&manifest));
        assert_eq!(shop.store.verify(&manifest), []);
        assert!(!shop.content().keys().any(|path| path.starts_with(".partial/s")));
    }
    let asked = hub.requests();
    assert!(!asked.iter().any(|request| {
        has_extension(&request.path, "bin")
            || has_extension(&request.path, "md")
            || request.path.contains('/')
    }));
}

#[tokio::test]
async fn token_goes_to_the_hub_and_not_to_where_it_redirects() {
    let hub = hub_with_tiny_chat().await;
    hub.gate(REPO, "geheim");
    for address in [hub.hugging_face(), hub.model_scope()] {
        let shop = Shop::new();
        let mut options = options(&address);
        options.token = Some(secret("geheim"));
        shop.add(options).await.unwrap();
    }
    let (of_hub, of_store): (Vec<_>, Vec<_>) = hub
        .requests()
        .into_iter()
        .partition(|request| request.server == HubServer::Hub);
    assert!(of_hub.iter().all(|request| request.secrets[0] == "Bearer geheim"));
    assert_eq!(of_store.len(), 2);
    assert!(of_store.iter().all(|request| request.secrets.is_empty()));
}

#[tokio::test]
async fn gguf_that_was_asked_for_becomes_a_folder() {
    let hub = ModelHub::start().await;
    let content = fs::read(gguf()).unwrap();
    hub.put(REPO, "q8/model-q8_0.gguf", content.clone());
    hub.put(REPO, "model-f16.gguf", content.clone());
    // No part of the model: the file has its own.
    hub.put(REPO, "config.json", "{}");
    let shop = Shop::new();
    let address = hub.hugging_face();
    let refused = shop.add(options(&address)).await.unwrap_err();
    let StoreError::Unsuited { problem, .. } = &refused else {
        panic!("{refused}");
    };
    assert!(
        problem.contains("model-f16.gguf, q8/model-q8_0.gguf"),
        "{refused}"
    );
    assert!(shop.is_empty());

    let mut adding = adding(&Silent);
    adding.file = Some("q8/model-q8_0.gguf");
    let manifest = shop.add_with(options(&address), &adding).await.unwrap();
    let names: Vec<&str> = manifest.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "config.json",
            "generation_config.json",
            "model.gguf",
            "tokenizer.json",
            "tokenizer_config.json"
        ]
    );
    assert_eq!(
        (manifest.facts.format, manifest.facts.quantisation.as_str()),
        (WeightFormat::Gguf, "F16")
    );
    let folder = shop.store.folder(&id(REPO));
    assert_eq!(fs::read(folder.join("model.gguf")).unwrap(), content);
    assert!(hub.requests_for("model-f16.gguf").is_empty() && hub.requests_for("config.json").is_empty());
}

#[tokio::test]
async fn name_that_is_taken_is_refused_before_the_hub_is_asked() {
    let hub = hub_with_tiny_chat().await;
    let shop = Shop::new();
    shop.add(options(&hub.hugging_face())).await.unwrap();
    let asked = hub.requests().len();
    let again = shop.add(options(&hub.hugging_face())).await.unwrap_err();
    assert!(matches!(again, StoreError::Exists { .. }), "{again}");
    for (name, is_inside) in [("silica/tiny-chat/other", true), ("silica", false)] {
        let hub = silica_model_store::Hub::new(options(&hub.hugging_face())).unwrap();
        let added = shop
            .store
            .add_from_hub(&id(name), &hub, &id(REPO), &adding(&Silent))
            .await
            .unwrap_err();
        assert_eq!(matches!(added, StoreError::Inside { .. }), is_inside, "{added}");
        assert_eq!(
            matches!(added, StoreError::Occupied { .. }),
            !is_inside,
            "{added}"
        );
    }
    assert_eq!(hub.requests().len(), asked);
}

#[tokio::test]
async fn revision_is_asked_for_and_files_come_from_its_commit() {
    let hub = hub_with_tiny_chat().await;
    let shop = Shop::new();
    let mut adding = adding(&Silent);
    adding.revision = Some("no/such");
    let refused = shop
        .add_with(options(&hub.hugging_face()), &adding)
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("has no revision no/such"), "{refused}");
    let refused = shop
        .add_with(options(&hub.model_scope()), &adding)
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("has no revision no/such"), "{refused}");
    adding.revision = Some(HUB_COMMIT);
    shop.add_with(options(&hub.hugging_face()), &adding)
        .await
        .unwrap();
}
