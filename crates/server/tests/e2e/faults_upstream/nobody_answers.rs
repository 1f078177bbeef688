//! Calls that no replica answers, and those that none should be asked twice.

use serde_json::json;
use silica_testkit::{DeadEnd, Upstream, UpstreamFault, UpstreamScript};

use super::pair::{Replica, Shop, faulty, good, parse};

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_the_request_is_the_clients_and_moves_nothing() {
    let shop = Shop::open().await;
    for status in [400, 413, 422] {
        for is_streamed in [true, false] {
            let (first, second) = (Replica::with(UpstreamFault::Status(status)).await, good().await);
            let model = format!("client/{status}-{is_streamed}");
            shop.deploy(&model, &[&first, &second]).await;
            // Often enough to open a breaker, if these counted as failures of the replica.
            for number in 1..=5 {
                let told = shop.call(&model, &format!("{model}-{number}"), is_streamed).await;
                assert_eq!(told.status, 400, "{model}: {told:?}");
                assert_eq!(parse(&told.text)["message"], "refused by the script", "{model}");
                assert_eq!((first.calls(), second.calls()), (number, 0), "{model}");
            }
        }
    }
    shop.is_paid().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_one_piece_that_is_too_long_moves_nothing_and_blames_no_replica() {
    let shop = Shop::open().await;
    for (path, kind, body) in [
        (
            "/v1/completions",
            "chat",
            json!({"prompt": "hello", "max_tokens": 10}),
        ),
        ("/v1/embeddings", "embedding", json!({"input": "hello"})),
        (
            "/v1/rerank",
            "reranker",
            json!({"query": "a", "documents": ["b"]}),
        ),
    ] {
        let (first, second) = (Replica::with(UpstreamFault::Endless(0)).await, good().await);
        let model = format!("long{path}");
        shop.deploy_as(&model, kind, &[&first, &second]).await;
        // Often enough to open a breaker, if these counted as failures of the replica.
        for number in 1..=5 {
            let mut body = body.clone();
            body["model"] = model.as_str().into();
            let told = shop.post(path, &format!("{model}-{number}"), &body).await;
            assert_eq!(told.status, 500, "{model}: {told:?}");
            assert!(told.text.contains("The answer is longer than"), "{told:?}");
            assert_eq!((first.calls(), second.calls()), (number, 0), "{model}");
        }
    }
    shop.is_paid().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_not_asked_before_the_time_it_named() {
    let shop = Shop::open().await;
    let script = UpstreamScript {
        retry_after: Some(3600),
        ..faulty(UpstreamFault::Status(429))
    };
    let (first, second) = (Replica::Engine(Upstream::start_with(script).await), good().await);
    shop.deploy("fault/later", &[&first, &second]).await;
    for number in 0..6 {
        let marker = format!("later-{number}");
        let is_streamed = number % 2 == 0;
        shop.call("fault/later", &marker, is_streamed)
            .await
            .is_whole(&marker, is_streamed);
        shop.due(&marker);
    }
    assert_eq!((first.calls(), second.calls()), (1, 6));
    shop.deploy("fault/alone", &[&first]).await;
    let told = shop.call("fault/alone", "alone", false).await;
    let seconds: u32 = told.retry_after.as_deref().unwrap().parse().unwrap();
    assert!(
        told.status == 503 && seconds > 60,
        "the client is told as well: {told:?}"
    );
    shop.is_paid().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_every_replica_fails_the_client_is_told_and_nothing_is_paid() {
    let shop = Shop::open().await;
    for (name, fault, statuses) in [
        ("unavailable", UpstreamFault::Status(503), &[503][..]),
        ("bad-gateway", UpstreamFault::Status(502), &[503][..]),
        ("busy", UpstreamFault::Status(429), &[503]),
        ("internal", UpstreamFault::Status(500), &[500]),
        ("unauthorised", UpstreamFault::Status(401), &[500]),
        ("page", UpstreamFault::Html, &[500]),
        ("empty", UpstreamFault::Empty, &[500]),
        ("error", UpstreamFault::Report(0), &[500]),
        ("bomb", UpstreamFault::Bomb, &[500]),
        ("silent", UpstreamFault::Hang, &[504]),
    ] {
        for is_streamed in [true, false] {
            let replicas = (Replica::with(fault).await, Replica::with(fault).await);
            let model = format!("dead/{name}-{is_streamed}");
            shop.deploy(&model, &[&replicas.0, &replicas.1]).await;
            let told = shop.call(&model, &model, is_streamed).await;
            assert!(statuses.contains(&told.status), "{model}: {told:?}");
            let error = parse(&told.text);
            assert!(
                error["code"].is_number() && error["message"].is_string(),
                "{model}: {error}"
            );
            assert!(
                !told.text.contains("by the script"),
                "the engine's own words: {told:?}"
            );
            assert_eq!(
                told.status == 503,
                told.retry_after.is_some(),
                "{model}: {told:?}"
            );
            assert_eq!((replicas.0.calls(), replicas.1.calls()), (1, 1), "{model}");
        }
    }
    shop.is_paid().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_dead_ends_are_no_crash_and_the_fourth_replica_answers() {
    let shop = Shop::open().await;
    let dead = [
        Replica::Dead(DeadEnd::refusing()),
        Replica::Dead(DeadEnd::closing()),
        Replica::with(UpstreamFault::Status(401)).await,
    ];
    let last = good().await;
    shop.deploy("fault/chain", &[&dead[0], &dead[1], &dead[2], &last])
        .await;
    for is_streamed in [true, false] {
        let marker = format!("chain-{is_streamed}");
        shop.call("fault/chain", &marker, is_streamed)
            .await
            .is_whole(&marker, is_streamed);
        shop.due(&marker);
    }
    assert_eq!(last.calls(), 2);
    shop.is_paid().await;
}
