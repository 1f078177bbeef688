use serde_json::json;

use super::support::TestAdmin;

#[tokio::test]
async fn model_is_stored_and_returned_exactly() {
    let admin = TestAdmin::start().await;
    let model = json!({
        "id": "Pro/vendor/model",
        "type": "text",
        "sub_type": "chat",
        "context_length": 32768,
        "features": ["json", "tools", "fim", "prefix", "reasoning", "vision", "fine-tune"],
        "vision": "internvl2",
        "tags": ["new", "新"],
        "price": {"input": "0.70", "output": "2.100", "cached_input": "0.0000000000000000000001"},
        "limits": {"RPM": 1000, "TPM": 50000, "IPD": -1},
        "real_name": true,
        "charge_only": true,
        "status": "disabled",
        "description": "A model.",
    });
    let stored = admin.put("/admin/v1/models", model.clone()).await.ok();
    for (name, value) in model.as_object().unwrap() {
        assert_eq!(&stored[name], value, "{name}");
    }
    assert_eq!(
        admin.get("/admin/v1/models").await.ok(),
        json!({"data": [stored], "next_cursor": null})
    );
}

#[tokio::test]
async fn absent_and_null_fields_mean_free_and_unlimited() {
    let admin = TestAdmin::start().await;
    let stored = admin
        .put(
            "/admin/v1/models",
            json!({"id": "m/a", "type": "image", "sub_type": "text-to-image", "price": null, "limits": null}),
        )
        .await
        .ok();
    assert_eq!(
        (&stored["price"], &stored["limits"], &stored["status"]),
        (&json!({}), &json!(null), &json!("normal"))
    );
    assert_eq!(stored["features"], json!([]), "absent features are none, not all");
}

#[tokio::test]
async fn price_numbers_keep_their_digits() {
    let admin = TestAdmin::start().await;
    let body = r#"{"id":"m/a","type":"text","sub_type":"chat","price":{"input":0.1000000000000000055,"per_image":3}}"#;
    let reply = admin
        .send_text(
            http::Method::PUT,
            "/admin/v1/models",
            body,
            Some(super::support::ADMIN_KEY),
        )
        .await;
    assert_eq!(
        reply.ok()["price"],
        json!({"input": "0.1000000000000000055", "per_image": "3"})
    );
}

#[tokio::test]
async fn unusable_fields_are_named() {
    let admin = TestAdmin::start().await;
    for (change, field) in [
        (json!({"id": "a b"}), "id"),
        (json!({"type": "texts"}), "type"),
        (json!({"sub_type": "text-to-image"}), "sub_type"),
        (json!({"context_length": 0}), "context_length"),
        (json!({"features": ["json", "telepathy"]}), "features[1]"),
        (json!({"tags": [""]}), "tags[0]"),
        (json!({"price": {"input": "-1"}}), "price.input"),
        (json!({"price": {"input": "free"}}), "price.input"),
        (json!({"limits": {"class": "XXL"}}), "limits"),
        (json!({"status": "sleepy"}), "status"),
    ] {
        let mut body = json!({"id": "m/a", "type": "text", "sub_type": "chat"});
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        let message = admin.put("/admin/v1/models", body).await.refused(400, 20015);
        assert!(message.starts_with(field), "{field}: {message}");
    }
    assert_eq!(admin.get("/admin/v1/models").await.ok()["data"], json!([]));
}

#[tokio::test]
async fn models_are_listed_in_pages() {
    let admin = TestAdmin::start().await;
    for id in ["m/a", "m/b", "m/c"] {
        admin.chat_model(id).await;
    }
    let page = admin.get("/admin/v1/models?limit=2").await.ok();
    assert_eq!(page["next_cursor"], "1739481746000000_m/b");
    // The row of the cursor need not exist.
    for cursor in ["1739481746000000_m%2Fb", "1739481746000000_m%2Fbb"] {
        let rest = admin
            .get(&format!("/admin/v1/models?limit=2&cursor={cursor}"))
            .await
            .ok();
        assert_eq!(
            (&rest["data"][0]["id"], &rest["next_cursor"]),
            (&json!("m/c"), &json!(null))
        );
    }
    for cursor in [
        "m%2Fb",
        "_m%2Fb",
        "1739481746000000_",
        "9999999999999999999_m%2Fb",
    ] {
        admin
            .get(&format!("/admin/v1/models?cursor={cursor}"))
            .await
            .refused(400, 20015);
    }
}

#[tokio::test]
async fn model_that_was_read_can_be_put_back_as_it_is() {
    let admin = TestAdmin::start().await;
    admin.chat_model("m/a").await;
    let read = admin.get("/admin/v1/models").await.ok()["data"][0].clone();
    assert_eq!(admin.put("/admin/v1/models", read.clone()).await.ok(), read);
}
