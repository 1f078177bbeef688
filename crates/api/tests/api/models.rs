//! The list of models.

use axum::body::Body;
use http::{Method, Request};
use serde_json::json;

use super::support::App;

fn ids(answer: &super::support::Answer) -> Vec<String> {
    let body = answer.json();
    body["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn callable_models_are_listed_in_catalogue_order() {
    let app = App::new().await;
    let model = |id: &str| json!({"id": id, "object": "model", "created": 0, "owned_by": ""});
    let expected = json!({"object": "list", "data": [model("silica/plain"), model("silica/full")]});
    assert_eq!(app.get("/v1/models").await.json(), expected);
    assert_eq!(app.get("/models").await.json(), expected);
}

#[tokio::test]
async fn filters_are_read_as_clients_write_them() {
    let app = App::new().await;
    for query in [
        "?type=text",
        "?sub_type=chat",
        "?&sub_type=chat",
        "?type=text&sub_type=chat",
        "?type=",
        "?other=1",
    ] {
        assert_eq!(
            ids(&app.get(&format!("/v1/models{query}")).await).len(),
            2,
            "{query}"
        );
    }
    for query in ["?type=image", "?sub_type=embedding", "?type=image&sub_type=chat"] {
        assert!(
            ids(&app.get(&format!("/v1/models{query}")).await).is_empty(),
            "{query}"
        );
    }
    let text = "type: Input should be one of text, image, audio, video";
    app.get("/v1/models?type=secret")
        .await
        .assert_error(400, 20015, text);
}

#[tokio::test]
async fn a_model_is_found_by_its_name_with_or_without_escapes() {
    let app = App::new().await;
    for path in [
        "/v1/models/silica/plain",
        "/v1/models/silica%2Fplain",
        "/models/silica/plain",
    ] {
        assert_eq!(app.get(path).await.json()["id"], "silica/plain", "{path}");
    }
    for path in [
        "/v1/models/absent",
        "/v1/models/silica/off",
        "/v1/models/silica/undeployed",
    ] {
        let answer = app.get(path).await;
        answer.assert_error(404, 20012, "Model does not exist. Please check it carefully.");
    }
}

#[tokio::test]
async fn the_list_needs_a_key_and_follows_its_revocation() {
    let app = App::new().await;
    let anonymous = Request::builder()
        .method(Method::GET)
        .uri("/v1/models")
        .body(Body::empty())
        .unwrap();
    app.send(anonymous)
        .await
        .assert_error(401, 30014, "Token is invalid.");
    let caller = app.state.platform.authenticate(&app.key).unwrap();
    app.state
        .platform
        .delete_key(app.account, caller.key)
        .await
        .unwrap();
    app.get("/v1/models")
        .await
        .assert_error(401, 30014, "Token is invalid.");
}

#[tokio::test]
async fn a_name_that_is_no_text_is_unknown() {
    let app = App::new().await;
    let text = "Model does not exist. Please check it carefully.";
    app.get("/v1/models/%FF").await.assert_error(404, 20012, text);
}
