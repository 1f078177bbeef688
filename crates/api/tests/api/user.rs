//! The caller's own account.

use axum::body::Body;
use http::Method;
use serde_json::json;
use silica_platform::{
    AccountChanges, BucketKind, CallStatus, KeyChanges, KeyStatus, NewCredit, Units, UsageEvent,
};
use silica_storage::ledger;
use silica_types::{ApiKeyId, ModelName, RequestId, SystemClock, TraceId, UsageSource};

use super::support::App;

async fn credit(app: &App, bucket: BucketKind, amount: &str) {
    let end = "2025-03-01T00:00:00Z".parse().unwrap();
    let new = NewCredit {
        bucket,
        amount: amount.parse().unwrap(),
        expires_at: (bucket == BucketKind::Voucher).then_some(end),
        idempotency_key: None,
    };
    app.state.platform.credit(app.account, new).await.unwrap();
}

/// Books a call of a free model on the day of the test.
async fn book(app: &App, key: ApiKeyId) {
    let event = UsageEvent {
        id: RequestId::new(&SystemClock),
        account: app.account,
        key,
        model: ModelName::new("silica/plain").unwrap(),
        units: Units {
            prompt_tokens: 10,
            completion_tokens: 5,
            ..Units::default()
        },
        source: UsageSource::Engine,
        price: None,
        amount: "0".parse().unwrap(),
        shortfall: "0".parse().unwrap(),
        parts: Vec::new(),
        trace: TraceId::from_caller("trace-1").unwrap(),
        status: CallStatus::Complete,
        started_at: app.state.clock.now(),
        settled_at: app.state.clock.now(),
        day: "2025-02-18".parse().unwrap(),
    };
    ledger::apply(&app.storage, &[event]).await.unwrap();
}

#[tokio::test]
async fn info_shows_gift_and_vouchers_together_beside_the_charge_balance() {
    let app = App::new().await;
    credit(&app, BucketKind::Gift, "0.80").await;
    credit(&app, BucketKind::Voucher, "0.08").await;
    credit(&app, BucketKind::Charge, "88").await;
    let expected = json!({
        "code": 20000,
        "message": "OK",
        "status": true,
        "data": {
            "id": app.account.to_string(),
            "name": "Ann",
            "image": "",
            "email": "ann@example.org",
            "isAdmin": false,
            "balance": "0.88",
            "status": "normal",
            "introduction": "",
            "role": "",
            "chargeBalance": "88.00",
            "totalBalance": "88.88",
        },
    });
    for path in ["/v1/user/info", "/user/info"] {
        let answer = app.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, expected.clone()));
    }
    let changes = AccountChanges {
        name: Some("Ada".to_owned()),
        ..AccountChanges::default()
    };
    app.state
        .platform
        .update_account(app.account, changes)
        .await
        .unwrap();
    assert_eq!(app.get("/v1/user/info").await.json()["data"]["name"], "Ada");
}

#[tokio::test]
async fn info_answers_while_the_database_is_gone_and_bills_say_503() {
    let app = App::new().await;
    credit(&app, BucketKind::Charge, "5").await;
    app.storage.clone().close().await.unwrap();
    let info = app.get("/v1/user/info").await;
    assert_eq!(
        (info.status.as_u16(), &info.json()["data"]["totalBalance"]),
        (200, &json!("5.00"))
    );
    app.get("/v1/user/bills").await.assert_error(
        503,
        50508,
        "System is too busy now. Please try again later.",
    );
}

#[tokio::test]
async fn bills_of_the_caller_are_enveloped_json_or_plain_csv() {
    let app = App::new().await;
    let key = app.state.platform.authenticate(&app.key).unwrap().key;
    book(&app, key).await;
    book(&app, ApiKeyId::PLAYGROUND).await;
    let bill = app.get("/v1/user/bills?group_by=key").await;
    assert_eq!(bill.status, 200);
    let bill = bill.json();
    assert_eq!((&bill["code"], &bill["status"]), (&json!(20000), &json!(true)));
    let data = &bill["data"];
    assert_eq!(
        (&data["from"], &data["to"]),
        (&json!("2025-02-01"), &json!("2025-02-28"))
    );
    assert_eq!(
        (&data["total"]["calls"], &data["total"]["amount"]),
        (&json!(2), &json!("0.00"))
    );
    assert_eq!(data["rows"][0]["key"], "playground");
    assert_eq!(
        (&data["rows"][1]["key"], &data["rows"][1]["calls"]),
        (&json!(key.to_string()), &json!(1))
    );

    let csv = app
        .get("/v1/user/bills?month=2025-02&group_by=day&format=csv")
        .await;
    assert_eq!(
        csv.header("content-type"),
        "text/csv; charset=utf-8; header=present"
    );
    assert!(csv.text().contains("\r\n2025-02-18,2,20,0,10,"), "{}", csv.text());
    let message = "month: not a month; write it as 2025-02";
    app.get("/v1/user/bills?month=x")
        .await
        .assert_error(400, 20015, message);
}

#[tokio::test]
async fn only_a_good_key_sees_its_account() {
    let app = App::new().await;
    for path in ["/v1/user/info", "/v1/user/bills"] {
        let mut request = app.request(Method::GET, path, Body::empty());
        request.headers_mut().remove("authorization");
        app.send(request)
            .await
            .assert_error(401, 30014, "Token is invalid.");
    }
    let key = app.state.platform.authenticate(&app.key).unwrap().key;
    let changes = KeyChanges {
        status: Some(KeyStatus::Disabled),
        ..KeyChanges::default()
    };
    app.state
        .platform
        .update_key(app.account, key, changes)
        .await
        .unwrap();
    app.get("/v1/user/info")
        .await
        .assert_error(401, 30014, "Token is invalid.");
}
