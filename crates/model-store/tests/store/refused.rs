//! Models that are whole and must not get in.

use std::fs;

use silica_model_store::{HubError, Silent, StoreError};
use silica_testkit::{HubFault, ModelHub};

use crate::support::{REPO, Shop, adding, hub_with_tiny_chat, options, tiny_chat, told};

#[tokio::test]
async fn hostile_names_refuse_the_repository_before_any_file_is_fetched() {
    for name in [
        "../../evil.json",
        "/etc/cron.d/evil",
        "tokenizer/../../../evil.json",
        "..\\evil.json",
        "C:\\evil.json",
        "tokenizer\0.json",
    ] {
        let hub = hub_with_tiny_chat().await;
        hub.list_also(name);
        for address in [hub.hugging_face(), hub.model_scope()] {
            let shop = Shop::new();
            let refused = shop.add(options(&address)).await.unwrap_err();
            assert!(matches!(refused, StoreError::UnsafeName { .. }), "{refused}");
            assert!(shop.is_empty());
            assert_eq!(fs::read_dir(shop.folder.path()).unwrap().count(), 1);
        }
        assert!(hub.requests().iter().all(|request| request.path.is_empty()));
    }
}

#[tokio::test]
async fn texts_that_cannot_be_served_are_told_before_the_weights_are_fetched() {
    for (name, damage, is_told) in [
        (
            "config.json",
            ("Qwen3ForCausalLM", "MambaForCausalLM"),
            "architecture `MambaForCausalLM`",
        ),
        ("tokenizer.json", ("{", "["), "tokenizer.json"),
        (
            "tokenizer_config.json",
            ("<|im_end|>", "<|im_over|>"),
            "<|im_over|>",
        ),
    ] {
        let hub = hub_with_tiny_chat().await;
        let text = fs::read_to_string(tiny_chat().join(name)).unwrap();
        assert!(text.contains(damage.0), "{name}");
        hub.put(REPO, name, text.replace(damage.0, damage.1));
        let shop = Shop::new();
        let refused = shop.add(options(&hub.hugging_face())).await.unwrap_err();
        let told = told(&refused);
        assert!(told.contains(is_told) && told.contains(name), "{told}");
        assert!(hub.requests_for("model.safetensors").is_empty());
        assert!(shop.is_empty(), "{:?}", shop.content());
    }
}

#[tokio::test]
async fn weights_of_another_model_and_truncated_ones_are_refused_and_nothing_is_left() {
    let weights = fs::read(tiny_chat().join("model.safetensors")).unwrap();
    let half = weights[..weights.len() / 2].to_vec();
    let other =
        fs::read(tiny_chat().join("../../crates/engine-candle/tests/fixtures/qwen3/model.safetensors"));
    for (content, is_told) in [
        (half, "truncated"),
        (other.unwrap(), "has shape"),
        (b"no weights at all".to_vec(), "model.safetensors"),
    ] {
        let hub = hub_with_tiny_chat().await;
        hub.put(REPO, "model.safetensors", content);
        let shop = Shop::new();
        let refused = shop.add(options(&hub.hugging_face())).await.unwrap_err();
        assert!(matches!(refused, StoreError::Weights { .. }), "{refused}");
        let told = told(&refused);
        assert!(
            told.contains(is_told) && told.contains("model.safetensors"),
            "{told}"
        );
        assert!(shop.is_empty(), "{:?}", shop.content());
    }
}

#[tokio::test]
async fn file_without_a_checksum_is_not_fetched() {
    let hub = hub_with_tiny_chat().await;
    hub.fault("tokenizer.json", HubFault::Unsummed);
    for address in [hub.hugging_face(), hub.model_scope()] {
        let shop = Shop::new();
        let refused = shop.add(options(&address)).await.unwrap_err();
        assert!(
            matches!(refused, StoreError::Hub(HubError::Listing { .. })),
            "{refused}"
        );
        assert!(
            refused
                .to_string()
                .contains("no size and checksum for tokenizer.json")
        );
    }
    assert!(hub.requests().iter().all(|request| request.path.is_empty()));
}

#[tokio::test]
async fn model_larger_than_allowed_is_refused_before_it_is_fetched() {
    let hub = hub_with_tiny_chat().await;
    let shop = Shop::new();
    let mut adding = adding(&Silent);
    adding.max_bytes = 1 << 20;
    let refused = shop
        .add_with(options(&hub.hugging_face()), &adding)
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(
        refused,
        "the model has 9.1 MiB, and models.max_size allows 1.0 MiB"
    );
    assert!(shop.is_empty() && hub.requests().len() == 1);
}

#[tokio::test]
async fn repository_of_pickles_is_told_so() {
    let hub = ModelHub::start().await;
    for name in ["config.json", "tokenizer.json", "pytorch_model.bin"] {
        hub.put(REPO, name, "{}");
    }
    let shop = Shop::new();
    let refused = shop
        .add(options(&hub.hugging_face()))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.starts_with("silica/tiny-chat has pickled weights only"),
        "{refused}"
    );
}
