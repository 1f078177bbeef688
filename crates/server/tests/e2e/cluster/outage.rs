//! What dies, and what is true afterwards.

use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use silica_testkit::UpstreamScript;
use tokio_util::task::TaskTracker;

use super::support::{Cluster, is_soon};
use super::{CLIENTS, customer};
use crate::till::{
    CALL_COST, Customer, FREE, PAID, booked, complete, credit, nano, own_balance, refusal, script, send,
};

/// Lets all clients call both servers for a while; returns the markers of what was complete, and how often another
/// answer came.
async fn calls(cluster: &Cluster, customer: &Customer, name: &str, count: usize) -> (Vec<String>, usize) {
    let clients = (0..2 * CLIENTS).map(|client| async move {
        let (mut complete, mut refused) = (Vec::new(), 0);
        for call in 0..count {
            let marker = format!("{name}-{client}-{call}");
            let server = &cluster.servers[client % 2];
            let answer = send(server, &customer.key, PAID, &script(&marker), call % 2 == 0).await;
            let is_good = answer.status() == 200;
            let text = answer.text().await.unwrap();
            if is_good && (text.contains("[DONE]") || text.contains("\"usage\"")) {
                complete.push(marker);
            } else {
                refused += 1;
            }
        }
        (complete, refused)
    });
    let mut all = (Vec::new(), 0);
    for (complete, refused) in join_all(clients).await {
        all.0.extend(complete);
        all.1 += refused;
    }
    all
}

fn shortfall(rows: &[serde_json::Value]) -> i64 {
    rows.iter()
        .filter(|row| !row["shortfall"].is_null())
        .map(|row| nano(&row["shortfall"]))
        .sum()
}

#[tokio::test]
async fn redis_that_is_killed_and_comes_back_empty_lets_nothing_be_spent_twice() {
    let cluster = Cluster::start("refuse").await;
    let customer = customer(&cluster.servers[0], "steady", "1000").await;
    let (mut complete, _) = calls(&cluster, &customer, "before", 2).await;
    // A call that runs over the whole of it.
    let long = UpstreamScript {
        tokens: 20,
        delay: Duration::from_millis(250),
        ..script("long")
    };
    let first = &cluster.servers[0];
    let tracker = TaskTracker::new();
    let running = tracker.spawn({
        let request = first
            .request(reqwest::Method::POST, "/v1/chat/completions")
            .bearer_auth(&customer.key)
            .header("x-trace-id", "long")
            .json(&crate::till::scripted(PAID, &long, false));
        async move { request.send().await.unwrap().status() }
    });
    is_soon("the long call has begun", async || {
        cluster.upstream.calls().iter().any(|call| call.marker == "long")
    })
    .await;
    cluster.redis.kill();
    cluster.is_apart().await;
    let refused = send(&cluster.servers[1], &customer.key, PAID, &script("away"), false).await;
    assert_eq!(refusal(refused).await.0, 503);
    cluster.redis.restart().await;
    cluster.is_together().await;
    let (more, refused) = calls(&cluster, &customer, "after", 2).await;
    assert_eq!(refused, 0, "both count together again");
    complete.extend(more);
    assert_eq!(running.await.unwrap(), 200);
    complete.push("long".to_owned());
    let rows = booked(&cluster.servers[1], &customer, &complete).await;
    assert_eq!(shortfall(&rows), 0);
    // Nothing is held any more: all that is left can be spent.
    let left = 1_000_000_000_000
        - rows
            .iter()
            .filter(|row| row["kind"] == "call")
            .map(|row| -nano(&row["amount"]))
            .sum::<i64>();
    for server in &cluster.servers {
        is_soon("the balance is right", async || {
            own_balance(server, &customer.key).await == left
        })
        .await;
    }
    cluster.is_sound().await;
}

#[tokio::test]
async fn redis_that_dies_twice_under_traffic_leaves_the_books_right() {
    let cluster = Cluster::start("refuse").await;
    let customer = customer(&cluster.servers[0], "busy", "40").await;
    let dying = async {
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_millis(400)).await;
            cluster.redis.kill();
            tokio::time::sleep(Duration::from_millis(200)).await;
            cluster.redis.restart().await;
            cluster.is_together().await;
        }
    };
    let ((complete, refused), ()) = tokio::join!(calls(&cluster, &customer, "traffic", 30), dying);
    assert!(
        !complete.is_empty() && refused > 0,
        "{} and {refused}",
        complete.len()
    );
    cluster.is_together().await;
    let rows = booked(&cluster.servers[0], &customer, &complete).await;
    assert_eq!(shortfall(&rows), 0);
    cluster.is_sound().await;
}

