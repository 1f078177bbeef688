//! Usage levels from outside: spending and packages lift them, and the limits of calls follow.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use silica_testkit::{TestServer, Upstream, database, on_each_database};

use crate::support::{SOON, bare};
use crate::till::{Customer, FREE, PAID, booked, credit, customer, get, nano, open_shop, put, script, send};

/// How soon limits follow, as the contract promises.
const PROMISE: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Deploys a model that costs a yuan a token, and a free one whose limits follow the level.
async fn open_dear_shop(server: &TestServer, upstream: &Upstream) {
    open_shop(server, upstream).await;
    let model = |id: &str| json!({"id": id, "type": "text", "sub_type": "chat"});
    let mut dear = model(PAID);
    dear["price"] = json!({"input": "1000000", "output": "1000000"});
    let mut free = model(FREE);
    free["limits"] = json!({"class": "S"});
    for body in [dear, free] {
        put(server, "/models", &body).await;
    }
}

/// Makes a call of 10 tokens and so many more; each costs a yuan.
async fn spend(server: &TestServer, who: &Customer, marker: &str, tokens: u32) {
    let mut played = script(marker);
    played.tokens = tokens;
    let response = send(server, &who.key, PAID, &played, false).await;
    assert_eq!(response.status(), StatusCode::OK, "{marker}");
    response.text().await.expect("a whole answer");
}

/// The requests a minute that the account may make now, as a call is told.
async fn requests_a_minute(server: &TestServer, key: &str) -> String {
    let response = send(server, key, FREE, &script("look"), false).await;
    assert_eq!(response.status(), StatusCode::OK);
    let limit = response.headers().get("x-ratelimit-limit-requests");
    let limit = limit.expect("a limit").to_str().expect("a text").to_owned();
    response.text().await.expect("a whole answer");
    limit
}

