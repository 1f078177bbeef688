//! Keys that may do less than their account.

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use silica_testkit::{TestServer, Upstream};
use silica_types::{Clock as _, SystemClock};

use crate::support::{SOON, bare};
use crate::till::{
    Customer, FREE, PAID, booked, complete, customer, key_with, nano, open_shop, refusal, script, scripted,
    send,
};

async fn limited(server: &TestServer, who: &Customer, limits: Value) -> String {
    key_with(server, &who.account, &json!({ "limits": limits })).await
}

#[tokio::test]
async fn a_key_calls_its_own_models_at_its_own_rate() {
    let upstream = Upstream::start().await;
    let server = bare().start().await;
    open_shop(&server, &upstream).await;
    let who = customer(&server, "keys", "100").await;

    let one_model = limited(&server, &who, json!({"models": [FREE]})).await;
    complete(&server, &one_model, FREE, "allowed", false).await;
    let refused = send(&server, &one_model, PAID, &script("refused"), true).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert_eq!(
        refused.text().await.unwrap(),
        r#"{"code":30004,"message":"The key may not call this model.","data":null}"#
    );

    let one_call = limited(&server, &who, json!({"RPM": 1})).await;
    complete(&server, &one_call, FREE, "first", false).await;
    // The limit of the key holds over all models.
    let refused = send(&server, &one_call, PAID, &script("second"), false).await;
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(refusal(refused).await, (429, json!(50601)));

    let few_tokens = limited(&server, &who, json!({"TPM": 20})).await;
    complete(&server, &few_tokens, FREE, "tokens", false).await;
    let refused = send(&server, &few_tokens, FREE, &script("more"), false).await;
    assert_eq!(refusal(refused).await, (429, json!(50602)));
    complete(&server, &who.key, PAID, "account", false).await;
}

#[tokio::test]
async fn a_monthly_cap_ends_the_spending_of_a_key_also_after_a_restart() {
    let upstream = Upstream::start().await;
    let server = bare().start().await;
    open_shop(&server, &upstream).await;
    let who = customer(&server, "capped", "100").await;
    let capped = limited(&server, &who, json!({"monthly_spend": "0.3"})).await;
    let call = async |server: &TestServer, marker: &str| {
        let mut body = scripted(PAID, &script(marker), false);
        body["max_tokens"] = 10.into();
        let request = server
            .request(Method::POST, "/v1/chat/completions")
            .bearer_auth(&capped);
        let request = request.header("x-trace-id", marker).json(&body);
        request.send().await.expect("an answer")
    };
    let mut markers = Vec::new();
    let refused = loop {
        let marker = format!("capped-{}", markers.len());
        let answer = call(&server, &marker).await;
        if answer.status() != StatusCode::OK {
            break answer;
        }
        answer.text().await.unwrap();
        markers.push(marker);
        assert!(markers.len() <= 15, "0.3 is spent");
    };
    assert!(!markers.is_empty());
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert_eq!(
        refused.text().await.unwrap(),
        r#"{"code":30001,"message":"Sorry, the monthly spend limit of this key is reached","data":null}"#
    );
    // The account and its other keys go on.
    complete(&server, &who.key, PAID, "other", false).await;
    markers.push("other".to_owned());

    let server = bare().data_of(server.kill().await).start().await;
    assert_eq!(refusal(call(&server, "late").await).await, (403, json!(30001)));
    let rows = booked(&server, &who, &markers).await;
    let spent: i64 = rows
        .iter()
        .filter(|row| {
            row["trace_id"]
                .as_str()
                .is_some_and(|trace| trace.starts_with("capped"))
        })
        .map(|row| -nano(&row["amount"]))
        .sum();
    assert!(spent > 0 && spent <= 300_000_000, "{spent}");
}

#[tokio::test]
async fn a_key_works_until_its_end() {
    let server = bare().start().await;
    let who = customer(&server, "ending", "").await;
    let end = SystemClock.now() + SignedDuration::from_secs(2);
    let key = key_with(&server, &who.account, &json!({"expires_at": end.to_string()})).await;
    let begun = Instant::now();
    let answer = server.get("/v1/models", &key).await;
    assert!(answer.status() == StatusCode::OK || SystemClock.now() >= end);
    while server.get("/v1/models", &key).await.status() != StatusCode::UNAUTHORIZED {
        assert!(
            begun.elapsed() < Duration::from_secs(2) + SOON,
            "the key has ended"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(SystemClock.now() >= end, "not before its end");
}

#[tokio::test]
async fn a_key_bound_to_addresses_opens_from_nowhere_else() {
    let answer = async |server: &TestServer, key: &str, forwarded: &str| {
        let request = server.request(Method::GET, "/v1/models").bearer_auth(key);
        let request = match forwarded {
            "" => request,
            forwarded => request.header("x-forwarded-for", forwarded),
        };
        let response = request.send().await.expect("an answer");
        if response.status() == StatusCode::OK {
            Value::Null
        } else {
            refusal(response).await.1
        }
    };
    let good = Value::Null;
    let server = bare().start().await;
    let who = customer(&server, "bound", "").await;
    let near = limited(&server, &who, json!({"ips": ["10.0.0.0/8", "127.0.0.0/8"]})).await;
    let far = limited(&server, &who, json!({"ips": ["192.0.2.7"]})).await;
    assert_eq!(answer(&server, &near, "").await, good);
    assert_eq!(answer(&server, &far, "").await, 30013);
    assert_eq!(
        answer(&server, &far, "192.0.2.7").await,
        30013,
        "anybody can write that"
    );

    let server = bare()
        .data_of(server.stop().await)
        .environment(
            "SILICA__SERVER__TRUSTED_PROXIES",
            "[\"127.0.0.1\", \"10.1.0.0/16\"]",
        )
        .start()
        .await;
    for (forwarded, expected) in [
        ("192.0.2.7", good.clone()),
        ("192.0.2.7, 10.1.2.3", good.clone()),
        ("192.0.2.7, 198.51.100.1", json!(30013)),
        ("198.51.100.1", json!(30013)),
        ("nonsense", json!(30013)),
    ] {
        assert_eq!(answer(&server, &far, forwarded).await, expected, "{forwarded}");
    }
}
