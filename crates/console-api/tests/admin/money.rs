use http::Method;
use serde_json::{Value, json};
use silica_billing::{BucketPart, CallStatus, PriceVersion, Units, UsageEvent};
use silica_platform::{BillingDay, Bucket};
use silica_storage::{buckets, ledger};
use silica_testkit::database::TestDatabase;
use silica_testkit::on_each_database;
use silica_types::{AccountId, ApiKeyId, ModelName, RequestId, SystemClock, TraceId, UsageSource};

use super::support::{ADMIN_KEY, Reply, TestAdmin};

const DAY: &str = "2025-02-14";

async fn credit(admin: &TestAdmin, account: &str, key: &str, body: &str) -> Reply {
    let bearer = format!("Bearer {ADMIN_KEY}");
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", key)];
    let path = format!("{account}/credits");
    admin.send_with(Method::POST, &path, body, &headers).await
}

fn id_of(account: &str) -> AccountId {
    account.rsplit('/').next().unwrap().parse().unwrap()
}

/// Books a call of 10 and 5 tokens for 0.5 CNY, of which the first bucket pays 0.3.
async fn book(database: &TestDatabase, account: AccountId, key: ApiKeyId, model: &str) {
    let storage = database.storage();
    let buckets: Vec<Bucket> = buckets::of_account(&storage, account).await.unwrap();
    let event = UsageEvent {
        id: RequestId::new(&SystemClock),
        account,
        key,
        model: ModelName::new(model).unwrap(),
        units: Units {
            prompt_tokens: 10,
            completion_tokens: 5,
            ..Units::default()
        },
        source: UsageSource::Engine,
        price: Some(PriceVersion(1)),
        amount: "0.5".parse().unwrap(),
        shortfall: "0.2".parse().unwrap(),
        parts: vec![BucketPart {
            bucket: buckets[0].id,
            kind: buckets[0].kind,
            amount: "0.3".parse().unwrap(),
        }],
        trace: TraceId::from_caller("trace-1").unwrap(),
        status: CallStatus::Cancelled,
        started_at: "2025-02-13T21:22:20Z".parse().unwrap(),
        settled_at: "2025-02-13T21:22:26Z".parse().unwrap(),
        day: DAY.parse::<BillingDay>().unwrap(),
    };
    ledger::apply(&storage, &[event]).await.unwrap();
}

