//! A database that does not answer, or is gone: calls go on, and nothing is lost.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::json;
use silica_testkit::{OwnPostgres, ServerBuilder, TestServer, Upstream, on_each_database};

use crate::support::{bare, body};
use crate::till::{
    CALL_COST, Customer, PAID, booked, complete_many, customer, get, logged, nano, open_shop, own_balance,
    refusal,
};

/// Far more than the few seconds that a bill waits for its database.
const BILL_LIMIT: Duration = Duration::from_secs(15);
/// What each customer has at first, in nano-CNY.
const PURSE: i64 = 100_000_000_000;

fn on(database: &OwnPostgres) -> ServerBuilder {
    bare().environment("SILICA__DATABASE__URL", database.url_text())
}

/// What a server owes its callers while its database is away; adds the calls to `markers`.
async fn goes_on_without(server: &TestServer, who: &Customer, name: &str, markers: &mut Vec<String>) {
    markers.extend(complete_many(server, &who.key, PAID, name, 24).await);
    let spent = i64::try_from(markers.len()).unwrap() * CALL_COST;
    assert_eq!(own_balance(server, &who.key).await, PURSE - spent);
    let begun = Instant::now();
    let bill = server.get("/v1/user/bills", &who.key).await;
    assert_eq!(refusal(bill).await, (503, json!(50508)));
    assert!(begun.elapsed() < BILL_LIMIT, "{:?}", begun.elapsed());
    let unknown = format!("sk-{}", "a".repeat(48));
    let answer = server.get("/v1/models", &unknown).await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    for _ in 0..10 {
        assert_eq!(
            server.get("/v1/models", &who.key).await.status(),
            StatusCode::OK,
            "a good key stays good"
        );
    }
    logged(server, "settled calls wait in the journal; calls go on").await;
}

#[tokio::test]
async fn a_frozen_postgresql_stops_no_calls_and_nothing_is_booked_twice() {
    let database = OwnPostgres::start().await;
    let upstream = Upstream::start().await;
    let server = on(&database).start().await;
    open_shop(&server, &upstream).await;
    let who = customer(&server, "frozen", "100").await;
    let mut markers = complete_many(&server, &who.key, PAID, "before", 6).await;
    booked(&server, &who, &markers).await;

    database.freeze();
    goes_on_without(&server, &who, "frozen", &mut markers).await;
    // An operator whose request may or may not have been done sends it again.
    let path = format!("/accounts/{}/credits", who.account);
    let credit = || {
        let request = server.admin_request(Method::POST, &path);
        let request = request.header("idempotency-key", "during-the-frost");
        request.json(&json!({"bucket": "gift", "amount": "7"}))
    };
    let during = credit().timeout(Duration::from_secs(3)).send().await;
    assert!(
        during.is_err() || during.unwrap().status() == StatusCode::SERVICE_UNAVAILABLE,
        "nothing is booked in a frozen database"
    );
    database.thaw();

    let deadline = Instant::now() + BILL_LIMIT;
    loop {
        let answer = credit().send().await.expect("an answer");
        if answer.status() == StatusCode::OK {
            break;
        }
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(
            Instant::now() < deadline,
            "the database is back and takes no credit"
        );
    }
    let rows = booked(&server, &who, &markers).await;
    let gifts = rows
        .iter()
        .filter(|row| row["kind"] == "credit" && row["bucket"] == "gift");
    assert_eq!(gifts.count(), 1, "one credit however often it was sent");
    logged(&server, "the database takes settled calls again").await;
    let bill = body(server.get("/v1/user/bills", &who.key).await).await;
    assert_eq!(bill["data"]["total"]["calls"], markers.len(), "{bill}");
    server.stop().await;
    assert_eq!(database.ledger_discrepancies().await, [""; 0]);
}

