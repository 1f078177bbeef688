use serde_json::json;

use super::support::{TestAdmin, without_ids};

#[tokio::test]
async fn created_account_is_shown_and_listed() {
    let admin = TestAdmin::start().await;
    let made = admin
        .post(
            "/admin/v1/accounts",
            json!({"email": "Ada@Example.org", "name": "Ada"}),
        )
        .await
        .ok();
    let id = made["id"].as_str().unwrap();
    assert_eq!(id.len(), 32);
    assert_eq!(
        without_ids(made.clone()),
        json!({
            "id": "[id]",
            "email": "ada@example.org",
            "name": "Ada",
            "status": "normal",
            "verified": false,
            "level": "L0",
            "level_override": null,
            "package_level": null,
            "package_level_until": null,
            "spent_this_month": "0.00",
            "spent_last_month": "0.00",
            "gift_balance": "0.00",
            "charge_balance": "0.00",
            "voucher_balance": "0.00",
            "total_balance": "0.00",
            "created_at": "2025-02-13T21:22:26Z",
            "updated_at": "2025-02-13T21:22:26Z",
        })
    );
    assert_eq!(admin.get(&format!("/admin/v1/accounts/{id}")).await.ok(), made);
    assert_eq!(
        admin.get("/admin/v1/accounts").await.ok(),
        json!({"data": [made], "next_cursor": null})
    );
}

#[tokio::test]
async fn address_that_is_taken_conflicts() {
    let admin = TestAdmin::start().await;
    admin.account("ada@example.org").await;
    let again = json!({"email": "ADA@example.org", "name": "Other"});
    let message = admin.post("/admin/v1/accounts", again).await.refused(409, 20015);
    assert_eq!(message, "the e-mail address belongs to another account");
}

#[tokio::test]
async fn missing_and_unusable_fields_are_named() {
    let admin = TestAdmin::start().await;
    for (body, field) in [
        (json!({"name": "Ada"}), "email"),
        (json!({"email": "a@b.c"}), "name"),
        (json!({"email": "nonsense", "name": "Ada"}), "email"),
        (json!({"email": "a@b.c", "name": " "}), "name"),
    ] {
        let message = admin.post("/admin/v1/accounts", body).await.refused(400, 20015);
        assert!(message.contains(field), "{message}");
    }
}

#[tokio::test]
async fn patch_changes_what_is_given_and_nothing_else() {
    let admin = TestAdmin::start().await;
    let account = admin.account("ada@example.org").await;
    let changed = admin
        .patch(&account, json!({"verified": true, "level_override": "L3"}))
        .await
        .ok();
    assert_eq!(
        (&changed["verified"], &changed["level"], &changed["status"]),
        (&json!(true), &json!("L3"), &json!("normal"))
    );

    let changed = admin
        .patch(&account, json!({"level_override": null, "status": "disabled"}))
        .await
        .ok();
    assert_eq!(
        (&changed["verified"], &changed["level"], &changed["status"]),
        (&json!(true), &json!("L0"), &json!("disabled"))
    );
    assert_eq!(admin.patch(&account, json!({})).await.ok()["status"], "disabled");

    for body in [
        json!({"level_override": "L6"}),
        json!({"status": "sleepy"}),
        json!({"verified": "yes"}),
    ] {
        admin.patch(&account, body).await.refused(400, 20015);
    }
}

#[tokio::test]
async fn unknown_and_malformed_ids_are_not_found() {
    let admin = TestAdmin::start().await;
    for id in ["019516ecd5791194e7ce760dcc227413", "nonsense", "%FF"] {
        let path = format!("/admin/v1/accounts/{id}");
        admin.get(&path).await.refused(404, 20011);
        admin
            .patch(&path, json!({"verified": true}))
            .await
            .refused(404, 20011);
        admin.get(&format!("{path}/keys")).await.refused(404, 20011);
        admin
            .post(&format!("{path}/keys"), json!({}))
            .await
            .refused(404, 20011);
    }
}

#[tokio::test]
async fn pages_cover_the_list_once() {
    let admin = TestAdmin::start().await;
    for index in 0..5 {
        admin.account(&format!("{index}@example.org")).await;
    }
    let mut seen = Vec::new();
    let mut path = "/admin/v1/accounts?limit=2".to_owned();
    loop {
        let page = admin.get(&path).await.ok();
        seen.extend(
            page["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|account| account["email"].to_string()),
        );
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/admin/v1/accounts?limit=2&cursor={cursor}");
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 5);
    admin
        .get("/admin/v1/accounts?cursor=nonsense")
        .await
        .refused(400, 20015);
    admin.get("/admin/v1/accounts?limit=0").await.refused(400, 20015);
}
