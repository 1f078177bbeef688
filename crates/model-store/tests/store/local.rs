//! Models from this machine, and what becomes of models in the store.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use silica_model_store::{MANIFEST, Origin, Silent, StoreError, WeightFormat};
use silica_testkit::HubFault;

use crate::support::{REPO, Shop, adding, gguf, hub_with_tiny_chat, id, options, tiny_chat, told};

#[test]
fn folder_is_copied_through_its_links() {
    let shop = Shop::new();
    // As in the cache of the hub's own client: names that are links to content elsewhere.
    let linked = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(tiny_chat()).unwrap() {
        let path = entry.unwrap().path().canonicalize().unwrap();
        symlink(&path, linked.path().join(path.file_name().unwrap())).unwrap();
    }
    let name = id("local/tiny");
    let manifest = shop
        .store
        .add_folder(&name, linked.path(), &adding(&Silent))
        .unwrap();
    assert!(matches!(&manifest.origin, Origin::Folder { path } if path.is_absolute()));
    assert_eq!(
        manifest.files.len(),
        5,
        "model.toml is none of the engine's files"
    );
    let weights = shop.store.folder(&name).join("model.safetensors");
    assert!(!weights.is_symlink());
    assert_eq!(
        fs::metadata(weights).unwrap().len(),
        fs::metadata(tiny_chat().join("model.safetensors")).unwrap().len()
    );
    assert_eq!(shop.store.find(&name).unwrap(), manifest);
}

#[test]
fn an_embedding_model_brings_the_files_of_its_modules() {
    let shop = Shop::new();
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine-candle/tests/fixtures/encode/bert-cls");
    let name = id("local/embedder");
    let manifest = shop.store.add_folder(&name, &folder, &adding(&Silent)).unwrap();
    let facts = &manifest.facts;
    assert_eq!(
        (
            facts.sub_type.as_str(),
            facts.architecture.as_str(),
            facts.context_length
        ),
        ("embedding", "bert", 128)
    );
    assert!(facts.features.is_empty());
    let names: Vec<&str> = manifest.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "1_Pooling/config.json",
            "config.json",
            "model.safetensors",
            "modules.json",
            "sentence_bert_config.json",
            "tokenizer.json",
            "tokenizer_config.json"
        ]
    );
    assert!(shop.store.verify(&manifest).is_empty());
}

#[test]
fn a_model_in_8_bit_floats_is_told_as_one_and_refused_without_its_scales() {
    let shop = Shop::new();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine-candle/tests/fixtures/qwen3-fp8");
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(fixture.join(name), folder.path().join(name)).unwrap();
    }
    let tokenizer = serde_json::json!({
        "version": "1.0", "added_tokens": [], "decoder": { "type": "ByteLevel", "add_prefix_space": false,
            "trim_offsets": true, "use_regex": true },
        "model": { "type": "BPE", "vocab": { "a": 0, "b": 1 }, "merges": [] },
    });
    fs::write(folder.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let add = |name: &str| shop.store.add_folder(&id(name), folder.path(), &adding(&Silent));
    let facts = add("local/fp8").unwrap().facts;
    assert_eq!(
        (facts.quantisation.as_str(), facts.architecture.as_str()),
        ("F8_E4M3", "qwen3")
    );
    let weights = folder.path().join("model.safetensors");
    let text = fs::read(&weights).unwrap();
    // One name of the header; as long as it was, so that nothing moves.
    let name = b"o_proj.weight_scale_inv";
    let place = text.windows(name.len()).position(|part| part == name).unwrap();
    let mut other = text;
    other[place..place + name.len()].copy_from_slice(b"o_proj.weight_scale_new");
    fs::write(&weights, other).unwrap();
    let told = told(&add("local/other").unwrap_err());
    assert!(told.contains("o_proj.weight_scale_inv is missing"), "{told}");
}

