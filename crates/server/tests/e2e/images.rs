//! Images in the dialects that are translated: what the engine elsewhere is sent.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use silica_testkit::{TestServer, Upstream};

use crate::support::{bare, body};
use crate::till::put;

const SEES: &str = "test/sees";
const BLIND: &str = "test/blind";
const ADDRESS: &str = "https://example.org/a.png";

/// A server with a model that takes images and one that does not, both on the engine.
async fn with_models(upstream: &Upstream) -> TestServer {
    let server = bare().start().await;
    let seeing = json!({"id": SEES, "type": "text", "sub_type": "chat", "features": ["vision", "tools"]});
    let blind = json!({"id": BLIND, "type": "text", "sub_type": "chat", "features": []});
    for model in [seeing, blind] {
        put(&server, "/models", &model).await;
    }
    let deployment = json!({"name": "scripted", "models": [SEES, BLIND], "replicas": [{
        "engine": "openai", "url": upstream.base_url(), "allow_private": true, "health_path": "",
    }]});
    put(&server, "/deployments", &deployment).await;
    server
}

async fn answer(server: &TestServer, path: &str, request: &Value) -> (StatusCode, Value) {
    let request = server
        .request(Method::POST, path)
        .bearer_auth(server.api_key())
        .json(request);
    let response = request.send().await.unwrap();
    (response.status(), body(response).await)
}

/// The messages of the only request that the engine was sent.
fn sent(upstream: &Upstream) -> Value {
    let requests = upstream.requests();
    assert_eq!(requests.len(), 1);
    requests[0].body["messages"].clone()
}

#[tokio::test]
async fn images_of_messages_reach_the_engine_where_they_stand() {
    let upstream = Upstream::start().await;
    let server = with_models(&upstream).await;
    let by_address = json!({"type": "image", "source": {"type": "url", "url": ADDRESS}});
    let whole =
        json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAEC"}});
    let text = |text: &str| json!({"type": "text", "text": text});
    let request = json!({"model": SEES, "max_tokens": 5, "messages": [
        {"role": "user", "content": [text("Look at"), by_address, text("and"), text("this:"), whole]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": [whole]}]},
    ]});
    let (status, answer) = answer(&server, "/v1/messages", &request).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let image = |url: &str| json!({"type": "image_url", "image_url": {"url": url}});
    let data = "data:image/png;base64,AAEC";
    let messages = sent(&upstream);
    assert_eq!(
        messages[0]["content"],
        json!([text("Look at"), image(ADDRESS), text("and\nthis:"), image(data)])
    );
    assert_eq!(messages[2]["content"], json!([image(data)]));
    assert_eq!(messages[2]["tool_call_id"], "c");
}

#[tokio::test]
async fn images_of_responses_reach_the_engine_with_their_detail() {
    let upstream = Upstream::start().await;
    let server = with_models(&upstream).await;
    let request = json!({"model": SEES, "input": [{"role": "user", "content": [
        {"type": "input_image", "detail": "low", "image_url": ADDRESS},
        {"type": "input_text", "text": "What is it?"},
    ]}]});
    let (status, answer) = answer(&server, "/v1/responses", &request).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(
        sent(&upstream)[0]["content"],
        json!([
            {"type": "image_url", "image_url": {"url": ADDRESS, "detail": "low"}},
            {"type": "text", "text": "What is it?"},
        ])
    );
}

#[tokio::test]
async fn models_that_do_not_see_and_images_that_are_none_are_refused() {
    let upstream = Upstream::start().await;
    let server = with_models(&upstream).await;
    let messages = |model: &str, source: Value| {
        let content = json!([{"type": "image", "source": source}]);
        json!({"model": model, "max_tokens": 5, "messages": [{"role": "user", "content": content}]})
    };
    let base64 = |kind: &str, data: &str| json!({"type": "base64", "media_type": kind, "data": data});
    for (model, source, code, told) in [
        (BLIND, json!({"type": "url", "url": ADDRESS}), 20041, "not a VLM"),
        (
            SEES,
            base64("image/png", "AAE"),
            20015,
            "source.data: Input should be valid base64",
        ),
        (
            SEES,
            base64("image/tiff", "AAEC"),
            20015,
            "source.media_type: Input should be 'image/jpeg'",
        ),
        (
            SEES,
            json!({"type": "file", "file_id": "file-1"}),
            20015,
            "no files are stored here",
        ),
    ] {
        let (status, answer) = answer(&server, "/v1/messages", &messages(model, source)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
        assert_eq!(answer["code"], code, "{answer}");
        assert!(answer["message"].as_str().unwrap().contains(told), "{answer}");
    }
    let detail = json!({"type": "input_image", "detail": "huge", "image_url": ADDRESS});
    let request = json!({"model": SEES, "input": [{"role": "user", "content": [detail]}]});
    let (_, answer) = answer(&server, "/v1/responses", &request).await;
    assert!(
        answer["message"]
            .as_str()
            .unwrap()
            .contains("detail: Input should be 'auto'"),
        "{answer}"
    );
    assert!(upstream.requests().is_empty(), "nothing was sent");
}
