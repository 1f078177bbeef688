use http::Method;
use serde_json::{Value, json};
use silica_testkit::on_each_database;

use super::support::{ADMIN_KEY, Reply, TestAdmin};

async fn buy(admin: &TestAdmin, account: &str, key: &str, level: &str) -> Reply {
    let bearer = format!("Bearer {ADMIN_KEY}");
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", key)];
    let path = format!("{account}/level-packages");
    let body = json!({ "level": level }).to_string();
    admin.send_with(Method::POST, &path, &body, &headers).await
}

on_each_database! {
    async fn packages_are_sold_once_and_listed(database) {
        let admin = TestAdmin::start_on(database).await;
        let account = admin.account("ada@example.org").await;
        admin.post(&format!("{account}/credits"), json!({"bucket": "charge", "amount": "300"})).await.ok();
        let sold = buy(&admin, &account, "order-1", "L2").await.ok();
        for (name, value) in [
            ("level", json!("L2")),
            ("price", json!("200.00")),
            ("level_until", json!("2025-03-31T16:00:00Z")),
            ("voucher_expires_at", json!("2025-03-16T21:22:26Z")),
            ("created_at", json!("2025-02-13T21:22:26Z")),
            ("repeated", json!(false)),
        ] {
            assert_eq!(sold[name], value, "{name}");
        }
        assert!(account.ends_with(sold["account"].as_str().unwrap()));
        let again = buy(&admin, &account, "order-1", "L2").await.ok();
        assert_eq!((&again["id"], &again["repeated"]), (&sold["id"], &json!(true)));
        buy(&admin, &account, "order-1", "L1").await.refused(409, 20015);
        let more = buy(&admin, &account, "order-2", "L1").await.ok();

        let shown = admin.get(&account).await.ok();
        for (name, value) in [
            ("level", json!("L2")),
            ("package_level", json!("L2")),
            ("package_level_until", json!("2025-03-31T16:00:00Z")),
            ("charge_balance", json!("50.00")),
            ("voucher_balance", json!("250.00")),
            ("spent_this_month", json!("0.00")),
        ] {
            assert_eq!(shown[name], value, "{name}");
        }
        let first = admin.get(&format!("{account}/level-packages?limit=1")).await.ok();
        let next = first["next_cursor"].as_str().unwrap();
        let rest = admin.get(&format!("{account}/level-packages?cursor={next}")).await.ok();
        assert_eq!(rest["next_cursor"], Value::Null);
        // In the order of their ids; these two were made at the same moment.
        let mut both = [sold, more];
        both.sort_by_key(|package| package["id"].as_str().unwrap().to_owned());
        assert_eq!(json!([first["data"][0], rest["data"][0]]), json!(both));
        let ledger = admin.get(&format!("{account}/ledger")).await.ok();
        let rows = ledger["data"].as_array().unwrap();
        let paid = rows.iter().filter(|row| row["kind"] == "package");
        let mut amounts: Vec<&str> = paid.map(|row| row["amount"].as_str().unwrap()).collect();
        amounts.sort_unstable();
        assert_eq!(amounts, ["-200.00", "-50.00"]);
    }
}

#[tokio::test]
async fn what_cannot_be_bought_is_refused_with_its_code() {
    let admin = TestAdmin::start().await;
    let account = admin.account("ada@example.org").await;
    admin
        .post(
            &format!("{account}/credits"),
            json!({"bucket": "gift", "amount": "300"}),
        )
        .await
        .ok();
    let message = buy(&admin, &account, "a", "L1").await.refused(403, 30001);
    assert!(message.contains("50.00"), "{message}");
    for level in ["L0", "L6", ""] {
        buy(&admin, &account, "b", level).await.refused(400, 20015);
    }
    let path = format!("{account}/level-packages");
    admin
        .post(&path, json!({"level": "L1", "price": "1"}))
        .await
        .refused(400, 20015);
    let nobody = "/admin/v1/accounts/019516ecd5791194e7ce760dcc227413/level-packages";
    let reply = admin.get(nobody).await;
    assert_eq!(reply.status, 404);
    assert_eq!(admin.get(&path).await.ok()["data"], json!([]));
}
