//! Downloads that are cut, and go on.

use std::fs;
use std::time::Duration;

use futures::FutureExt as _;
use silica_model_store::{HubError, StoreError};
use silica_testkit::{HubFault, HubServer};

use crate::support::{
    REPO, Shop, Steps, adding, has_extension, hub_with_tiny_chat, id, options, tiny_chat, told,
};

const WEIGHTS: &str = "model.safetensors";

fn assert_is_whole(shop: &Shop) {
    assert_eq!(
        fs::read(shop.store.folder(&id(REPO)).join(WEIGHTS)).unwrap(),
        fs::read(tiny_chat().join(WEIGHTS)).unwrap()
    );
}

#[tokio::test]
async fn cut_connection_goes_on_where_it_was_cut() {
    let hub = hub_with_tiny_chat().await;
    for (times, address) in [(1, hub.hugging_face()), (2, hub.model_scope())] {
        let shop = Shop::new();
        let steps = Steps::default();
        hub.fault(WEIGHTS, HubFault::Cut(3 << 20));
        hub.fault(WEIGHTS, HubFault::Cut(2 << 20));
        shop.add_with(options(&address), &adding(&steps)).await.unwrap();
        assert_is_whole(&shop);
        let mut asked = hub.requests_for(WEIGHTS);
        asked.retain(|request| request.server == HubServer::Store);
        assert_eq!(asked.len(), 3 * times);
        let last = &asked[asked.len() - 2..];
        assert!(last[0].from() > 0 && last[1].from() > last[0].from(), "{last:?}");
        assert!(last.iter().all(|request| request.if_range.is_some()));
        let size = fs::metadata(tiny_chat().join(WEIGHTS)).unwrap().len();
        assert!(steps.bytes() >= i64::try_from(size).unwrap());
        let again = steps
            .told()
            .iter()
            .filter(|step| step.starts_with("Again"))
            .count();
        assert_eq!(again, 2);
    }
}

#[tokio::test]
async fn server_that_knows_no_ranges_sends_all_again() {
    let hub = hub_with_tiny_chat().await;
    let shop = Shop::new();
    hub.fault(WEIGHTS, HubFault::Cut(3 << 20));
    hub.fault(WEIGHTS, HubFault::IgnoreRange);
    let steps = Steps::default();
    let manifest = shop
        .add_with(options(&hub.hugging_face()), &adding(&steps))
        .await
        .unwrap();
    assert_is_whole(&shop);
    assert_eq!(steps.bytes(), i64::try_from(manifest.bytes()).unwrap());
}

#[tokio::test]
async fn another_file_under_the_same_name_is_fetched_from_its_beginning() {
    let hub = hub_with_tiny_chat().await;
    let shop = Shop::new();
    hub.fault(WEIGHTS, HubFault::Cut(3 << 20));
    hub.fault(WEIGHTS, HubFault::Fail(100));
    shop.add(options(&hub.hugging_face())).await.unwrap_err();
    // The tag of the beginning is not that of what is there now.
    hub.heal();
    let tag = shop
        .content()
        .into_keys()
        .find(|path| has_extension(path, "tag"))
        .unwrap();
    fs::write(shop.store.root().join(tag), "\"another\"").unwrap();
    shop.add(options(&hub.hugging_face())).await.unwrap();
    assert_is_whole(&shop);
    let asked = hub.requests_for(WEIGHTS);
    assert_eq!(asked.last().unwrap().if_range.as_deref(), Some("\"another\""));
}

#[tokio::test]
async fn server_that_falls_silent_is_asked_again() {
    let hub = hub_with_tiny_chat().await;
    let shop = Shop::new();
    hub.fault(WEIGHTS, HubFault::Hold(1 << 20));
    let mut impatient = options(&hub.hugging_face());
    impatient.stall_limit = Duration::from_millis(500);
    let steps = Steps::default();
    shop.add_with(impatient, &adding(&steps)).await.unwrap();
    assert_is_whole(&shop);
    let told = steps.told();
    assert!(
        told.iter().any(|step| step.contains("was silent for 500ms")),
        "{told:?}"
    );
}

#[tokio::test]
async fn busy_hub_is_asked_again_when_it_says() {
    let hub = hub_with_tiny_chat().await;
    let shop = Shop::new();
    hub.fault("", HubFault::Busy(2, 0));
    hub.fault(WEIGHTS, HubFault::Fail(2));
    hub.fault("config.json", HubFault::Busy(1, 1));
    let steps = Steps::default();
    shop.add_with(options(&hub.hugging_face()), &adding(&steps))
        .await
        .unwrap();
    let told = steps.told();
    let again: Vec<&String> = told.iter().filter(|step| step.starts_with("Again")).collect();
    assert_eq!(again.len(), 5, "{told:?}");
    assert!(
        again
            .iter()
            .any(|step| step.contains("config.json") && step.contains("pause: 1s"))
    );

    let shop = Shop::new();
    hub.fault("", HubFault::Busy(1, 3600));
    let refused = shop.add(options(&hub.hugging_face())).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "127.0.0.1 asks for a pause of 3600 seconds; run the same command again after it"
    );
}

