use serde_json::{Value, json};
use silica_testkit::on_each_database;

use super::support::TestAdmin;

async fn put(admin: &TestAdmin, price: Value) -> Value {
    let model = json!({"id": "m/a", "type": "text", "sub_type": "chat", "price": price});
    admin.put("/admin/v1/models", model).await.ok()
}

on_each_database! {
    async fn the_book_is_kept_and_listed(database) {
        let admin = TestAdmin::start_on(database).await;
        put(&admin, json!({"input": "1.00", "output": "2"})).await;
        let body = json!({
            "model": "m/a",
            "price": {"input": 1, "output": "2.50"},
            "promotional": {"input": "0.5", "output": "1.25"},
            "badge": "50% OFF",
            "effective_until": "2025-03-01T00:00:00Z",
        });
        let made = admin.post("/admin/v1/prices", body).await.ok();
        for (name, value) in [
            ("model", json!("m/a")),
            ("mode", json!(null)),
            ("price", json!({"input": "1", "output": "2.50"})),
            ("promotional", json!({"input": "0.5", "output": "1.25"})),
            ("badge", json!("50% OFF")),
            ("effective_from", json!("2025-02-13T21:22:26Z")),
            ("effective_until", json!("2025-03-01T00:00:00Z")),
        ] {
            assert_eq!(made[name], value, "{name}");
        }
        let listed = admin.get("/admin/v1/prices?model=m/a&limit=1").await.ok();
        assert_eq!(listed["data"][0]["price"], json!({"input": "1.00", "output": "2"}));
        let next = listed["next_cursor"].as_str().unwrap();
        let rest = admin.get(&format!("/admin/v1/prices?cursor={next}")).await.ok();
        assert_eq!(rest, json!({"data": [made], "next_cursor": null}));

        let model = admin.get("/admin/v1/models").await.ok()["data"][0].clone();
        assert_eq!((&model["price"]["output"], &model["badge"]), (&json!("2.50"), &json!("50% OFF")));
        assert_eq!(model["promotional"], json!({"input": "0.5", "output": "1.25"}));
    }

    async fn a_model_that_is_read_and_put_back_keeps_its_prices(database) {
        let admin = TestAdmin::start_on(database).await;
        put(&admin, json!({"input": "1"})).await;
        let body = json!({"model": "m/a", "list": {"input": "3"}, "promotional": {"input": "2"}});
        admin.post("/admin/v1/prices", body).await.ok();
        let read = admin.get("/admin/v1/models").await.ok()["data"][0].clone();
        assert_eq!(admin.put("/admin/v1/models", read.clone()).await.ok(), read);
        assert_eq!(admin.get("/admin/v1/prices").await.ok()["data"].as_array().unwrap().len(), 2);
        // Another price ends the promotion.
        assert_eq!(put(&admin, json!({"input": "4"})).await["promotional"], json!(null));
        assert_eq!(put(&admin, json!(null)).await["price"], json!({}));
        assert_eq!(admin.get("/admin/v1/prices").await.ok()["data"].as_array().unwrap().len(), 4);
    }
}

#[tokio::test]
async fn unusable_entries_are_refused_by_name() {
    let admin = TestAdmin::start().await;
    put(&admin, json!({"input": "1"})).await;
    for (body, field) in [
        (json!({"model": "m/a"}), "price"),
        (json!({"model": "m/a", "price": {"input": "-1"}}), "price.input"),
        (json!({"model": "m/a", "price": {"inputs": "1"}}), "inputs"),
        (json!({"model": "m/a", "price": {"input": "1000000.01"}}), "price"),
        (json!({"model": "m/a", "price": {}, "mode": "A B"}), "mode"),
        (
            json!({"model": "m/a", "price": {}, "effective_from": "2025-02-13T21:00:00Z"}),
            "effective_from",
        ),
        (
            json!({"model": "m/a", "price": {}, "effective_until": "2025-02-13T21:22:26Z"}),
            "effective_until",
        ),
        (json!({"model": "m/a", "price": {}, "discount": 0.5}), "discount"),
        (json!({"model": "a b", "price": {}}), "model"),
    ] {
        let message = admin.post("/admin/v1/prices", body).await.refused(400, 20015);
        assert!(message.contains(field), "{message}");
    }
    let unknown = json!({"model": "m/z", "price": {"input": "1"}});
    admin.post("/admin/v1/prices", unknown).await.refused(404, 20011);
    admin.get("/admin/v1/prices?model=m/z").await.refused(404, 20011);
    admin
        .get("/admin/v1/prices?model=a%20b")
        .await
        .refused(400, 20015);
    admin.get("/admin/v1/prices?cursor=x").await.refused(400, 20015);
    assert_eq!(
        admin.get("/admin/v1/prices").await.ok()["data"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}