on_each_database! {
    async fn credits_show_in_the_balances_and_a_repeated_request_books_nothing(database) {
        let admin = TestAdmin::start_on(database).await;
        let account = admin.account("ada@example.org").await;
        let first = credit(&admin, &account, "order-1", r#"{"bucket":"charge","amount":"88"}"#).await.ok();
        assert_eq!((&first["bucket"], &first["amount"], &first["repeated"]), (&json!("charge"), &json!("88.00"), &json!(false)));
        assert_eq!(first["created_at"], "2025-02-13T21:22:26Z");
        let again = credit(&admin, &account, "order-1", r#"{"bucket":"charge","amount":88.0}"#).await.ok();
        assert_eq!((&again["id"], &again["repeated"]), (&first["id"], &json!(true)));
        credit(&admin, &account, "order-1", r#"{"bucket":"gift","amount":"88"}"#).await.refused(409, 20015);

        admin.post(&format!("{account}/credits"), json!({"bucket": "gift", "amount": "0.88"})).await.ok();
        let voucher = json!({"bucket": "voucher", "amount": 2.5, "expires_at": "2025-03-01T00:00:00Z"});
        let voucher = admin.post(&format!("{account}/credits"), voucher).await.ok();
        assert_eq!((&voucher["amount"], &voucher["expires_at"]), (&json!("2.50"), &json!("2025-03-01T00:00:00Z")));
        let shown = admin.get(&account).await.ok();
        for (name, amount) in [("gift", "0.88"), ("charge", "88.00"), ("voucher", "2.50"), ("total", "91.38")] {
            assert_eq!(shown[format!("{name}_balance")], amount, "{name}");
        }
    }

    async fn the_ledger_is_listed_page_by_page(database) {
        let admin = TestAdmin::start_on(database).await;
        let account = admin.account("ada@example.org").await;
        credit(&admin, &account, "c", r#"{"bucket":"charge","amount":"5"}"#).await.ok();
        let key = admin.post(&format!("{account}/keys"), json!({"description": "=cmd"})).await.ok();
        let key_id: ApiKeyId = key["id"].as_str().unwrap().parse().unwrap();
        book(database, id_of(&account), key_id, "m/a").await;

        let mut rows: Vec<Value> = Vec::new();
        let mut path = format!("{account}/ledger?limit=1");
        loop {
            let page = admin.get(&path).await.ok();
            rows.extend(page["data"].as_array().unwrap().clone());
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            path = format!("{account}/ledger?limit=1&cursor={cursor}");
        }
        assert_eq!(rows.len(), 2);
        let call = rows.iter().find(|row| row["kind"] == "call").unwrap();
        for (name, value) in [
            ("day", json!(DAY)),
            ("bucket", json!("charge")),
            ("amount", json!("-0.30")),
            ("shortfall", json!("0.20")),
            ("key", json!(key_id.to_string())),
            ("model", json!("m/a")),
            ("units", json!({"prompt_tokens": 10, "completion_tokens": 5})),
            ("source", json!("engine")),
            ("price_version", json!(1)),
            ("trace_id", json!("trace-1")),
            ("status", json!("cancelled")),
            ("started_at", json!("2025-02-13T21:22:20Z")),
        ] {
            assert_eq!(call[name], value, "{name}");
        }
        // The names that scripts count on.
        for name in ["id", "at", "kind", "bucket", "amount", "event_id", "trace_id", "model"] {
            assert!(call[name].is_string(), "{name} in {call}");
        }
        let credit = rows.iter().find(|row| row["kind"] == "credit").unwrap();
        assert_eq!((&credit["amount"], &credit["model"]), (&json!("5.00"), &json!(null)));
        for query in ["cursor=x", "limit=0", "cursor=20250230-0-0"] {
            admin.get(&format!("{account}/ledger?{query}")).await.refused(400, 20015);
        }
    }

    async fn bills_are_json_or_csv(database) {
        let admin = TestAdmin::start_on(database).await;
        let account = admin.account("ada@example.org").await;
        credit(&admin, &account, "c", r#"{"bucket":"gift","amount":"5"}"#).await.ok();
        let key = admin.post(&format!("{account}/keys"), json!({"description": "=1+1, \"x\""})).await.ok();
        let key_id: ApiKeyId = key["id"].as_str().unwrap().parse().unwrap();
        book(database, id_of(&account), key_id, "m/a").await;
        book(database, id_of(&account), key_id, "@m/b").await;
        book(database, id_of(&account), ApiKeyId::PLAYGROUND, "m/a").await;
        admin.delete(&format!("{account}/keys/{key_id}")).await;

        let bill = admin.get(&format!("{account}/bills?month=2025-02&group_by=model")).await.ok();
        assert_eq!((&bill["from"], &bill["to"], &bill["currency"]), (&json!("2025-02-01"), &json!("2025-02-28"), &json!("CNY")));
        let rows: Vec<_> = bill["rows"].as_array().unwrap().iter().map(|row| (row["model"].as_str().unwrap(), row["calls"].as_u64().unwrap())).collect();
        assert_eq!(rows, [("@m/b", 1), ("m/a", 2)]);
        let total = &bill["total"];
        for (name, value) in [
            ("calls", json!(3)), ("prompt_tokens", json!(30)), ("completion_tokens", json!(15)),
            ("amount", json!("1.50")), ("gift", json!("0.90")), ("charge", json!("0.00")), ("shortfall", json!("0.60")),
        ] {
            assert_eq!(total[name], value, "{name}");
        }
        let keys = admin.get(&format!("{account}/bills?from=2025-02-14&to=2025-02-14&group_by=key")).await.ok();
        assert_eq!(keys["rows"][0]["key"], "playground");
        assert_eq!((&keys["rows"][1]["key"], &keys["rows"][1]["status"]), (&json!(key_id.to_string()), &json!("deleted")));

        let csv = admin.get(&format!("{account}/bills?group_by=key&format=csv")).await;
        assert_eq!(csv.headers["content-type"], "text/csv; charset=utf-8; header=present");
        assert_eq!(csv.headers["content-disposition"], "attachment; filename=\"silica-bill-2025-02-01-2025-02-28-key.csv\"");
        let lines: Vec<_> = csv.text.split("\r\n").collect();
        assert!(lines[0].starts_with("key,description,hint,status,calls,"), "{}", csv.text);
        assert!(lines[1].starts_with("playground,,,,1,10,"), "{}", csv.text);
        assert!(lines[2].contains(r#","'=1+1, ""x""","#) && lines[2].ends_with(",1.00,0.00,0.60,0.00,0.40"), "{}", csv.text);
        let bearer = format!("Bearer {ADMIN_KEY}");
        let headers = [("authorization", bearer.as_str()), ("accept", "text/csv")];
        let csv = admin.send_with(Method::GET, &format!("{account}/bills?group_by=model"), "", &headers).await;
        assert!(csv.text.contains("\r\n'@m/b,1,"), "{}", csv.text);

        let empty = admin.get(&format!("{account}/bills?month=2024-01")).await.ok();
        assert_eq!((&empty["rows"], &empty["total"]["amount"]), (&json!([]), &json!("0.00")));
    }

    async fn bills_answer_503_while_the_database_is_down(database) {
        let admin = TestAdmin::start_on(database).await;
        let account = admin.account("ada@example.org").await;
        database.storage().close().await.unwrap();
        for path in ["bills", "ledger"] {
            admin.get(&format!("{account}/{path}")).await.refused(503, 50508);
        }
    }
}

#[tokio::test]
async fn unusable_credits_are_refused_by_name() {
    let admin = TestAdmin::start().await;
    let account = admin.account("ada@example.org").await;
    for (body, field) in [
        (r#"{"bucket":"charge"}"#, "amount"),
        (r#"{"amount":"1"}"#, "bucket"),
        (r#"{"bucket":"cash","amount":"1"}"#, "bucket"),
        (r#"{"bucket":"charge","amount":"1","note":"x"}"#, "note"),
        (r#"{"bucket":"charge","amount":null}"#, "amount"),
        (r#"{"bucket":"charge","amount":0}"#, "amount"),
        (r#"{"bucket":"charge","amount":"-0.01"}"#, "amount"),
        (r#"{"bucket":"charge","amount":-1}"#, "amount"),
        (r#"{"bucket":"charge","amount":1e3}"#, "amount"),
        (r#"{"bucket":"charge","amount":1.0000000001}"#, "amount"),
        (r#"{"bucket":"charge","amount":"1000000000"}"#, "amount"),
        (
            r#"{"bucket":"charge","amount":99999999999999999999999999}"#,
            "amount",
        ),
        (r#"{"bucket":"charge","amount":"1,5"}"#, "amount"),
        (r#"{"bucket":"charge","amount":true}"#, "amount"),
        (r#"{"bucket":"voucher","amount":"1"}"#, "expires_at"),
        (
            r#"{"bucket":"voucher","amount":"1","expires_at":"2025-02-13T21:22:26Z"}"#,
            "expires_at",
        ),
        (
            r#"{"bucket":"voucher","amount":"1","expires_at":"tomorrow"}"#,
            "expires_at",
        ),
        (
            r#"{"bucket":"gift","amount":"1","expires_at":"2026-01-01T00:00:00Z"}"#,
            "expires_at",
        ),
    ] {
        let message = credit(&admin, &account, "k", body).await.refused(400, 20015);
        assert!(message.contains(field), "{body}: {message}");
    }
    let good = r#"{"bucket":"gift","amount":"1"}"#;
    for key in ["", "a b", "ä", &"x".repeat(129)] {
        let message = credit(&admin, &account, key, good).await.refused(400, 20015);
        assert!(message.contains("Idempotency-Key"), "{message}");
    }
    let nobody = format!("/admin/v1/accounts/{}", AccountId::new(&SystemClock));
    credit(&admin, &nobody, "k", good).await.refused(404, 20011);
    assert_eq!(
        admin.get(&format!("{account}/ledger")).await.ok()["data"],
        json!([])
    );
    assert_eq!(admin.get(&account).await.ok()["total_balance"], "0.00");
}

#[tokio::test]
async fn credits_above_what_a_balance_can_say_conflict() {
    let admin = TestAdmin::start().await;
    let account = admin.account("ada@example.org").await;
    for number in 0..9 {
        credit(
            &admin,
            &account,
            &number.to_string(),
            r#"{"bucket":"charge","amount":"999999999"}"#,
        )
        .await
        .ok();
    }
    credit(
        &admin,
        &account,
        "last",
        r#"{"bucket":"charge","amount":"999999999"}"#,
    )
    .await
    .refused(409, 20015);
    assert_eq!(admin.get(&account).await.ok()["charge_balance"], "8999999991.00");
}

#[tokio::test]
async fn unknown_accounts_have_no_bill_and_queries_are_checked() {
    let admin = TestAdmin::start().await;
    let account = admin.account("ada@example.org").await;
    for path in ["bills", "ledger"] {
        let nobody = AccountId::new(&SystemClock);
        admin
            .get(&format!("/admin/v1/accounts/{nobody}/{path}"))
            .await
            .refused(404, 20011);
        admin
            .get(&format!("/admin/v1/accounts/nobody/{path}"))
            .await
            .refused(404, 20011);
    }
    for query in [
        "month=2025",
        "from=2025-02-02&to=2025-02-01",
        "group_by=hour",
        "format=pdf",
        "to=2025-01-01",
    ] {
        admin
            .get(&format!("{account}/bills?{query}"))
            .await
            .refused(400, 20015);
    }
}
