//! The tokens of images, by the rule of each family of models: before a call, and after one of an engine that
//! does not count.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use silica_testkit::{TestServer, Upstream, UpstreamScript, UsageFrames};

use crate::support::{bare, body};
use crate::till::{Customer, booked, customer, nano, put};

/// A model of each family, by its rule or by its well-known name, and what an image of 1024 x 1024 takes in
/// high and in low detail (contract platform.md, section 3).
const FAMILIES: [(&str, Option<&str>, u64, u64); 6] = [
    ("test/qwen", Some("qwen-vl"), 1369, 256),
    ("test/intern", Some("internvl2"), 2560, 256),
    ("test/deepseek", Some("deepseek-vl2"), 2017, 421),
    ("Pro/Qwen/Qwen2-VL-7B-Instruct", None, 1369, 256),
    ("OpenGVLab/InternVL2-26B", None, 2560, 256),
    ("deepseek-ai/deepseek-vl2", None, 2017, 421),
];

/// The head of a PNG file of 1024 x 1024 pixels, in an address of its own.
const IMAGE: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAABAAAAAQACAYAAAB/HSuD";

async fn shop(upstream: &Upstream) -> (TestServer, Customer) {
    let server = bare().start().await;
    let price = json!({"input": "1000", "output": "2000"});
    for (id, rule, ..) in FAMILIES {
        let mut model =
            json!({"id": id, "type": "text", "sub_type": "chat", "features": ["vision"], "price": price});
        if let Some(rule) = rule {
            model["vision"] = rule.into();
        }
        let stored = put(&server, "/models", &model).await;
        assert_eq!(stored["vision"], json!(rule));
    }
    let names: Vec<&str> = FAMILIES.iter().map(|(id, ..)| *id).collect();
    let deployment = json!({"name": "seeing", "models": names, "replicas": [{
        "engine": "openai", "url": upstream.base_url(), "upstream_model": "scripted", "allow_private": true, "health_path": "",
    }]});
    put(&server, "/deployments", &deployment).await;
    let customer = customer(&server, "seeing", "1000").await;
    (server, customer)
}

/// A chat with images, each an address and a wish for detail.
fn chat(model: &str, images: &[(&str, Option<&str>)]) -> Value {
    let images = images.iter().map(|(url, detail)| {
        let mut image = json!({"url": url});
        if let Some(detail) = detail {
            image["detail"] = (*detail).into();
        }
        json!({"type": "image_url", "image_url": image})
    });
    let text = json!({"type": "text", "text": "What is it?"});
    let content: Vec<Value> = images.chain([text]).collect();
    json!({"model": model, "max_tokens": 10, "messages": [{"role": "user", "content": content}]})
}

/// The tokens of a chat's prompt: those that are likely, and those that are reserved.
async fn estimated(server: &TestServer, customer: &Customer, request: &Value) -> (u64, u64) {
    let asked = json!({"endpoint": "/v1/chat/completions", "request": request});
    let sending = server
        .request(Method::POST, "/v1/estimate")
        .bearer_auth(&customer.key);
    let response = sending.json(&asked).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let told = body(response).await;
    let tokens = |way: &str| told[way]["prompt_tokens"].as_u64().expect("a number");
    (tokens("likely"), tokens("reserved"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_estimate_counts_images_as_the_contract_does() {
    let upstream = Upstream::start().await;
    let (server, customer) = shop(&upstream).await;
    for (model, _, high, low) in FAMILIES {
        let estimate = async |images: &[(&str, Option<&str>)]| {
            let (likely, most) = estimated(&server, &customer, &chat(model, images)).await;
            let (without, most_without) = estimated(&server, &customer, &chat(model, &[])).await;
            // The body's own words around an image are text in what is reserved, a few bytes.
            (likely - without, most.saturating_sub(most_without))
        };
        let near = |tokens: u64| tokens..tokens + 100;
        let (likely, most) = estimate(&[(IMAGE, Some("high"))]).await;
        assert_eq!(likely, high, "{model}");
        assert!(near(high).contains(&most), "{model}: {most}");
        assert_eq!(estimate(&[(IMAGE, None)]).await.0, high, "{model}");
        let (likely, most) = estimate(&[(IMAGE, Some("low"))]).await;
        assert_eq!(likely, low, "{model}");
        assert!(
            near(high).contains(&most),
            "{model}: an engine may not obey: {most}"
        );
        let (likely, most) = estimate(&[("https://example.org/a.png", None)]).await;
        assert_eq!(likely, high, "{model}: of a usual size");
        assert!(most >= likely, "{model}: {most}");
        let three = [(IMAGE, Some("high")); 3];
        let each = if high == 2017 { low } else { high };
        assert_eq!(estimate(&three).await.0, 3 * each, "{model}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_reports_nothing_is_billed_by_the_rule() {
    let script = UpstreamScript {
        usage: UsageFrames::None,
        ..UpstreamScript::default()
    };
    let upstream = Upstream::start_with(script).await;
    let (server, customer) = shop(&upstream).await;
    let mut markers = Vec::new();
    for stream in [true, false] {
        let mut costs = Vec::new();
        for detail in ["high", "low"] {
            let marker = format!("{detail}-{stream}");
            let mut request = chat("test/intern", &[(IMAGE, Some(detail))]);
            request["stream"] = stream.into();
            let sending = server.request(Method::POST, "/v1/chat/completions");
            let sending = sending.bearer_auth(&customer.key).header("x-trace-id", &marker);
            let response = sending.json(&request).send().await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            response.text().await.unwrap();
            markers.push(marker.clone());
            let rows = booked(&server, &customer, &markers).await;
            let row = rows
                .into_iter()
                .find(|row| row["trace_id"] == marker.as_str())
                .unwrap();
            costs.push(-nano(&row["amount"]));
        }
        // Nothing else differs between the two.
        assert_eq!(costs[0] - costs[1], (2560 - 256) * 1_000_000, "{costs:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_is_for_models_that_see() {
    let server = bare().start().await;
    let model = json!({"id": "m", "type": "text", "sub_type": "chat", "vision": "qwen-vl"});
    let (status, told) = server.admin(Method::PUT, "/models", Some(&model)).await;
    assert_eq!(status, 400, "{told}");
    let model =
        json!({"id": "m", "type": "text", "sub_type": "chat", "features": ["vision"], "vision": "other"});
    let (status, told) = server.admin(Method::PUT, "/models", Some(&model)).await;
    assert_eq!(status, 400, "{told}");
}