#[tokio::test]
async fn a_killed_postgresql_and_cut_connections_lose_and_double_nothing() {
    let mut database = OwnPostgres::start().await;
    let upstream = Upstream::start().await;
    let server = on(&database).start().await;
    open_shop(&server, &upstream).await;
    let who = customer(&server, "killed", "100").await;
    let mut markers = Vec::new();
    for round in 0..4 {
        let name = format!("cut-{round}");
        let calls = complete_many(&server, &who.key, PAID, &name, 12);
        let (called, ()) = tokio::join!(calls, database.cut_connections());
        markers.extend(called);
    }
    booked(&server, &who, &markers).await;

    database.kill().await;
    goes_on_without(&server, &who, "killed", &mut markers).await;
    database.restart().await;
    markers.extend(complete_many(&server, &who.key, PAID, "after", 6).await);
    booked(&server, &who, &markers).await;
    logged(&server, "the database takes settled calls again").await;
    server.stop().await;
    assert_eq!(database.ledger_discrepancies().await, [""; 0]);
}

#[tokio::test]
async fn calls_in_the_journal_of_a_killed_server_are_booked_at_the_next_start() {
    let mut database = OwnPostgres::start().await;
    let upstream = Upstream::start().await;
    let server = on(&database).start().await;
    open_shop(&server, &upstream).await;
    let who = customer(&server, "restart", "100").await;
    let mut markers = complete_many(&server, &who.key, PAID, "before", 6).await;
    booked(&server, &who, &markers).await;

    database.freeze();
    markers.extend(complete_many(&server, &who.key, PAID, "frozen", 30).await);
    let killed = server.kill().await;
    database.kill().await;
    database.restart().await;

    let server = on(&database).data_of(killed).start().await;
    // Booked before the first call is admitted: the balance is right from the beginning.
    let spent = i64::try_from(markers.len()).unwrap() * CALL_COST;
    assert_eq!(own_balance(&server, &who.key).await, PURSE - spent);
    let log = server.log();
    assert!(
        log.contains("applying settled calls that the last run left in the journal"),
        "{log}"
    );
    booked(&server, &who, &markers).await;
    markers.extend(complete_many(&server, &who.key, PAID, "after", 6).await);
    booked(&server, &who, &markers).await;
    server.stop().await;
    assert_eq!(database.ledger_discrepancies().await, [""; 0]);
}

on_each_database! {
    async fn calls_go_on_while_somebody_else_holds_the_ledger(database) {
        let upstream = Upstream::start().await;
        let server = bare()
            .environment("SILICA__DATABASE__URL", database.url_text())
            .start()
            .await;
        open_shop(&server, &upstream).await;
        let who = customer(&server, "held", "100").await;
        let mut markers = complete_many(&server, &who.key, PAID, "before", 6).await;
        booked(&server, &who, &markers).await;

        let held = database.hold_ledger().await;
        markers.extend(complete_many(&server, &who.key, PAID, "held", 24).await);
        let spent = i64::try_from(markers.len()).unwrap() * CALL_COST;
        assert_eq!(own_balance(&server, &who.key).await, PURSE - spent);
        let account = get(&server, &format!("/accounts/{}", who.account)).await;
        assert_eq!(nano(&account["charge_balance"]), PURSE - spent);
        let bill = body(server.get("/v1/user/bills", &who.key).await).await;
        assert_eq!(bill["data"]["total"]["calls"], 6, "the others wait: {bill}");
        held.release().await;
        booked(&server, &who, &markers).await;
        server.stop().await;
        assert_eq!(silica_testkit::ledger_discrepancies(&database.storage()).await, [""; 0]);
    }
}

#[tokio::test]
async fn health_answers_while_the_server_waits_for_its_database() {
    let database = OwnPostgres::start().await;
    database.freeze();
    let server = on(&database).start_without_waiting().await;
    for address in [server.base_url(), server.admin_url()] {
        let status = |path: &str| reqwest::get(format!("{address}{path}"));
        assert_eq!(status("/healthz").await.unwrap().status(), StatusCode::OK);
        assert_eq!(
            status("/readyz").await.unwrap().status(),
            StatusCode::SERVICE_UNAVAILABLE
        );
    }
    let early = server.get("/v1/models", "sk-unknown").await;
    assert_eq!(refusal(early).await, (503, json!(50508)));
    database.thaw();
    loop {
        let ready = reqwest::get(format!("{}/readyz", server.base_url()))
            .await
            .unwrap();
        if ready.status() == StatusCode::OK {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let late = server.get("/v1/models", "sk-unknown").await;
    assert_eq!(late.status(), StatusCode::UNAUTHORIZED);
}
