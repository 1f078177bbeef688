//! What a call must pass before it runs: the wallet and the limits of the account.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use silica_testkit::{Upstream, UpstreamFault, UpstreamScript};
use tokio::time::timeout;

use crate::support::{bare, body};
use crate::till::{
    CHARGE_ONLY, Customer, FREE, PAID, booked, complete, complete_many, credit, customer, key_with, nano,
    open_shop, own_balance, put, refusal, script, scripted, send,
};

/// How long callers may take to be answered or to be seen by the engine.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

fn header(response: &Response, name: &str) -> String {
    let value = response.headers().get(name);
    let value = value.unwrap_or_else(|| panic!("no {name} in {response:?}"));
    value.to_str().expect("a text").to_owned()
}

#[tokio::test]
async fn an_empty_purse_is_refused_with_the_exact_text_and_pays_free_models() {
    let upstream = Upstream::start().await;
    let server = bare().start().await;
    open_shop(&server, &upstream).await;
    let who = customer(&server, "poor", "").await;
    for stream in [false, true] {
        let refused = send(&server, &who.key, PAID, &script("refused"), stream).await;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN);
        assert_eq!(
            refused.text().await.unwrap(),
            r#"{"code":30001,"message":"Sorry, your account balance is insufficient","data":null}"#
        );
    }
    assert_eq!(
        upstream.calls().len(),
        0,
        "the engine is not asked for what nobody pays"
    );
    complete(&server, &who.key, FREE, "free", true).await;
    let rows = booked(&server, &who, &["free".to_owned()]).await;
    assert_eq!(
        (&rows[0]["amount"], &rows[0]["bucket"]),
        (&json!("0.00"), &Value::Null)
    );
}

#[tokio::test]
async fn the_worst_case_must_be_there_and_callers_at_once_never_overdraw() {
    let upstream = Upstream::start().await;
    let server = bare().start().await;
    open_shop(&server, &upstream).await;
    // A call costs 0.02 in the end, and up to 2 and some for 1,000 tokens at the worst.
    let who = customer(&server, "careful", "2.0").await;
    let refused = send(&server, &who.key, PAID, &script("too-much"), false).await;
    assert_eq!(refusal(refused).await, (403, json!(30001)));

    // Nobody is answered, so each that is admitted keeps its 0.4 and more.
    let hanging = UpstreamScript {
        fault: UpstreamFault::Hang,
        ..script("rush")
    };
    let mut request = scripted(PAID, &hanging, false);
    request["max_tokens"] = 200.into();
    let callers = 24;
    let mut calls: FuturesUnordered<_> = (0..callers)
        .map(|number| {
            let call = server
                .request(Method::POST, "/v1/chat/completions")
                .bearer_auth(&who.key);
            let call = call.header("x-trace-id", format!("rush-{number}")).json(&request);
            async move { (number, call.send().await.expect("an answer")) }
        })
        .collect();
    let mut admitted: BTreeSet<_> = (0..callers).collect();
    let deadline = Instant::now() + PATIENCE;
    while upstream.calls().len() < admitted.len() {
        if let Ok(Some((number, answer))) = timeout(LOOK_AGAIN, calls.next()).await {
            assert_eq!(refusal(answer).await, (403, json!(30001)));
            admitted.remove(&number);
        }
        assert!(
            Instant::now() < deadline,
            "{} of {callers} are admitted",
            admitted.len()
        );
    }
    assert!((1..=4).contains(&admitted.len()), "{admitted:?}");

    // They leave, and everything but their prompts, which the engine had, is there again.
    drop(calls);
    let fits = script("afterwards");
    request["messages"][0]["content"] = fits.to_string().into();
    request["max_tokens"] = 700.into();
    let answer = loop {
        let call = server
            .request(Method::POST, "/v1/chat/completions")
            .bearer_auth(&who.key);
        let call = call.header("x-trace-id", &fits.marker).json(&request);
        let answer = call.send().await.expect("an answer");
        if answer.status() == StatusCode::OK {
            break answer;
        }
        assert!(Instant::now() < deadline, "what was held is given back");
    };
    answer.text().await.expect("a whole answer");
    let mut markers: Vec<_> = admitted.iter().map(|number| format!("rush-{number}")).collect();
    markers.push(fits.marker);
    booked(&server, &who, &markers).await;
}

#[tokio::test]
async fn charge_only_models_take_the_charge_balance_alone() {
    let upstream = Upstream::start().await;
    let server = bare().start().await;
    open_shop(&server, &upstream).await;
    let who = customer(&server, "gifted", "").await;
    credit(&server, &who, &json!({"bucket": "gift", "amount": "50"})).await;
    let voucher = json!({"bucket": "voucher", "amount": "50", "expires_at": "2199-01-01T00:00:00Z"});
    credit(&server, &who, &voucher).await;
    complete(&server, &who.key, PAID, "voucher-pays", false).await;
    let refused = send(&server, &who.key, CHARGE_ONLY, &script("refused"), false).await;
    assert_eq!(refusal(refused).await, (403, json!(30001)));
    credit(&server, &who, &json!({"bucket": "charge", "amount": "5"})).await;
    complete(&server, &who.key, CHARGE_ONLY, "charge-pays", false).await;
    let rows = booked(
        &server,
        &who,
        &["voucher-pays".to_owned(), "charge-pays".to_owned()],
    )
    .await;
    let payer = |trace: &str| -> Vec<&Value> {
        let rows = rows.iter().filter(|row| row["trace_id"] == trace);
        rows.map(|row| &row["bucket"]).collect()
    };
    assert_eq!(payer("voucher-pays"), [&json!("voucher")]);
    assert_eq!(payer("charge-pays"), [&json!("charge")]);
}

