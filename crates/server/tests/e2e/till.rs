//! Money in tests: models with known prices behind the scripted engine, accounts, credits, and what
//! the ledger says afterwards.

use std::time::{Duration, Instant};

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use silica_testkit::{TestServer, Upstream, UpstreamScript};

use crate::support::body;

/// Costs 1000 CNY per million prompt tokens and 2000 per million completion tokens: 0.02 for a
/// call of 10 and 5, which is what the scripted engine makes unless told otherwise.
pub(crate) const PAID: &str = "test/paid";
/// What such a call costs, in nano-CNY.
pub(crate) const CALL_COST: i64 = 20_000_000;
/// Has no price.
pub(crate) const FREE: &str = "test/free";
/// Has the price of the first, and takes the charge balance alone.
pub(crate) const CHARGE_ONLY: &str = "test/charge-only";

/// How long settled calls may take to their ledger; far less than that, on a machine that is free.
const BOOKED_LIMIT: Duration = Duration::from_secs(40);
const LOOK_AGAIN: Duration = Duration::from_millis(30);

/// An account and a key of it.
#[derive(Debug, Clone)]
pub(crate) struct Customer {
    pub(crate) account: String,
    pub(crate) key: String,
}

/// Puts the models into the catalogue and deploys them on the engine.
pub(crate) async fn open_shop(server: &TestServer, upstream: &Upstream) {
    let price = json!({"input": "1000", "output": "2000"});
    let model = |id: &str| json!({"id": id, "type": "text", "sub_type": "chat"});
    let mut paid = model(PAID);
    paid["price"] = price.clone();
    let mut charge_only = model(CHARGE_ONLY);
    charge_only["price"] = price;
    charge_only["charge_only"] = true.into();
    for body in [paid, charge_only, model(FREE)] {
        put(server, "/models", &body).await;
    }
    let deployment = json!({"name": "scripted", "models": [PAID, CHARGE_ONLY, FREE], "replicas": [{
        "engine": "openai",
        "url": upstream.base_url(),
        "upstream_model": "scripted",
        "allow_private": true,
    }]});
    put(server, "/deployments", &deployment).await;
}

/// A `PUT` of the operator, which must succeed.
pub(crate) async fn put(server: &TestServer, path: &str, body: &Value) -> Value {
    expect_good(server.admin(Method::PUT, path, Some(body)).await)
}

/// A `POST` of the operator, which must succeed.
pub(crate) async fn post(server: &TestServer, path: &str, body: &Value) -> Value {
    expect_good(server.admin(Method::POST, path, Some(body)).await)
}

/// A `GET` of the operator, which must succeed.
pub(crate) async fn get(server: &TestServer, path: &str) -> Value {
    expect_good(server.admin(Method::GET, path, None).await)
}

fn expect_good((status, body): (u16, Value)) -> Value {
    assert!((200..300).contains(&status), "{status} {body}");
    body
}

/// Makes an account with a key and, unless it is empty, a charge balance.
pub(crate) async fn customer(server: &TestServer, name: &str, charge: &str) -> Customer {
    let person = json!({"email": format!("{name}@example.com"), "name": name});
    let account = post(server, "/accounts", &person).await;
    let account = account["id"].as_str().expect("an id").to_owned();
    let key = key_with(server, &account, &json!({"description": name})).await;
    let customer = Customer { account, key };
    if !charge.is_empty() {
        credit(server, &customer, &json!({"bucket": "charge", "amount": charge})).await;
    }
    customer
}

/// Makes a further key of an account; returns its text.
pub(crate) async fn key_with(server: &TestServer, account: &str, body: &Value) -> String {
    let key = post(server, &format!("/accounts/{account}/keys"), body).await;
    key["key"].as_str().expect("a key").to_owned()
}

/// Gives a customer money.
pub(crate) async fn credit(server: &TestServer, customer: &Customer, body: &Value) -> Value {
    post(server, &format!("/accounts/{}/credits", customer.account), body).await
}

/// A script whose call is found again by `marker`, here and in the ledger.
pub(crate) fn script(marker: &str) -> UpstreamScript {
    UpstreamScript {
        marker: marker.to_owned(),
        ..UpstreamScript::default()
    }
}

/// The body of a chat that plays the script.
pub(crate) fn scripted(model: &str, script: &UpstreamScript, stream: bool) -> Value {
    json!({
        "model": model,
        "messages": [{"role": "user", "content": script.to_string()}],
        "max_tokens": 1000,
        "stream": stream,
    })
}

/// Sends a chat whose trace id is the script's marker.
pub(crate) async fn send(
    server: &TestServer,
    key: &str,
    model: &str,
    script: &UpstreamScript,
    stream: bool,
) -> Response {
    let request = server
        .request(Method::POST, "/v1/chat/completions")
        .bearer_auth(key)
        .header("x-trace-id", &script.marker)
        .json(&scripted(model, script, stream));
    request.send().await.expect("an answer")
}