#[tokio::test]
async fn hub_that_stays_broken_is_given_up_and_what_has_arrived_is_used_the_next_time() {
    let hub = hub_with_tiny_chat().await;
    let shop = Shop::new();
    hub.fault(WEIGHTS, HubFault::Cut(5 << 20));
    hub.fault(WEIGHTS, HubFault::Fail(100));
    // The first request passes, and is cut; then the hub is down.
    let broken = shop.add(options(&hub.hugging_face())).await.unwrap_err();
    let told = told(&broken);
    assert!(
        told.starts_with(
            "gave up on model.safetensors after 3 attempts; run the same command again to go on"
        ),
        "{told}"
    );
    assert!(shop.store.list().unwrap().models.is_empty());
    hub.heal();
    let steps = Steps::default();
    shop.add_with(options(&hub.hugging_face()), &adding(&steps))
        .await
        .unwrap();
    assert_is_whole(&shop);
    assert_eq!(
        hub.requests_for("tokenizer.json").len(),
        1,
        "whole files are kept"
    );
}

#[tokio::test]
async fn two_at_once_exclude_each_other_and_the_next_goes_on() {
    let hub = hub_with_tiny_chat().await;
    let shop = Shop::new();
    hub.fault(WEIGHTS, HubFault::Hold(4 << 20));
    let mut first = shop.add(options(&hub.hugging_face())).boxed_local();
    let second = async {
        while hub.requests_for(WEIGHTS).len() < 2 {
            tokio::task::yield_now().await;
        }
        shop.add(options(&hub.hugging_face())).await.unwrap_err()
    };
    tokio::select! {
        ended = &mut first => panic!("{ended:?}"),
        refused = second => assert!(matches!(refused, StoreError::Busy { .. }), "{refused}"),
    }
    drop(first);
    shop.add(options(&hub.hugging_face())).await.unwrap();
    assert_is_whole(&shop);
}

#[tokio::test]
async fn damaged_file_is_deleted_and_named_and_the_others_are_kept() {
    let hub = hub_with_tiny_chat().await;
    for address in [hub.hugging_face(), hub.model_scope()] {
        for damaged in [WEIGHTS, "tokenizer.json"] {
            let shop = Shop::new();
            hub.fault(damaged, HubFault::Damage);
            let refused = shop.add(options(&address)).await.unwrap_err();
            assert!(
                matches!(&refused, StoreError::Hub(HubError::WrongDigest { file, .. }) if file == damaged),
                "{refused}"
            );
            assert!(shop.store.list().unwrap().models.is_empty());
            assert!(
                !shop
                    .content()
                    .keys()
                    .any(|path| has_extension(path, "part") && path.contains(damaged))
            );
            hub.heal();
            shop.add(options(&address)).await.unwrap();
            assert_is_whole(&shop);
        }
    }
}

#[tokio::test]
async fn file_of_another_length_than_listed_is_refused() {
    let hub = hub_with_tiny_chat().await;
    let address = hub.hugging_face();
    for (fault, is_told) in [
        (
            HubFault::Truncate(1 << 20),
            "is listed with 9421984 bytes, and 127.0.0.2 sends 1048576",
        ),
        (
            HubFault::Endless,
            "sends more than the 9421984 bytes that are listed for model.safetensors",
        ),
        (HubFault::End(1 << 10), "model.safetensors ended after "),
        (HubFault::Gone, "lists model.safetensors and does not have it"),
    ] {
        let shop = Shop::new();
        hub.heal();
        hub.fault(WEIGHTS, fault);
        let refused = told(&shop.add(options(&address)).await.unwrap_err());
        assert!(refused.contains(is_told), "{refused}");
        assert!(shop.store.list().unwrap().models.is_empty());
    }
}

/// What an earlier try has left is looked at again: at once where the checksum is Git's, at the end
/// where it is a SHA-256.
#[tokio::test]
async fn file_that_was_damaged_on_the_disk_is_found_and_fetched_again() {
    let name = "generation_config.json";
    let content = fs::read(tiny_chat().join(name)).unwrap();
    for is_git in [true, false] {
        let hub = hub_with_tiny_chat().await;
        let address = if is_git {
            hub.hugging_face()
        } else {
            hub.model_scope()
        };
        let shop = Shop::new();
        hub.fault(WEIGHTS, HubFault::Fail(100));
        shop.add(options(&address)).await.unwrap_err();
        hub.heal();
        let left = shop.content().into_keys().filter(|path| path.contains("/blobs/"));
        let left: Vec<_> = left
            .map(|path| shop.store.root().join(path))
            .filter(|path| path.is_file() && fs::read(path).unwrap() == content)
            .collect();
        // Means the same, so no check but that of the sum can find it.
        fs::write(&left[0], [&content[..], b" "].concat()).unwrap();
        if !is_git {
            let refused = told(&shop.add(options(&address)).await.unwrap_err());
            assert!(
                refused.starts_with("generation_config.json is damaged: its checksum is sha256 "),
                "{refused}"
            );
        }
        shop.add(options(&address)).await.unwrap();
        assert_is_whole(&shop);
        assert_eq!(hub.requests_for(name).len(), 2);
    }
}