#[tokio::test]
async fn limits_refuse_with_their_text_a_time_and_the_headers() {
    let upstream = Upstream::start().await;
    let server = bare().start().await;
    open_shop(&server, &upstream).await;
    let who = customer(&server, "busy", "100").await;
    let limited = |limits: Value| json!({"id": FREE, "type": "text", "sub_type": "chat", "limits": limits});
    put(&server, "/models", &limited(json!({"RPM": 2}))).await;
    for remaining in ["1", "0"] {
        let answer = send(&server, &who.key, FREE, &script("admitted"), false).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(header(&answer, "x-ratelimit-limit-requests"), "2");
        assert_eq!(header(&answer, "x-ratelimit-remaining-requests"), remaining);
        assert!(header(&answer, "x-ratelimit-reset-requests").ends_with('s'));
    }
    // Another key is no way around: limits count for the account.
    let other = key_with(&server, &who.account, &json!({})).await;
    for key in [&who.key, &other] {
        let refused = send(&server, key, FREE, &script("refused"), true).await;
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        let wait: u64 = header(&refused, "retry-after").parse().expect("seconds");
        assert!((1..=62).contains(&wait), "{wait}");
        assert_eq!(header(&refused, "x-ratelimit-limit-requests"), "2");
        assert_eq!(header(&refused, "x-ratelimit-remaining-requests"), "0");
        assert_eq!(header(&refused, "x-ratelimit-reset-requests"), format!("{wait}s"));
        assert_eq!(
            refused.text().await.unwrap(),
            r#"{"code":50601,"message":"Request was rejected due to rate limiting. Details: RPM limit reached.","data":null}"#
        );
    }
    // Other accounts have their own, and other models of this one as well.
    let stranger = customer(&server, "stranger", "").await;
    complete(&server, &stranger.key, FREE, "stranger", false).await;
    complete(&server, &who.key, PAID, "paid", false).await;

    put(&server, "/models", &limited(json!({"TPM": 40}))).await;
    let first = send(&server, &stranger.key, FREE, &script("large"), false).await;
    assert_eq!(
        first.status(),
        StatusCode::OK,
        "an empty window takes a call of any size"
    );
    assert_eq!(header(&first, "x-ratelimit-limit-tokens"), "40");
    first.text().await.unwrap();
    let refused = send(&server, &stranger.key, FREE, &script("refused"), false).await;
    assert_eq!(header(&refused, "x-ratelimit-limit-tokens"), "40");
    assert_eq!(refusal(refused).await, (429, json!(50602)));

    put(&server, "/models", &limited(json!({"class": "S"}))).await;
    let classed = send(&server, &stranger.key, FREE, &script("classed"), false).await;
    assert_eq!(classed.status(), StatusCode::OK);
    assert_eq!(header(&classed, "x-ratelimit-limit-requests"), "1000");
}

#[tokio::test]
async fn the_calls_of_the_day_still_count_after_a_restart() {
    let upstream = Upstream::start().await;
    let server = bare().start().await;
    open_shop(&server, &upstream).await;
    let who = customer(&server, "daily", "").await;
    let model = json!({"id": FREE, "type": "text", "sub_type": "chat", "limits": {"RPD": 4}});
    put(&server, "/models", &model).await;
    let markers = complete_many(&server, &who.key, FREE, "day", 3).await;
    let server = bare().data_of(server.kill().await).start().await;
    booked(&server, &who, &markers).await;
    complete(&server, &who.key, FREE, "fourth", false).await;
    let refused = send(&server, &who.key, FREE, &script("fifth"), false).await;
    assert_eq!(refusal(refused).await, (429, json!(50608)));
}

#[tokio::test]
async fn an_engine_that_ignores_max_tokens_makes_a_shortfall_and_no_debt() {
    let upstream = Upstream::start().await;
    let server = bare().start().await;
    open_shop(&server, &upstream).await;
    let who = customer(&server, "unlucky", "0.3").await;
    let greedy = UpstreamScript {
        tokens: 500,
        ignores_max_tokens: true,
        ..script("greedy")
    };
    let mut request = scripted(PAID, &greedy, false);
    request["max_tokens"] = 5.into();
    let answer = server
        .request(Method::POST, "/v1/chat/completions")
        .bearer_auth(&who.key)
        .header("x-trace-id", "greedy")
        .json(&request)
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    let answer = body(answer).await;
    let rows = booked(&server, &who, &["greedy".to_owned()]).await;
    let call = rows.iter().find(|row| row["kind"] == "call").unwrap();
    let tokens = answer["usage"]["completion_tokens"].as_i64().unwrap();
    let cost = 10_000_000 + tokens * 2_000_000;
    assert_eq!(
        nano(&call["shortfall"]) - nano(&call["amount"]),
        cost,
        "{call} {answer}"
    );
    assert_eq!(own_balance(&server, &who.key).await, 0.max(300_000_000 - cost));
    assert!(nano(&call["shortfall"]) > 0, "{call} {answer}");
    let bill = body(server.get("/v1/user/bills", &who.key).await).await;
    assert_eq!(bill["data"]["total"]["shortfall"], call["shortfall"], "{bill}");
    refused_without_money(&server, &who).await;
}

async fn refused_without_money(server: &silica_testkit::TestServer, who: &Customer) {
    let refused = send(server, &who.key, PAID, &script("afterwards"), false).await;
    assert_eq!(refusal(refused).await, (403, json!(30001)));
}
