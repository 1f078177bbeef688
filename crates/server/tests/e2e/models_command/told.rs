//! What the command says when it refuses.

use std::fs;

use silica_testkit::HubFault;

use super::{command, complaint, hub, last_line, run, said};
use crate::support::{MODEL, shipped_models};

#[tokio::test]
async fn gated_model_opens_with_the_token_of_the_environment_or_of_a_file() {
    let hub = hub().await;
    hub.gate(MODEL, "hf_geheim");
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    let address = hub.hugging_face();
    let arguments = ["add", MODEL, "--hub", &address];
    let refused = complaint(&data, &arguments).await;
    assert!(
        refused.contains("is gated at") && refused.contains("set HF_TOKEN"),
        "{refused}"
    );
    assert!(
        fs::read_dir(data.join("models/.partial"))
            .unwrap()
            .next()
            .is_none()
    );
    let wrong = command(&data, &arguments, &[("HF_TOKEN", "hf_falsch")])
        .output()
        .await
        .unwrap();
    let told = last_line(&wrong);
    assert!(
        told.contains("has no access") && !told.contains("falsch"),
        "{told}"
    );
    let opened = command(&data, &arguments, &[("HF_TOKEN", "hf_geheim")])
        .output()
        .await
        .unwrap();
    assert!(opened.status.success(), "{opened:?}");
    let all = format!("{opened:?}");
    assert!(!all.contains("geheim"), "{all}");

    let file = root.path().join("token");
    fs::write(&file, "hf_geheim\n").unwrap();
    said(&data, &["remove", MODEL]).await;
    let variable = ("SILICA__MODELS__HUB_TOKEN_FILE", file.to_str().unwrap());
    let opened = command(&data, &arguments, &[variable]).output().await.unwrap();
    assert!(opened.status.success(), "{opened:?}");
}

#[tokio::test]
async fn refusals_name_the_reason_and_leave_nothing() {
    let hub = hub().await;
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    let address = hub.hugging_face();
    for (arguments, told) in [
        (
            vec!["add", "org/missing", "--hub", &address],
            "has no org/missing, or it is private",
        ),
        (
            vec!["add", MODEL, "--hub", &address, "--revision", "v9"],
            "has no revision v9",
        ),
        (
            vec!["add", MODEL, "--hub", &address, "--file", "x.gguf"],
            "has no file x.gguf",
        ),
        (
            vec!["add", ".", "--hub", &address],
            ". is a folder of this machine, so --hub says nothing",
        ),
        (vec!["add", "./nowhere"], "./nowhere does not exist"),
        (vec!["add", "a/b/c/d"], "is no name of a model"),
        (
            vec!["show", "org/missing"],
            "there is no model org/missing in the store",
        ),
        (
            vec!["remove", "org/missing"],
            "there is no model org/missing in the store",
        ),
        (
            vec!["deploy", "org/missing"],
            "there is no model org/missing in the store",
        ),
    ] {
        let refused = complaint(&data, &arguments).await;
        assert!(
            refused.starts_with("silica: ") && refused.contains(told),
            "{refused}"
        );
    }
    let usage = run(&data, &["add", MODEL, "--hub", "ftp://hub.example"]).await;
    assert_eq!(usage.status.code(), Some(2), "{usage:?}");
    hub.fault("tokenizer.json", HubFault::Damage);
    let refused = complaint(&data, &["add", MODEL, "--hub", &address]).await;
    assert!(
        refused.contains("tokenizer.json is damaged: its checksum is git sha1 "),
        "{refused}"
    );
    assert!(said(&data, &["list"]).await.starts_with("There are no models in"));
    assert!(!data.join("silica.db").exists(), "no command made a database");
}

/// The whole line, so that no cause stands in it twice.
#[tokio::test]
async fn broken_tokenizer_is_told_once() {
    let root = tempfile::tempdir().unwrap();
    let (data, source) = (root.path().join("data"), root.path().join("broken"));
    fs::create_dir(&source).unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(shipped_models().join("tiny-chat").join(name), source.join(name)).unwrap();
    }
    fs::write(source.join("tokenizer.json"), "{").unwrap();
    let refused = complaint(&data, &["add", source.to_str().unwrap()]).await;
    let file = data.join("models/.partial/local--broken/model/tokenizer.json");
    assert_eq!(
        refused,
        format!(
            "silica: local/broken is refused: {} is not a valid tokenizer: EOF while parsing an object at line 1 column 1",
            file.display()
        )
    );
}

/// One model that cannot be read hides no other, and the command fails all the same.
#[tokio::test]
async fn list_goes_on_behind_a_damaged_manifest() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    let source = shipped_models().join("tiny-chat");
    for name in ["a/one", "b/two"] {
        said(&data, &["add", source.to_str().unwrap(), "--name", name]).await;
    }
    fs::write(data.join("models/a/one/silica-model.json"), "{").unwrap();
    let listed = run(&data, &["list"]).await;
    assert_eq!(listed.status.code(), Some(1), "{listed:?}");
    let told = String::from_utf8_lossy(&listed.stdout);
    assert!(told.contains("b/two") && !told.contains("a/one"), "{told}");
    let complaint = last_line(&listed);
    assert!(
        complaint.starts_with("silica: not listed: ") && complaint.contains("a/one/silica-model.json"),
        "{complaint}"
    );
}

#[tokio::test]
async fn hub_inside_is_refused_unless_the_configuration_allows_it() {
    let hub = hub().await;
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    let refused = command(
        &data,
        &["add", MODEL, "--hub", &hub.hugging_face()],
        &[("SILICA__MODELS__HUB_ALLOW_PRIVATE", "false")],
    )
    .output()
    .await
    .unwrap();
    let told = last_line(&refused);
    assert!(
        told.contains("127.0.0.1 is at 127.0.0.1, which is not a public address; models.hub_allow_private"),
        "{told}"
    );
    assert!(hub.requests().is_empty());
    let mut configured = command(&data, &["add", MODEL], &[]);
    configured
        .env("SILICA__MODELS__HUB", hub.model_scope())
        .env("SILICA__MODELS__MAX_SIZE", "1MiB");
    let refused = configured.output().await.unwrap();
    assert!(
        last_line(&refused).contains("models.max_size allows 1.0 MiB"),
        "{refused:?}"
    );
}
