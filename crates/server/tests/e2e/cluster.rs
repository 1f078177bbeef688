//! Two servers on one PostgreSQL that count together in one Redis.

mod outage;
mod support;

use std::time::Duration;

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use silica_testkit::{TestServer, UpstreamScript};

use crate::keys::refused_within;
use crate::support::body;
use crate::till::{
    CALL_COST, FREE, PAID, booked, complete, credit, customer, key_with, ledger, nano, own_balance, post,
    put, refusal, script, scripted, send,
};
use support::{Cluster, is_soon};

/// Clients of each server.
const CLIENTS: usize = 8;

#[tokio::test]
async fn exactly_the_limit_of_requests_is_admitted_by_two_servers() {
    let cluster = Cluster::start("refuse").await;
    let customer = customer(&cluster.servers[0], "many", "").await;
    for (metric, limit) in [("RPM", 21), ("RPH", 22), ("RPD", 23)] {
        let model = format!("limited/{metric}");
        cluster.put_model(&model, &json!({metric: limit})).await;
        let clients = (0..2 * CLIENTS).map(|client| {
            let (server, key, model) = (&cluster.servers[client % 2], &customer.key, &model);
            async move {
                let mut admitted = 0;
                for call in 0..3 {
                    let script = script(&format!("{metric}-{client}-{call}"));
                    let answer = send(server, key, model, &script, call == 0).await;
                    match answer.status().as_u16() {
                        200 => admitted += 1,
                        status => assert_eq!(status, 429, "{}", answer.text().await.unwrap()),
                    }
                }
                admitted
            }
        });
        let admitted: u64 = join_all(clients).await.into_iter().sum();
        assert_eq!(admitted, limit, "{metric}");
    }
}

#[tokio::test]
async fn exactly_the_limit_of_tokens_is_held_by_two_servers() {
    let cluster = Cluster::start("refuse").await;
    let customer = customer(&cluster.servers[0], "many", "").await;
    // They hold what they may use until the engine has answered, long after all have asked.
    let slow = UpstreamScript {
        delay: Duration::from_secs(1),
        ..script("slow")
    };
    let likely = &estimate(&cluster.servers[0], &customer.key, FREE, &slow).await["likely"];
    let tokens = likely["prompt_tokens"].as_u64().unwrap() + likely["completion_tokens"].as_u64().unwrap();
    for metric in ["TPM", "TPD"] {
        let model = format!("limited/{metric}");
        cluster
            .put_model(&model, &json!({metric: 6 * tokens + tokens / 2}))
            .await;
        let calls = (0..2 * CLIENTS)
            .map(|client| send(&cluster.servers[client % 2], &customer.key, &model, &slow, false));
        let answers = join_all(calls).await;
        let admitted = answers.iter().filter(|answer| answer.status() == 200).count();
        assert_eq!(admitted, 6, "{metric}");
        assert!(
            answers
                .iter()
                .all(|answer| [200, 429].contains(&answer.status().as_u16()))
        );
    }
}

#[tokio::test]
async fn an_almost_empty_wallet_that_both_servers_spend_from_stays_above_zero() {
    let cluster = Cluster::start("refuse").await;
    // What a call may cost is above two CNY, and what it costs is 0.02.
    let customer = customer(&cluster.servers[0], "poor", "5").await;
    let calls = (0..2 * CLIENTS).map(|client| {
        let (server, key) = (&cluster.servers[client % 2], &customer.key);
        async move {
            let mut markers = Vec::new();
            for call in 0..4 {
                let marker = format!("poor-{client}-{call}");
                let answer = send(server, key, PAID, &script(&marker), false).await;
                match answer.status().as_u16() {
                    200 => markers.push(marker),
                    status => assert_eq!(status, 403, "{}", answer.text().await.unwrap()),
                }
            }
            markers
        }
    });
    let markers: Vec<_> = join_all(calls).await.into_iter().flatten().collect();
    assert!(
        !markers.is_empty() && markers.len() < 8 * CLIENTS,
        "{}",
        markers.len()
    );
    let rows = booked(&cluster.servers[0], &customer, &markers).await;
    assert!(
        rows.iter()
            .all(|row| row["shortfall"].is_null() || nano(&row["shortfall"]) == 0)
    );
    let left = 5_000_000_000 - i64::try_from(markers.len()).unwrap() * CALL_COST;
    for server in &cluster.servers {
        is_soon("both servers see what is left", async || {
            own_balance(server, &customer.key).await == left
        })
        .await;
    }
    cluster.is_sound().await;
}