#[test]
fn a_folder_whose_tokenizer_is_pieces_is_a_model_and_other_files_of_that_name_are_told() {
    let shop = Shop::new();
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors"] {
        let source = crates.join("engine-candle/tests/fixtures/gguf/llama2").join(name);
        fs::copy(source, folder.path().join(name)).unwrap();
    }
    let pieces = crates.join("text/tests/pieces/unigram-nfkc");
    for name in ["tokenizer.model", "tokenizer_config.json"] {
        fs::copy(pieces.join(name), folder.path().join(name)).unwrap();
    }
    let add = |name: &str| shop.store.add_folder(&id(name), folder.path(), &adding(&Silent));
    let manifest = add("local/pieces").unwrap();
    let names: Vec<&str> = manifest.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "config.json",
            "model.safetensors",
            "tokenizer.model",
            "tokenizer_config.json"
        ]
    );
    fs::write(folder.path().join("tokenizer.model"), "IQ== 0\nIg== 1\n").unwrap();
    let told = told(&add("local/bytes").unwrap_err());
    assert!(
        told.contains("tokenizer.model cannot be read; convert it") && told.contains("tiktoken"),
        "{told}"
    );
}

#[test]
fn gguf_file_becomes_a_folder_and_one_in_a_folder_keeps_its_texts() {
    let shop = Shop::new();
    let manifest = shop
        .store
        .add_gguf(&id("local/a"), &gguf(), &adding(&Silent))
        .unwrap();
    assert_eq!(manifest.facts.format, WeightFormat::Gguf);
    let made = shop.store.folder(&id("local/a"));
    assert!(made.join("tokenizer.json").is_file() && made.join("model.gguf").is_file());

    let folder = tempfile::tempdir().unwrap();
    fs::copy(gguf(), folder.path().join("any-name.gguf")).unwrap();
    let mut own: serde_json::Value =
        serde_json::from_slice(&fs::read(made.join("tokenizer_config.json")).unwrap()).unwrap();
    own["chat_template"] = "{{ messages[0].content }}".into();
    fs::write(folder.path().join("tokenizer_config.json"), own.to_string()).unwrap();
    let manifest = shop
        .store
        .add_folder(&id("local/b"), folder.path(), &adding(&Silent))
        .unwrap();
    assert_eq!(manifest.facts.format, WeightFormat::Gguf);
    let kept = fs::read_to_string(shop.store.folder(&id("local/b")).join("tokenizer_config.json"));
    assert_eq!(kept.unwrap(), own.to_string());
}

#[test]
fn what_is_no_model_is_refused_and_nothing_is_left() {
    let shop = Shop::new();
    let folder = tempfile::tempdir().unwrap();
    let refused = shop
        .store
        .add_folder(&id("local/empty"), folder.path(), &adding(&Silent))
        .unwrap_err();
    assert!(
        refused.to_string().contains("neither safetensors nor"),
        "{refused}"
    );
    let broken = folder.path().join("broken.gguf");
    let content = fs::read(gguf()).unwrap();
    fs::write(&broken, &content[..content.len() / 2]).unwrap();
    for refused in [
        shop.store
            .add_gguf(&id("local/broken"), &broken, &adding(&Silent)),
        shop.store
            .add_folder(&id("local/broken"), folder.path(), &adding(&Silent)),
    ] {
        let told = told(&refused.unwrap_err());
        assert!(told.contains(".gguf") && told.contains("ends at"), "{told}");
    }
    let large = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(tiny_chat().join(name), large.path().join(name)).unwrap();
    }
    let tokenizer = fs::File::create(large.path().join("tokenizer.json")).unwrap();
    tokenizer.set_len((64 << 20) + 1).unwrap();
    let refused = shop
        .store
        .add_folder(&id("local/large"), large.path(), &adding(&Silent));
    let told = refused.unwrap_err().to_string();
    let expected = "has a tokenizer.json of 64.0 MiB; files beside the weights may have 64.0 MiB";
    assert!(told.ends_with(expected), "{told}");
    let mut small = adding(&Silent);
    small.max_bytes = 1;
    let refused = shop
        .store
        .add_folder(&id("local/t"), &tiny_chat(), &small)
        .unwrap_err();
    assert!(matches!(refused, StoreError::TooLarge { .. }), "{refused}");
    assert!(shop.is_empty());
}

