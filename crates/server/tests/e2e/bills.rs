//! Bills, pages of the ledger, and prices that change.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use silica_testkit::{TestServer, Upstream, on_each_database};
use silica_types::{Clock as _, SystemClock};

use crate::support::{bare, body};
use crate::till::{
    CALL_COST, Customer, FREE, PAID, booked, complete, complete_many, customer, get, key_with, nano,
    open_shop, post,
};

/// The bill of the account for itself.
async fn own_bill(server: &TestServer, key: &str, query: &str) -> Value {
    let response = server.get(&format!("/v1/user/bills?{query}"), key).await;
    assert_eq!(response.status(), StatusCode::OK, "{query}");
    body(response).await["data"].clone()
}

async fn csv(server: &TestServer, who: &Customer, query: &str) -> Vec<Vec<String>> {
    let own = server
        .request(Method::GET, &format!("/v1/user/bills?{query}"))
        .bearer_auth(&who.key)
        .header("accept", "text/csv");
    let path = format!("/accounts/{}/bills?{query}&format=csv", who.account);
    let mut texts = Vec::new();
    for request in [own, server.admin_request(Method::GET, &path)] {
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        let kind = response.headers()["content-type"].to_str().unwrap();
        assert!(kind.starts_with("text/csv"), "{kind}");
        texts.push(response.text().await.expect("a whole answer"));
    }
    assert_eq!(texts[0], texts[1], "the operator sees what the account sees");
    let lines = texts[0].split_terminator("\r\n");
    lines
        .map(|line| line.split(',').map(str::to_owned).collect())
        .collect()
}

on_each_database! {
    async fn bills_say_what_the_ledger_says_in_every_grouping(database) {
        let upstream = Upstream::start().await;
        let server = bare()
            .environment("SILICA__DATABASE__URL", database.url_text())
            .start()
            .await;
        open_shop(&server, &upstream).await;
        let who = customer(&server, "billed", "100").await;
        let second = key_with(&server, &who.account, &json!({"description": "=1+1"})).await;
        let mut markers = complete_many(&server, &who.key, PAID, "paid", 5).await;
        markers.extend(complete_many(&server, &second, PAID, "second", 3).await);
        markers.extend(complete_many(&server, &second, FREE, "free", 2).await);
        let rows = booked(&server, &who, &markers).await;

        for grouping in ["day", "month", "model", "key"] {
            let query = format!("group_by={grouping}");
            let bill = own_bill(&server, &who.key, &query).await;
            assert_eq!(bill, get(&server, &format!("/accounts/{}/bills?{query}", who.account)).await);
            assert_eq!(nano(&bill["total"]["amount"]), 8 * CALL_COST, "{bill}");
            assert_eq!(bill["total"]["charge"], bill["total"]["amount"], "{bill}");
            assert_eq!(bill["total"]["calls"], 10, "{bill}");
            assert_eq!(bill["total"]["prompt_tokens"], 100, "{bill}");
            assert_eq!(bill["total"]["completion_tokens"], 50, "{bill}");
            let sum: i64 = bill["rows"].as_array().unwrap().iter().map(|row| nano(&row["amount"])).sum();
            assert_eq!(sum, 8 * CALL_COST, "{bill}");
            let table = csv(&server, &who, &query).await;
            let column = table[0].iter().position(|name| name == "amount").unwrap();
            let amounts: i64 = table[1..].iter().map(|row| nano(&json!(row[column]))).sum();
            assert_eq!(amounts, 8 * CALL_COST, "{table:?}");
            assert_eq!(table.len() - 1, bill["rows"].as_array().unwrap().len(), "{table:?}");
        }
        let models = own_bill(&server, &who.key, "group_by=model").await;
        let free = models["rows"].as_array().unwrap().iter().find(|row| row["model"] == FREE).unwrap();
        assert_eq!((&free["calls"], &free["amount"]), (&json!(2), &json!("0.00")));
        let keys = own_bill(&server, &who.key, "group_by=key").await;
        assert_eq!(keys["rows"][1]["description"], "=1+1");
        let table = csv(&server, &who, "group_by=key").await;
        assert_eq!(table[2][1], "'=1+1", "no formula in a spreadsheet");

        let of = |limit: usize| format!("/accounts/{}/ledger?limit={limit}", who.account);
        let mut paged = Vec::new();
        let mut page = get(&server, &of(3)).await;
        loop {
            let data = page["data"].as_array().unwrap();
            assert!(data.len() <= 3);
            paged.extend(data.iter().cloned());
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            page = get(&server, &format!("{}&cursor={cursor}", of(3))).await;
        }
        assert_eq!(paged, rows, "pages of three are the whole");
        for query in ["cursor=nonsense", "limit=0", "limit=1001", "limit=-1"] {
            let path = format!("/accounts/{}/ledger?{query}", who.account);
            assert_eq!(server.admin(Method::GET, &path, None).await.0, 400, "{query}");
        }
        for query in ["month=2026-13", "group_by=week", "format=xml", "from=2026-02-30", "to=2026-01-01"] {
            let path = format!("/v1/user/bills?{query}");
            assert_eq!(server.get(&path, &who.key).await.status(), StatusCode::BAD_REQUEST, "{query}");
        }
        // Nobody sees the bill of another.
        let other = customer(&server, "other", "").await;
        assert_eq!(own_bill(&server, &other.key, "").await["total"]["calls"], 0);
    }
}

#[tokio::test]
async fn a_promotion_is_paid_from_its_begin_to_its_end() {
    let upstream = Upstream::start().await;
    let server = bare().start().await;
    open_shop(&server, &upstream).await;
    let who = customer(&server, "promoted", "100").await;
    let now = SystemClock.now();
    let (begin, end) = (
        now + SignedDuration::from_millis(1200),
        now + SignedDuration::from_millis(2400),
    );
    let entry = json!({
        "model": PAID,
        "list": {"input": "1000", "output": "2000"},
        "promotional": {"input": "250", "output": "500"},
        "badge": "75% OFF",
        "effective_from": begin.to_string(),
        "effective_until": end.to_string(),
    });
    let version = post(&server, "/prices", &entry).await["version"].clone();
    let mut markers = Vec::new();
    while SystemClock.now() < end + SignedDuration::from_millis(900) {
        let marker = format!("promotion-{}", markers.len());
        complete(&server, &who.key, PAID, &marker, false).await;
        markers.push(marker);
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    let rows = booked(&server, &who, &markers).await;
    let mut seen = [0_usize; 2];
    for row in rows.iter().filter(|row| row["kind"] == "call") {
        let is_promoted = row["price_version"] == version;
        let cost = if is_promoted { CALL_COST / 4 } else { CALL_COST };
        assert_eq!(-nano(&row["amount"]), cost, "{row}");
        seen[usize::from(is_promoted)] += 1;
        // The price is that of the admission, which lies between these two.
        let time = |name: &str| -> Timestamp { row[name].as_str().unwrap().parse().unwrap() };
        let (started, settled) = (time("started_at"), time("at"));
        if started >= begin && settled < end {
            assert!(is_promoted, "{row}");
        } else if settled < begin || started >= end {
            assert!(!is_promoted, "{row}");
        }
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
    let past = json!({"model": PAID, "list": {"input": "1"}, "effective_from": "2020-01-01T00:00:00Z"});
    assert_eq!(server.admin(Method::POST, "/prices", Some(&past)).await.0, 400);
}