#[tokio::test]
async fn without_redis_each_server_spends_its_allowance_and_free_models_go_on() {
    let cluster = Cluster::start("allow").await;
    let customer = customer(&cluster.servers[0], "patient", "100").await;
    let known = async || own_balance(&cluster.servers[1], &customer.key).await == 100_000_000_000;
    is_soon("the other server knows the money", known).await;
    complete(&cluster.servers[1], &customer.key, PAID, "together", false).await;
    cluster.redis.kill();
    cluster.is_apart().await;
    // The allowance is five CNY, a call may cost above two and costs 0.02: two may run at once.
    for server in &cluster.servers {
        complete(
            server,
            &customer.key,
            PAID,
            &format!("alone-{}", server.base_url()),
            false,
        )
        .await;
        complete(
            server,
            &customer.key,
            FREE,
            &format!("free-{}", server.base_url()),
            true,
        )
        .await;
        let slow = UpstreamScript {
            delay: Duration::from_millis(500),
            ..script("slow")
        };
        let calls = (0..4).map(|_| send(server, &customer.key, PAID, &slow, false));
        let answers = join_all(calls).await;
        let admitted = answers.iter().filter(|answer| answer.status() == 200).count();
        assert_eq!(admitted, 2, "of four at once");
        assert!(
            answers
                .iter()
                .all(|answer| [200, 503].contains(&answer.status().as_u16()))
        );
    }
    cluster.redis.restart().await;
    cluster.is_together().await;
    let left = 100_000_000_000 - 7 * CALL_COST;
    for server in &cluster.servers {
        is_soon("what was spent alone is deducted", async || {
            own_balance(server, &customer.key).await == left
        })
        .await;
    }
    cluster.is_sound().await;
}

#[tokio::test]
async fn a_redis_that_hangs_is_taken_for_dead_and_joined_again() {
    let cluster = Cluster::start("refuse").await;
    let customer = customer(&cluster.servers[0], "waiting", "100").await;
    complete(&cluster.servers[0], &customer.key, PAID, "before", false).await;
    cluster.redis.freeze();
    let refused = send(&cluster.servers[0], &customer.key, PAID, &script("hangs"), false).await;
    assert_eq!(refusal(refused).await.0, 503);
    cluster.is_apart().await;
    cluster.redis.thaw();
    cluster.is_together().await;
    complete(&cluster.servers[1], &customer.key, PAID, "after", false).await;
    let markers = ["before", "after"].map(str::to_owned);
    booked(&cluster.servers[0], &customer, &markers).await;
    let left = 100_000_000_000 - 2 * CALL_COST;
    is_soon("nothing is held", async || {
        own_balance(&cluster.servers[1], &customer.key).await == left
    })
    .await;
    cluster.is_sound().await;
}

#[tokio::test]
async fn a_server_that_is_killed_gives_back_what_it_held_and_applies_its_journal_later() {
    let mut cluster = Cluster::start("refuse").await;
    // Room for two worst cases of above two CNY.
    let customer = customer(&cluster.servers[0], "brave", "5").await;
    let victim = &cluster.servers[1];
    is_soon("the victim knows the money", async || {
        own_balance(victim, &customer.key).await == 5_000_000_000
    })
    .await;
    complete(victim, &customer.key, PAID, "settled", false).await;
    let long = UpstreamScript {
        tokens: 200,
        delay: Duration::from_millis(250),
        ..script("long")
    };
    let requests = (0..2).map(|_| {
        victim
            .request(reqwest::Method::POST, "/v1/chat/completions")
            .bearer_auth(&customer.key)
            .json(&crate::till::scripted(PAID, &long, false))
            .send()
    });
    let tracker = TaskTracker::new();
    let running = tracker.spawn(join_all(requests.collect::<Vec<_>>()));
    is_soon("both calls run", async || {
        cluster
            .upstream
            .calls()
            .iter()
            .filter(|call| call.marker == "long")
            .count()
            == 2
    })
    .await;
    let short = send(&cluster.servers[0], &customer.key, PAID, &script("short"), false).await;
    assert_eq!(
        refusal(short).await.0,
        403,
        "all is held by the calls of the other server"
    );
    let killed = cluster.servers.remove(1).kill().await;
    assert!(running.await.unwrap().iter().all(Result::is_err));
    is_soon("what they held is free", async || {
        let answer = send(&cluster.servers[0], &customer.key, PAID, &script("free"), false).await;
        answer.status() == 200
    })
    .await;
    let server = cluster.builder().data_of(killed).start().await;
    cluster.servers.push(server);
    cluster.is_together().await;
    let markers = ["settled", "free"].map(str::to_owned);
    let rows = booked(&cluster.servers[0], &customer, &markers).await;
    assert_eq!(shortfall(&rows), 0);
    credit(
        &cluster.servers[0],
        &customer,
        &json!({"bucket": "charge", "amount": "1"}),
    )
    .await;
    for server in &cluster.servers {
        let left = 6_000_000_000 - 2 * CALL_COST;
        is_soon("both see the same", async || {
            own_balance(server, &customer.key).await == left
        })
        .await;
    }
    cluster.is_sound().await;
}

#[tokio::test]
async fn a_server_that_starts_without_redis_serves_and_joins_when_there_is_one() {
    let mut cluster = Cluster::start("allow").await;
    let customer = customer(&cluster.servers[0], "early", "100").await;
    let stopped = cluster.servers.remove(1).stop().await;
    cluster.redis.kill();
    let server = cluster.builder().data_of(stopped).start().await;
    complete(&server, &customer.key, FREE, "free", false).await;
    cluster.servers.push(server);
    cluster.redis.restart().await;
    cluster.is_together().await;
    complete(&cluster.servers[1], &customer.key, PAID, "paid", false).await;
    booked(
        &cluster.servers[0],
        &customer,
        &["free", "paid"].map(str::to_owned),
    )
    .await;
}