#[test]
fn damage_in_the_store_is_found_and_a_removed_model_leaves_no_folders() {
    let shop = Shop::new();
    let name = id("org/team/tiny");
    let manifest = shop
        .store
        .add_folder(&name, &tiny_chat(), &adding(&Silent))
        .unwrap();
    let folder = shop.store.folder(&name);
    let mut config = fs::read(folder.join("config.json")).unwrap();
    config[0] = b' ';
    fs::write(folder.join("config.json"), config).unwrap();
    fs::remove_file(folder.join("generation_config.json")).unwrap();
    let damaged = shop.store.verify(&manifest);
    let named: Vec<&str> = damaged.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(named, ["config.json", "generation_config.json"]);
    shop.store.remove(&name).unwrap();
    assert!(shop.is_empty(), "{:?}", shop.content());
    let gone = shop.store.remove(&name).unwrap_err();
    assert!(matches!(gone, StoreError::NotFound { .. }), "{gone}");
    assert!(matches!(shop.store.find(&name), Err(StoreError::NotFound { .. })));
}

#[test]
fn manifest_of_a_later_version_is_named() {
    let shop = Shop::new();
    let name = id("local/tiny");
    shop.store
        .add_folder(&name, &tiny_chat(), &adding(&Silent))
        .unwrap();
    let path = shop.store.folder(&name).join(MANIFEST);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"version\": 1", "\"version\": 2")).unwrap();
    let listed = shop.store.list().unwrap();
    assert!(listed.models.is_empty());
    let refused = listed.unreadable[0].to_string();
    assert!(
        refused.contains(MANIFEST) && refused.contains("version 2"),
        "{refused}"
    );
    shop.store.remove(&name).unwrap();
}

#[test]
fn what_cannot_be_read_hides_no_other_model() {
    let shop = Shop::new();
    let root = shop.store.root();
    for name in ["local/a", "local/b"] {
        shop.store
            .add_folder(&id(name), &tiny_chat(), &adding(&Silent))
            .unwrap();
    }
    fs::write(root.join("local/a").join(MANIFEST), "no manifest").unwrap();
    // As on a disk of its own; what is in it would be damaged if anybody looked.
    fs::create_dir_all(root.join("lost+found")).unwrap();
    fs::write(root.join("lost+found").join(MANIFEST), "no manifest").unwrap();
    // A folder that cannot be listed, whoever runs the tests.
    symlink("loop", root.join("loop")).unwrap();
    let listed = shop.store.list().unwrap();
    let models: Vec<&str> = listed
        .models
        .iter()
        .map(|manifest| manifest.id.as_str())
        .collect();
    assert_eq!(models, ["local/b"]);
    let told: Vec<String> = listed.unreadable.iter().map(|error| told(error)).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("local/a"), "{told:?}");
    assert!(told[1].contains("loop"), "{told:?}");
}

#[tokio::test]
async fn failed_copy_leaves_what_an_unfinished_download_of_the_same_name_has_left() {
    let hub = hub_with_tiny_chat().await;
    let shop = Shop::new();
    hub.fault("model.safetensors", HubFault::Damage);
    shop.add(options(&hub.hugging_face())).await.unwrap_err();
    let left = shop.content();
    assert!(left.values().any(|size| *size > 0), "{left:?}");
    let broken = tempfile::tempdir().unwrap();
    for name in ["config.json", "tokenizer.json"] {
        fs::copy(tiny_chat().join(name), broken.path().join(name)).unwrap();
    }
    fs::write(broken.path().join("model.safetensors"), "no weights").unwrap();
    let refused = shop.store.add_folder(&id(REPO), broken.path(), &adding(&Silent));
    assert!(matches!(refused, Err(StoreError::Weights { .. })), "{refused:?}");
    assert_eq!(shop.content(), left);
}

#[tokio::test]
async fn removing_takes_what_an_unfinished_add_has_left() {
    let hub = hub_with_tiny_chat().await;
    let shop = Shop::new();
    hub.fault("model.safetensors", HubFault::Damage);
    shop.add(options(&hub.hugging_face())).await.unwrap_err();
    assert!(!shop.is_empty(), "the other files are kept");
    shop.store.remove(&id(REPO)).unwrap();
    assert!(shop.is_empty(), "{:?}", shop.content());
}
