//! Money that operators give: once, in amounts that are amounts, and spent in the promised order.

use futures::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use silica_testkit::{TestServer, Upstream, on_each_database};

use crate::support::bare;
use crate::till::{
    Customer, PAID, booked, complete, credit, customer, get, ledger, nano, open_shop, own_balance,
};

/// Sends a credit as it stands; returns status and answer.
async fn raw(server: &TestServer, who: &Customer, key: Option<&str>, text: &str) -> (u16, Value) {
    let path = format!("/accounts/{}/credits", who.account);
    let request = server
        .admin_request(Method::POST, &path)
        .header("content-type", "application/json")
        .body(text.to_owned());
    let request = match key {
        Some(key) => request.header("idempotency-key", key),
        None => request,
    };
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    let text = response.text().await.expect("a whole answer");
    (status, serde_json::from_str(&text).expect("JSON"))
}

on_each_database! {
    async fn credits_at_once_with_one_key_are_one_credit(database) {
        let server = bare()
            .environment("SILICA__DATABASE__URL", database.url_text())
            .start()
            .await;
        let who = customer(&server, "idempotent", "").await;
        let text = r#"{"bucket":"charge","amount":"12.34"}"#;
        let answers = join_all((0..12).map(|_| raw(&server, &who, Some("order-7"), text))).await;
        let mut first = 0;
        for (status, answer) in &answers {
            assert_eq!(*status, 200, "{answer}");
            assert_eq!(answer["id"], answers[0].1["id"]);
            first += usize::from(answer["repeated"] == false);
        }
        assert_eq!(first, 1, "{answers:?}");
        assert_eq!(own_balance(&server, &who.key).await, 12_340_000_000);
        let (status, _) = raw(&server, &who, Some("order-7"), r#"{"bucket":"charge","amount":"12.35"}"#).await;
        assert_eq!(status, 409);
        let other = customer(&server, "other", "").await;
        assert_eq!(raw(&server, &other, Some("order-7"), text).await.1["repeated"], false, "a key is its account's");

        // The repetition after a crash is one, too.
        let killed = server.kill().await;
        let server = bare()
            .environment("SILICA__DATABASE__URL", database.url_text())
            .data_of(killed)
            .start()
            .await;
        assert_eq!(raw(&server, &who, Some("order-7"), text).await.1["repeated"], true);
        booked(&server, &who, &[]).await;
        assert_eq!(own_balance(&server, &who.key).await, 12_340_000_000);
    }
}

#[tokio::test]
async fn amounts_that_are_none_are_refused_and_change_nothing() {
    let server = bare().start().await;
    let who = customer(&server, "amounts", "1").await;
    let amounts = [
        "-1",
        "0",
        "0.0",
        "-0",
        "1e3",
        "1E3",
        "1e-3",
        "1E400",
        "0.0000000001",
        "1.0000000000",
        "1000000000",
        "99999999999999999999999999",
        "true",
        "null",
        "[]",
        "{}",
        "[1]",
        r#""""#,
        r#""-1""#,
        r#""0""#,
        r#""0.00""#,
        r#""1e3""#,
        r#""NaN""#,
        r#""Infinity""#,
        r#""1,5""#,
        r#""1 ""#,
        r#"" 1""#,
        r#""+1""#,
        r#"".5""#,
        r#""5.""#,
        r#""1_000""#,
        r#""0x10""#,
        r#""--1""#,
        r#""0.0000000001""#,
        r#""1000000000""#,
        r#""１２""#,
        r#""\u0031""#,
        r#""all""#,
    ];
    for amount in amounts {
        for bucket in ["gift", "charge"] {
            let text = format!(r#"{{"bucket":"{bucket}","amount":{amount}}}"#);
            let (status, answer) = raw(&server, &who, None, &text).await;
            assert_eq!(status, 400, "{text}: {answer}");
        }
    }
    for text in [
        r#"{"bucket":"charge"}"#,
        r#"{"amount":"1"}"#,
        r#"{"bucket":"debt","amount":"1"}"#,
        r#"{"bucket":"charge","amount":"1","amount":"2"}"#,
        r#"{"bucket":"charge","amount":"1","extra":1}"#,
        r#"{"bucket":"voucher","amount":"1"}"#,
        r#"{"bucket":"gift","amount":"1","expires_at":"2199-01-01T00:00:00Z"}"#,
        r#"{"bucket":"voucher","amount":"1","expires_at":"2001-01-01T00:00:00Z"}"#,
        r#"{"bucket":"voucher","amount":"1","expires_at":"soon"}"#,
    ] {
        let (status, answer) = raw(&server, &who, None, text).await;
        assert_eq!(status, 400, "{text}: {answer}");
    }
    let good = r#"{"bucket":"charge","amount":"1"}"#;
    let long = "k".repeat(129);
    for key in ["", "two words", &*long] {
        let (status, answer) = raw(&server, &who, Some(key), good).await;
        assert_eq!(status, 400, "{key}: {answer}");
    }
    assert_eq!(ledger(&server, &who).await.len(), 1, "the first credit alone");
    assert_eq!(own_balance(&server, &who.key).await, 1_000_000_000);
}

#[tokio::test]
async fn numbers_are_taken_by_their_digits_and_balances_do_not_overflow() {
    let server = bare().start().await;
    let who = customer(&server, "digits", "").await;
    // As floats these would add up to 0.30000000000000004.
    for amount in ["0.1", "0.2", "\"0.000000001\"", "12.50"] {
        let text = format!(r#"{{"bucket":"gift","amount":{amount}}}"#);
        let (status, answer) = raw(&server, &who, None, &text).await;
        assert_eq!(status, 200, "{answer}");
    }
    assert_eq!(own_balance(&server, &who.key).await, 12_800_000_001);
    let huge = r#"{"bucket":"charge","amount":999999999.999999999}"#;
    let mut status = 200;
    let mut given = 0;
    while status == 200 {
        status = raw(&server, &who, None, huge).await.0;
        given += i64::from(status == 200);
        assert!(given < 10, "9.2 billion is all that fits");
    }
    assert_eq!(status, 409);
    let account = get(&server, &format!("/accounts/{}", who.account)).await;
    assert_eq!(
        i128::from(nano(&account["charge_balance"])),
        i128::from(given) * 999_999_999_999_999_999
    );
    assert_eq!(
        server.get("/v1/user/info", &who.key).await.status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn vouchers_pay_first_the_soonest_to_end_then_the_gift_then_the_charge() {
    let upstream = Upstream::start().await;
    let server = bare().start().await;
    open_shop(&server, &upstream).await;
    let who = customer(&server, "order", "100").await;
    let later = json!({"bucket": "voucher", "amount": "0.015", "expires_at": "2199-01-01T00:00:00Z"});
    let sooner = json!({"bucket": "voucher", "amount": "0.01", "expires_at": "2198-01-01T00:00:00Z"});
    let later = credit(&server, &who, &later).await["bucket_id"].clone();
    let sooner = credit(&server, &who, &sooner).await["bucket_id"].clone();
    credit(&server, &who, &json!({"bucket": "gift", "amount": "0.007"})).await;
    for marker in ["first", "second"] {
        complete(&server, &who.key, PAID, marker, true).await;
    }
    let rows = booked(&server, &who, &["first".to_owned(), "second".to_owned()]).await;
    let paid = |trace: &str| -> Vec<(Value, i64)> {
        let rows = rows.iter().filter(|row| row["trace_id"] == trace);
        rows.map(|row| (row["bucket_id"].clone(), nano(&row["amount"])))
            .collect()
    };
    assert_eq!(
        paid("first"),
        [(sooner, -10_000_000), (later.clone(), -10_000_000)]
    );
    let second = paid("second");
    let amounts: Vec<i64> = second.iter().map(|(_, amount)| *amount).collect();
    assert_eq!(second[0].0, later);
    assert_eq!(amounts, [-5_000_000, -7_000_000, -8_000_000]);
}