/// Makes a call that must come to its proper end.
pub(crate) async fn complete(server: &TestServer, key: &str, model: &str, marker: &str, stream: bool) {
    let response = send(server, key, model, &script(marker), stream).await;
    assert_eq!(response.status(), StatusCode::OK, "{marker}");
    let text = response.text().await.expect("a whole answer");
    if stream {
        assert!(text.ends_with("data: [DONE]\n\n"), "{marker}: {text}");
    } else {
        assert!(text.contains("\"usage\""), "{marker}: {text}");
    }
}

/// Makes `count` calls at once, plain and streamed in turn, that must all come to their proper
/// ends; returns their markers.
pub(crate) async fn complete_many(
    server: &TestServer,
    key: &str,
    model: &str,
    name: &str,
    count: usize,
) -> Vec<String> {
    let markers: Vec<String> = (0..count).map(|number| format!("{name}-{number}")).collect();
    let calls = markers
        .iter()
        .enumerate()
        .map(|(number, marker)| complete(server, key, model, marker, number % 2 == 0));
    futures::future::join_all(calls).await;
    markers
}

/// The status of a chat and the code of its error, if it is one.
pub(crate) async fn refusal(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    (status, body(response).await["code"].clone())
}

/// All rows of an account's ledger, read page by page.
pub(crate) async fn ledger(server: &TestServer, customer: &Customer) -> Vec<Value> {
    let path = format!("/accounts/{}/ledger?limit=50", customer.account);
    let mut rows = Vec::new();
    let mut page = get(server, &path).await;
    loop {
        rows.extend(page["data"].as_array().expect("a list").iter().cloned());
        let Some(cursor) = page["next_cursor"].as_str() else {
            return rows;
        };
        page = get(server, &format!("{path}&cursor={cursor}")).await;
    }
}

/// Waits until the calls are in the ledger and then checks the whole of it: exactly these calls,
/// each once, and balances that are the sums of the rows.
pub(crate) async fn booked(server: &TestServer, customer: &Customer, markers: &[String]) -> Vec<Value> {
    let deadline = Instant::now() + BOOKED_LIMIT;
    let mut expected = markers.to_vec();
    expected.sort_unstable();
    let rows = loop {
        let rows = ledger(server, customer).await;
        let traces = traces(&rows);
        if traces.len() >= expected.len() {
            assert_eq!(traces, expected, "each call once, and no other");
            break rows;
        }
        assert!(
            Instant::now() < deadline,
            "{} of {} calls are booked",
            traces.len(),
            expected.len()
        );
        tokio::time::sleep(LOOK_AGAIN).await;
    };
    balances_are_sums(server, customer, &rows).await;
    rows
}

/// The trace ids of the calls, sorted; a call that several buckets paid is there once.
fn traces(rows: &[Value]) -> Vec<String> {
    let calls = rows
        .iter()
        .filter(|row| row["kind"] == "call" && row["position"] == 0);
    let mut traces: Vec<String> = calls
        .map(|row| row["trace_id"].as_str().expect("a trace id").to_owned())
        .collect();
    traces.sort_unstable();
    traces
}

async fn balances_are_sums(server: &TestServer, customer: &Customer, rows: &[Value]) {
    let account = get(server, &format!("/accounts/{}", customer.account)).await;
    let mut total = 0;
    for kind in ["voucher", "gift", "charge"] {
        let of_kind = rows.iter().filter(|row| row["bucket"] == kind);
        let sum: i64 = of_kind.map(|row| nano(&row["amount"])).sum();
        let balance = nano(&account[format!("{kind}_balance")]);
        assert!(balance >= 0, "{kind}: {account}");
        assert_eq!(balance, sum, "{kind}: {account}");
        total += balance;
    }
    assert_eq!(nano(&account["total_balance"]), total, "{account}");
}

/// What the account itself sees of its total balance, in nano-CNY.
pub(crate) async fn own_balance(server: &TestServer, key: &str) -> i64 {
    let response = server.get("/v1/user/info", key).await;
    assert_eq!(response.status(), StatusCode::OK);
    nano(&body(response).await["data"]["totalBalance"])
}

/// Reads an amount exactly.
pub(crate) fn nano(amount: &Value) -> i64 {
    let text = amount.as_str().expect("an amount is a text");
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, part) = digits.split_once('.').expect("an amount has a point");
    let whole: i64 = whole.parse().expect("digits");
    let part: i64 = format!("{part:0<9}").parse().expect("digits");
    sign * (whole * 1_000_000_000 + part)
}

/// Waits until the server's log has a text.
pub(crate) async fn logged(server: &TestServer, text: &str) {
    let deadline = Instant::now() + BOOKED_LIMIT;
    while !server.log().contains(text) {
        assert!(Instant::now() < deadline, "not logged: {text}");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