/// Waits until calls are told of a limit.
async fn limit_becomes(server: &TestServer, key: &str, expected: &str) {
    let deadline = Instant::now() + PROMISE;
    loop {
        let limit = requests_a_minute(server, key).await;
        if limit == expected {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "the limit is {limit} and not {expected} within a second"
        );
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Asks for a package; returns status and answer.
async fn buy(server: &TestServer, who: &Customer, key: &str, level: &str) -> (u16, Value) {
    let path = format!("/accounts/{}/level-packages", who.account);
    let request = server
        .admin_request(Method::POST, &path)
        .header("idempotency-key", key)
        .json(&json!({"level": level}));
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    (status, response.json().await.expect("JSON"))
}

async fn account(server: &TestServer, who: &Customer) -> Value {
    get(server, &format!("/accounts/{}", who.account)).await
}

on_each_database! {
    async fn spending_lifts_the_level_and_the_limits_follow_within_a_second(database) {
        let upstream = Upstream::start().await;
        let on_it = || bare().environment("SILICA__DATABASE__URL", database.url_text());
        let server = on_it().start().await;
        open_dear_shop(&server, &upstream).await;
        let who = customer(&server, "spender", "10000").await;
        assert_eq!(requests_a_minute(&server, &who.key).await, "1000");
        spend(&server, &who, "first", 39).await;
        let shown = loop {
            let shown = account(&server, &who).await;
            if shown["spent_this_month"] != "0.00" {
                break shown;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        };
        assert_eq!((&shown["spent_this_month"], &shown["level"]), (&json!("49.00"), &json!("L0")));
        spend(&server, &who, "second", 1).await;
        limit_becomes(&server, &who.key, "1200").await;
        spend(&server, &who, "third", 190).await;
        limit_becomes(&server, &who.key, "2000").await;
        let shown = account(&server, &who).await;
        assert_eq!((&shown["spent_this_month"], &shown["level"]), (&json!("260.00"), &json!("L2")));

        let server = on_it().data_of(server.kill().await).start().await;
        assert_eq!(requests_a_minute(&server, &who.key).await, "2000", "after a crash");
        // The operator's level goes before it, down as well as up.
        let path = format!("/accounts/{}", who.account);
        for (level, limit) in [(json!("L0"), "1000"), (json!("L5"), "10000"), (Value::Null, "2000")] {
            let (status, shown) = server.admin(Method::PATCH, &path, Some(&json!({"level_override": level}))).await;
            assert_eq!(status, 200, "{shown}");
            assert_eq!(requests_a_minute(&server, &who.key).await, limit, "{level}");
        }
    }
}

#[tokio::test]
async fn a_package_lifts_the_level_at_once_and_its_voucher_is_spent_first() {
    let upstream = Upstream::start().await;
    let server = bare()
        .environment("SILICA__BILLING__LEVEL_PACKAGE_DAYS", "2")
        .start()
        .await;
    open_dear_shop(&server, &upstream).await;
    let who = customer(&server, "buyer", "2100").await;
    credit(&server, &who, &json!({"bucket": "gift", "amount": "3000"})).await;
    let (status, refused) = buy(&server, &who, "too-much", "L4").await;
    assert_eq!((status, &refused["code"]), (403, &json!(30001)), "{refused}");
    assert_eq!(requests_a_minute(&server, &who.key).await, "1000");

    let (status, sold) = buy(&server, &who, "order-1", "L3").await;
    assert_eq!(status, 200, "{sold}");
    assert_eq!(requests_a_minute(&server, &who.key).await, "4000", "at once");
    let shown = account(&server, &who).await;
    for (name, expected) in [
        ("level", json!("L3")),
        ("package_level", json!("L3")),
        ("package_level_until", sold["level_until"].clone()),
        ("level_override", Value::Null),
        ("voucher_balance", json!("2000.00")),
        ("gift_balance", json!("3000.00")),
        ("charge_balance", json!("100.00")),
        ("spent_this_month", json!("0.00")),
    ] {
        assert_eq!(shown[name], expected, "{name}");
    }
    let time =
        |name: &str| -> jiff::Timestamp { sold[name].as_str().expect("a time").parse().expect("a time") };
    let days = time("voucher_expires_at")
        .duration_since(time("created_at"))
        .as_hours()
        / 24;
    assert_eq!(days, 2, "as configured");
    assert!(time("level_until") > time("created_at"));

    let (status, again) = buy(&server, &who, "order-1", "L3").await;
    assert_eq!(
        (status, &again["id"], &again["repeated"]),
        (200, &sold["id"], &json!(true))
    );
    assert_eq!(buy(&server, &who, "order-1", "L1").await.0, 409);
    let listed = get(&server, &format!("/accounts/{}/level-packages", who.account)).await;
    assert_eq!(listed["data"].as_array().expect("a list").len(), 1);
    assert_eq!(listed["data"][0]["id"], sold["id"]);

    spend(&server, &who, "voucher-pays", 50).await;
    let mut calls = ["look", "look", "voucher-pays"].map(str::to_owned).to_vec();
    let rows = booked(&server, &who, &calls).await;
    let paid = rows
        .iter()
        .find(|row| row["trace_id"] == "voucher-pays")
        .expect("the call");
    assert_eq!(
        (&paid["bucket"], &paid["amount"]),
        (&json!("voucher"), &json!("-60.00"))
    );
    let bought = rows
        .iter()
        .find(|row| row["kind"] == "package")
        .expect("the purchase");
    assert_eq!(
        (&bought["bucket"], nano(&bought["amount"])),
        (&json!("charge"), -2_000_000_000_000)
    );
    assert_eq!(account(&server, &who).await["spent_this_month"], "60.00");

    let server = bare().data_of(server.kill().await).start().await;
    assert_eq!(
        requests_a_minute(&server, &who.key).await,
        "4000",
        "after a crash"
    );
    calls.push("look".to_owned());
    booked(&server, &who, &calls).await;
}

#[tokio::test]
async fn levels_earned_on_one_server_are_in_force_on_the_other_within_a_second() {
    let database = database::postgres().await;
    let upstream = Upstream::start().await;
    let on_it = || bare().environment("SILICA__DATABASE__URL", database.url_text());
    let first = on_it().start().await;
    let second = on_it().start().await;
    open_dear_shop(&first, &upstream).await;
    let who = customer(&first, "both", "10000").await;
    let deadline = Instant::now() + SOON;
    while send(&second, &who.key, FREE, &script("ready"), false)
        .await
        .status()
        != StatusCode::OK
    {
        assert!(Instant::now() < deadline, "the second server serves the model");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    spend(&first, &who, "earned", 190).await;
    limit_becomes(&second, &who.key, "2000").await;
    assert_eq!(buy(&first, &who, "bought", "L4").await.0, 200);
    limit_becomes(&second, &who.key, "8000").await;
}