#[tokio::test]
async fn money_a_cap_and_changes_of_one_server_are_there_on_the_other() {
    let cluster = Cluster::start("refuse").await;
    let [first, second] = &cluster.servers[..] else {
        panic!("two servers");
    };
    let customer = customer(first, "mobile", "").await;
    is_soon("the key opens the other server", async || {
        second.get("/v1/models", &customer.key).await.status() == 200
    })
    .await;
    let broke = send(second, &customer.key, PAID, &script("broke"), false).await;
    assert_eq!(refusal(broke).await.0, 403);
    credit(first, &customer, &json!({"bucket": "gift", "amount": "1"})).await;
    is_soon("money is seen", async || {
        own_balance(second, &customer.key).await == 1_000_000_000
    })
    .await;
    let poor = send(second, &customer.key, PAID, &script("poor"), false).await;
    assert_eq!(refusal(poor).await.0, 403);
    // A bucket that is known grows for all servers at once.
    credit(first, &customer, &json!({"bucket": "gift", "amount": "10"})).await;
    complete(second, &customer.key, PAID, "rich", false).await;

    // A month's cap is one for both: the worst case fits until 0.05 are spent, by calls of 0.02.
    let worst = estimate(first, &customer.key, PAID, &script("capped-0")).await;
    let cap = nano(&worst["reserved"]["total"]) + 50_000_000;
    let cap = format!("{}.{:09}", cap / 1_000_000_000, cap % 1_000_000_000);
    let capped = json!({"description": "capped", "limits": {"monthly_spend": cap}});
    let key = key_with(first, &customer.account, &capped).await;
    is_soon("the capped key opens the other server", async || {
        second.get("/v1/models", &key).await.status() == 200
    })
    .await;
    let mut paid = Vec::new();
    for call in 0..8 {
        let server = &cluster.servers[call % 2];
        let answer = send(server, &key, PAID, &script(&format!("capped-{call}")), false).await;
        paid.push(answer.status().as_u16());
    }
    assert_eq!(paid, [200, 200, 200, 403, 403, 403, 403, 403]);

    let (status, keys) = first
        .admin(Method::GET, &format!("/accounts/{}/keys", customer.account), None)
        .await;
    assert_eq!(status, 200, "{keys}");
    let id = keys["data"][0]["id"].as_str().unwrap();
    let path = format!("/accounts/{}/keys/{id}", customer.account);
    let (status, _) = first.admin(Method::DELETE, &path, None).await;
    assert!((200..300).contains(&status));
    refused_within(second, &customer.key, Duration::from_secs(1)).await;
    cluster.is_sound().await;
}

/// What a call would be reserved by.
async fn estimate(server: &TestServer, key: &str, model: &str, script: &UpstreamScript) -> Value {
    let asked = json!({"endpoint": "/v1/chat/completions", "request": scripted(model, script, false)});
    let request = server
        .request(Method::POST, "/v1/estimate")
        .bearer_auth(key)
        .json(&asked);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    body(response).await
}

#[tokio::test]
async fn a_level_that_is_bought_is_paid_from_what_both_servers_leave() {
    let cluster = Cluster::start("refuse").await;
    let customer = customer(&cluster.servers[0], "ambitious", "51").await;
    // A call on the other server holds two CNY of it.
    let slow = UpstreamScript {
        delay: Duration::from_millis(600),
        ..script("slow")
    };
    let second = &cluster.servers[1];
    is_soon("the other server knows the money", async || {
        own_balance(second, &customer.key).await == 51_000_000_000
    })
    .await;
    let path = format!("/accounts/{}/level-packages", customer.account);
    let level = json!({"level": "L1"});
    let buying = async {
        is_soon("the call has begun", async || {
            !cluster.upstream.calls().is_empty()
        })
        .await;
        cluster.servers[0].admin(Method::POST, &path, Some(&level)).await
    };
    let (answer, (status, refused)) = tokio::join!(send(second, &customer.key, PAID, &slow, false), buying);
    assert_eq!(answer.status(), 200);
    assert_eq!(status, 403, "{refused}");
    is_soon("the call is over on all servers", async || {
        own_balance(&cluster.servers[0], &customer.key).await == 51_000_000_000 - CALL_COST
    })
    .await;
    let sold = post(&cluster.servers[0], &path, &level).await;
    assert_eq!(sold["level"], "L1", "{sold}");
    is_soon("the voucher pays on the other server", async || {
        let rows = ledger(&cluster.servers[0], &customer).await;
        if rows
            .iter()
            .any(|row| row["kind"] == "call" && row["bucket"] == "voucher")
        {
            return true;
        }
        let marker = format!("voucher-{}", rows.len());
        let _answer = send(second, &customer.key, PAID, &script(&marker), false).await;
        false
    })
    .await;
    cluster.is_sound().await;
}

#[tokio::test]
async fn a_limit_is_reached_before_another_prompt_is_judged() {
    let mut cluster = Cluster::start("refuse").await;
    let folder = tempfile::tempdir().expect("a folder");
    let words = folder.path().join("words.txt");
    std::fs::write(&words, "forbidden\n").expect("a list");
    let config = format!(
        "[moderation]\nprovider = \"words\"\nwords_file = \"{}\"\n",
        words.display()
    );
    let judging = cluster.builder().config(&config).start().await;
    cluster.servers.push(judging);
    cluster.is_together().await;
    let customer = customer(&cluster.servers[0], "nosy", "").await;
    cluster.put_model("limited/RPH", &json!({"RPH": 2})).await;
    let chat = json!({"model": "limited/RPH", "messages": [{"role": "user", "content": "forbidden"}]});
    for expected in [451, 451, 429] {
        let answer = cluster.servers[2].chat(&customer.key, &chat).await;
        assert_eq!(answer.status().as_u16(), expected);
    }
}

#[tokio::test]
async fn requests_that_fail_before_they_are_admitted_are_counted() {
    let cluster = Cluster::start("refuse").await;
    let server = &cluster.servers[0];
    let customer = customer(server, "clumsy", "").await;
    cluster.put_model("limited/RPH", &json!({"RPH": 3})).await;
    // The model's catalogue entry has no tools.
    let mut chat = scripted("limited/RPH", &script("tools"), false);
    chat["tools"] =
        json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
    for _ in 0..3 {
        assert_eq!(server.chat(&customer.key, &chat).await.status(), 400);
    }
    is_soon("three failures are the hour's requests", async || {
        let answer = send(
            &cluster.servers[1],
            &customer.key,
            "limited/RPH",
            &script("late"),
            false,
        )
        .await;
        answer.status() == 429
    })
    .await;
    complete(server, &customer.key, FREE, "free", false).await;
    put(
        server,
        "/models",
        &json!({"id": "limited/RPH", "type": "text", "sub_type": "chat"}),
    )
    .await;
}
