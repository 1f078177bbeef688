use serde_json::json;
use silica_platform::AuthError;

use super::support::{TestAdmin, without_ids};

#[tokio::test]
async fn key_is_shown_once_and_works_at_once() {
    let admin = TestAdmin::start().await;
    let account = admin.account("ada@example.org").await;
    let body = json!({"description": "for CI", "limits": {"RPM": 10, "ips": ["10.1.2.3/8", "::1"]}});
    let made = admin.post(&format!("{account}/keys"), body).await.ok();
    let text = made["key"].as_str().unwrap().to_owned();
    let inside = Some("10.9.9.9".parse().unwrap());
    assert!(admin.platform.identify(&text, inside).await.is_ok());
    let outside = Some("11.9.9.9".parse().unwrap());
    assert_eq!(
        admin.platform.identify(&text, outside).await,
        Err(AuthError::AddressNotAllowed)
    );
    assert_eq!(
        without_ids(made),
        json!({
            "key": "[key]",
            "id": "[id]",
            "description": "for CI",
            "hint": "[hint]",
            "status": "normal",
            "limits": {"ips": ["10.0.0.0/8", "::1"], "RPM": 10},
            "expires_at": null,
            "created_at": "2025-02-13T21:22:26Z",
            "updated_at": "2025-02-13T21:22:26Z",
        })
    );
    let listed = admin.get(&format!("{account}/keys")).await;
    assert_eq!(listed.ok()["data"][0]["description"], "for CI");
    assert!(!listed.text.contains(&text[3..40]) && listed.ok()["data"][0].get("key").is_none());
}

#[tokio::test]
async fn disabled_and_deleted_keys_are_refused_at_once() {
    let admin = TestAdmin::start().await;
    let account = admin.account("ada@example.org").await;
    let made = admin.post(&format!("{account}/keys"), json!({})).await.ok();
    let (path, text) = (
        format!("{account}/keys/{}", made["id"].as_str().unwrap()),
        made["key"].as_str().unwrap(),
    );

    admin.patch(&path, json!({"status": "disabled"})).await.ok();
    assert_eq!(admin.platform.authenticate(text), Err(AuthError::Invalid));
    admin.patch(&path, json!({"status": "normal"})).await.ok();
    assert!(admin.platform.authenticate(text).is_ok());
    admin.patch(&account, json!({"status": "disabled"})).await.ok();
    assert_eq!(admin.platform.authenticate(text), Err(AuthError::AccountDisabled));
    admin.patch(&account, json!({"status": "normal"})).await.ok();

    let deleted = admin.delete(&path).await;
    assert_eq!((deleted.status.as_u16(), deleted.text.as_str()), (204, ""));
    assert_eq!(admin.platform.authenticate(text), Err(AuthError::Invalid));
    admin.delete(&path).await.refused(404, 20011);
    admin
        .patch(&path, json!({"status": "normal"}))
        .await
        .refused(404, 20011);
    assert_eq!(
        admin.get(&format!("{account}/keys")).await.ok()["data"],
        json!([])
    );
}

#[tokio::test]
async fn limits_and_expiry_are_changed_and_removed() {
    let admin = TestAdmin::start().await;
    let account = admin.account("ada@example.org").await;
    let made = admin
        .post(
            &format!("{account}/keys"),
            json!({"expires_at": "2025-03-01T00:00:00Z"}),
        )
        .await
        .ok();
    assert_eq!(made["expires_at"], "2025-03-01T00:00:00Z");
    let path = format!("{account}/keys/{}", made["id"].as_str().unwrap());
    let changed = admin
        .patch(
            &path,
            json!({"limits": {"models": ["b/b", "a/a"], "monthly_spend": 12.5}, "description": "new"}),
        )
        .await
        .ok();
    assert_eq!(
        (&changed["limits"], &changed["description"]),
        (
            &json!({"models": ["a/a", "b/b"], "monthly_spend": "12.50"}),
            &json!("new")
        )
    );
    let changed = admin
        .patch(&path, json!({"limits": null, "expires_at": null}))
        .await
        .ok();
    assert_eq!(
        (&changed["limits"], &changed["expires_at"]),
        (&json!(null), &json!(null))
    );

    for limits in [
        json!({"class": "S"}),
        json!({"RPM": -1}),
        json!({"RPM": 0}),
        json!({"RPM": 1.5}),
        json!({"TPD": 1}),
        json!({"monthly_spend": "-1"}),
        json!({"monthly_spend": "1e3"}),
        json!({"monthly_spend": "0.0000000001"}),
        json!({"monthly_spend": "12345678901"}),
        json!({"ips": ["10.0.0.0/33"]}),
        json!({"ips": ["example.org"]}),
        json!({"models": ["a b"]}),
    ] {
        let message = admin
            .patch(&path, json!({"limits": limits}))
            .await
            .refused(400, 20015);
        assert!(message.contains("limits"), "{message}");
    }
    admin
        .patch(&path, json!({"status": "deleted"}))
        .await
        .refused(400, 20015);
}
