//! Weights in several files.

use std::fs;

use serde_json::{Map, Value, json};
use silica_model_store::{Silent, StoreError};
use silica_testkit::ModelHub;

use crate::support::{REPO, Shop, Steps, adding, hub_with_tiny_chat, id, options, tiny_chat, told};

const NAMES: [&str; 2] = [
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
];

/// The shipped model's weights in two files, and their index.
fn shards() -> ([Vec<u8>; 2], Value) {
    shards_without("")
}

/// As [`shards`], without the tensors whose names have this end.
fn shards_without(end: &str) -> ([Vec<u8>; 2], Value) {
    let whole = fs::read(tiny_chat().join("model.safetensors")).unwrap();
    let length = usize::try_from(u64::from_le_bytes(whole[..8].try_into().unwrap())).unwrap();
    let header: Map<String, Value> = serde_json::from_slice(&whole[8..8 + length]).unwrap();
    let data = &whole[8 + length..];
    let mut parts = [(Map::new(), Vec::new()), (Map::new(), Vec::new())];
    let mut places = Map::new();
    for (number, (name, info)) in header
        .iter()
        .filter(|(name, _)| *name != "__metadata__" && (end.is_empty() || !name.ends_with(end)))
        .enumerate()
    {
        let at = |place: usize| usize::try_from(info["data_offsets"][place].as_u64().unwrap()).unwrap();
        let (head, bytes) = &mut parts[number % 2];
        let mut moved = info.clone();
        let start = bytes.len();
        bytes.extend_from_slice(&data[at(0)..at(1)]);
        moved["data_offsets"] = json!([start, bytes.len()]);
        head.insert(name.clone(), moved);
        places.insert(name.clone(), json!(NAMES[number % 2]));
    }
    let files = parts.map(|(head, bytes)| {
        let head = serde_json::to_vec(&head).unwrap();
        let mut file = (head.len() as u64).to_le_bytes().to_vec();
        file.extend(head);
        file.extend(bytes);
        file
    });
    (files, json!({ "weight_map": places }))
}

async fn hub_with_shards(files: [Vec<u8>; 2], index: &Value) -> ModelHub {
    let whole = hub_with_tiny_chat().await;
    drop(whole);
    let hub = ModelHub::start().await;
    for name in [
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "generation_config.json",
    ] {
        hub.put(REPO, name, fs::read(tiny_chat().join(name)).unwrap());
    }
    for (name, content) in NAMES.iter().zip(files) {
        hub.put(REPO, name, content);
    }
    hub.put(REPO, "model.safetensors.index.json", index.to_string());
    hub
}

#[tokio::test]
async fn shards_are_fetched_with_their_index() {
    let (files, index) = shards();
    let hub = hub_with_shards(files, &index).await;
    let other = "model-00001-of-00001.safetensors";
    hub.put(REPO, other, "another copy, which the index does not name");
    let shop = Shop::new();
    let manifest = shop.add(options(&hub.hugging_face())).await.unwrap();
    assert_eq!(manifest.files.len(), 7);
    assert!(hub.requests_for(other).is_empty());
    assert_eq!(manifest.facts.quantisation, "F16");
}

/// Whatever they are called; from a hub, and from a folder.
#[tokio::test]
async fn shards_with_names_of_their_own_are_found_by_their_index() {
    let (files, index) = shards();
    let own = ["first.safetensors", "second.safetensors"];
    let index = index
        .to_string()
        .replace(NAMES[0], own[0])
        .replace(NAMES[1], own[1]);
    let folder = tempfile::tempdir().unwrap();
    let hub = ModelHub::start().await;
    let put = |name: &str, content: Vec<u8>| {
        fs::write(folder.path().join(name), &content).unwrap();
        hub.put(REPO, name, content);
    };
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
        put(name, fs::read(tiny_chat().join(name)).unwrap());
    }
    for (name, content) in own.iter().zip(files) {
        put(name, content);
    }
    put("model.safetensors.index.json", index.into_bytes());
    let shop = Shop::new();
    let steps = Steps::default();
    let fetched = shop
        .add_with(options(&hub.hugging_face()), &adding(&steps))
        .await
        .unwrap();
    let copied = shop
        .store
        .add_folder(&id("local/own"), folder.path(), &adding(&Silent))
        .unwrap();
    assert_eq!(fetched.files, copied.files);
    assert_eq!(fetched.files.len(), 6);
}

#[tokio::test]
async fn shards_that_lack_a_tensor_of_the_architecture_are_refused() {
    let (files, index) = shards_without(".1.mlp.gate_proj.weight");
    let hub = hub_with_shards(files, &index).await;
    let shop = Shop::new();
    let refused = shop.add(options(&hub.hugging_face())).await.unwrap_err();
    assert!(matches!(refused, StoreError::Weights { .. }), "{refused}");
    let told = told(&refused);
    assert!(
        told.ends_with("tensor model.layers.1.mlp.gate_proj.weight is missing"),
        "{told}"
    );
    assert!(shop.is_empty());
}

#[tokio::test]
async fn truncated_shard_is_named() {
    let (mut files, index) = shards();
    let half = files[1].len() / 2;
    files[1].truncate(half);
    let hub = hub_with_shards(files, &index).await;
    let shop = Shop::new();
    let refused = shop.add(options(&hub.hugging_face())).await.unwrap_err();
    assert!(matches!(refused, StoreError::Weights { .. }), "{refused}");
    let told = told(&refused);
    assert!(told.contains(NAMES[1]) && told.contains("truncated"), "{told}");
    assert!(shop.is_empty());
}

#[tokio::test]
async fn shard_that_the_index_names_and_nobody_has_is_named() {
    let (files, index) = shards();
    let renamed = index
        .to_string()
        .replace(NAMES[1], "model-00002-of-00003.safetensors");
    let index = serde_json::from_str(&renamed).unwrap();
    let hub = hub_with_shards(files, &index).await;
    let shop = Shop::new();
    let told = told(&shop.add(options(&hub.hugging_face())).await.unwrap_err());
    assert!(told.contains("model-00002-of-00003.safetensors"), "{told}");
    assert!(shop.is_empty());
}
