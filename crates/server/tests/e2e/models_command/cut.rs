//! Commands that are killed, and disks that fill up, in the middle of a download.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use silica_testkit::{HubFault, HubServer, ModelHub};

use super::{command, hub, json, longest_part, run, said};
use crate::small_disk::{SmallDisk, on_a_small_disk};
use crate::support::MODEL;

const WEIGHTS: &str = "model.safetensors";
/// Bytes that arrive before the hub falls silent.
const HELD: usize = 6 << 20;
/// Bytes that are on the disk then, at least: all but the last block.
const WRITTEN: u64 = 5 << 20;
/// How long a person would wait for some megabytes of this machine.
const LONG: Duration = Duration::from_mins(1);

async fn until_written(data: &Path) {
    let deadline = Instant::now() + LONG;
    while longest_part(data) < WRITTEN {
        assert!(
            Instant::now() < deadline,
            "{} bytes have arrived",
            longest_part(data)
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn asked_of_the_store(hub: &ModelHub) -> Vec<u64> {
    let mut asked = hub.requests_for(WEIGHTS);
    asked.retain(|request| request.server == HubServer::Store);
    asked.iter().map(|request| request.from() as u64).collect()
}

#[tokio::test]
async fn killed_add_goes_on_where_it_was() {
    for is_model_scope in [false, true] {
        let hub = hub().await;
        let address = if is_model_scope {
            hub.model_scope()
        } else {
            hub.hugging_face()
        };
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data");
        hub.fault(WEIGHTS, HubFault::Hold(HELD));
        let mut adding = command(&data, &["add", MODEL, "--hub", &address], &[])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until_written(&data).await;
        let meanwhile = run(&data, &["add", MODEL, "--hub", &address]).await;
        assert!(
            String::from_utf8_lossy(&meanwhile.stderr).contains("another process is adding or removing"),
            "{meanwhile:?}"
        );
        adding.kill().await.unwrap();
        assert_eq!(json(&data, &["list", "--json"]).await, serde_json::json!([]));

        let added = run(&data, &["add", MODEL, "--hub", &address]).await;
        assert!(added.status.success(), "{added:?}");
        let told = String::from_utf8_lossy(&added.stderr).into_owned();
        assert!(told.contains("are there already"), "{told}");
        let asked = asked_of_the_store(&hub);
        assert!(
            asked.len() == 2 && asked[0] == 0 && asked[1] >= WRITTEN,
            "{asked:?}"
        );
        assert_eq!(hub.requests_for("tokenizer.json").len(), 1);
        assert!(
            said(&data, &["show", MODEL, "--verify"])
                .await
                .contains("all files are as they came")
        );
    }
}

#[test]
fn full_disk_ends_the_command_and_keeps_what_has_arrived() {
    // The model, the room that stays free beside it, and a little.
    on_a_small_disk("models_command::cut::scenario_full_disk", 100);
}

#[tokio::test]
async fn scenario_full_disk() {
    let Some(disk) = SmallDisk::given() else { return };
    let hub = hub().await;
    let address = hub.hugging_face();
    let data = disk.folder.join("data");
    hub.fault(WEIGHTS, HubFault::Hold(HELD));
    let adding = command(&data, &["add", MODEL, "--hub", &address], &[])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until_written(&data).await;
    disk.fill();
    hub.release();
    let full = adding.wait_with_output().await.unwrap();
    let complaint = super::last_line(&full);
    assert!(
        full.status.code() == Some(1) && complaint.contains("the disk is full; what has arrived stays in"),
        "{complaint}"
    );
    assert!(longest_part(&data) >= WRITTEN);

    let no_room = run(&data, &["add", MODEL, "--hub", &address]).await;
    let complaint = super::last_line(&no_room);
    assert!(
        no_room.status.code() == Some(1) && complaint.contains("more are needed, and the disk of"),
        "{complaint}"
    );
    disk.free();
    said(&data, &["add", MODEL, "--hub", &address]).await;
    let asked = asked_of_the_store(&hub);
    assert!(asked.len() == 2 && asked[1] >= WRITTEN, "{asked:?}");
}
