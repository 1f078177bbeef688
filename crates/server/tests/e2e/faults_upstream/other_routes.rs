//! The same faults below the other routes.

use serde_json::{Value, json};
use silica_testkit::UpstreamFault;

use super::pair::{Replica, Shop, Told, frames, good, parse};

/// What ten tokens of prompt cost, in nano-CNY.
const PROMPT_ALONE: i64 = 10_000_000;

const FAULTS: [(&str, UpstreamFault); 11] = [
    ("too-many-requests", UpstreamFault::Status(429)),
    ("unavailable", UpstreamFault::Status(503)),
    ("unauthorised", UpstreamFault::Status(401)),
    ("wrong-content-type", UpstreamFault::Html),
    ("empty-body", UpstreamFault::Empty),
    ("truncated-json", UpstreamFault::Truncate(0)),
    ("no-json", UpstreamFault::Garble(0)),
    ("error-object", UpstreamFault::Report(0)),
    ("cut", UpstreamFault::Cut(0)),
    ("never-answered", UpstreamFault::Hang),
    ("decompression-bomb", UpstreamFault::Bomb),
];

/// A route, what is asked of it, and what its answer must have.
struct Route {
    path: &'static str,
    name: &'static str,
    sub_type: &'static str,
    body: Value,
    price: i64,
    is_right: fn(&Told) -> bool,
}

fn routes() -> Vec<Route> {
    const WHOLE: i64 = crate::till::CALL_COST;
    vec![
        Route {
            path: "/v1/completions",
            name: "completions",
            sub_type: "chat",
            body: json!({"prompt": "hello", "max_tokens": 1000}),
            price: WHOLE,
            is_right: |told| parse(&told.text)["choices"][0]["text"] == "t0 t1 t2 t3 t4 ",
        },
        Route {
            path: "/v1/completions",
            name: "completions-stream",
            sub_type: "chat",
            body: json!({"prompt": "hello", "max_tokens": 1000, "stream": true}),
            price: WHOLE,
            is_right: |told| {
                let frames = frames(&told.text);
                let texts = frames.iter().filter(|frame| *frame != "[DONE]").map(|frame| {
                    let choice = &parse(frame)["choices"][0];
                    choice["text"].as_str().unwrap_or_default().to_owned()
                });
                texts.collect::<String>() == "t0 t1 t2 t3 t4 "
                    && frames.last().is_some_and(|last| last == "[DONE]")
            },
        },
        Route {
            path: "/v1/messages",
            name: "messages",
            sub_type: "chat",
            body: json!({"messages": [{"role": "user", "content": "hello"}], "max_tokens": 1000}),
            price: WHOLE,
            is_right: |told| parse(&told.text)["content"][0]["text"] == "t0 t1 t2 t3 t4 ",
        },
        Route {
            path: "/v1/messages",
            name: "messages-stream",
            sub_type: "chat",
            body: json!({
                "messages": [{"role": "user", "content": "hello"}],
                "max_tokens": 1000,
                "stream": true,
            }),
            price: WHOLE,
            is_right: |told| told.text.contains("t4 ") && told.text.contains("event: message_stop"),
        },
        Route {
            path: "/v1/responses",
            name: "responses",
            sub_type: "chat",
            body: json!({"input": "hello", "max_output_tokens": 1000}),
            price: WHOLE,
            is_right: |told| {
                let answer = parse(&told.text);
                answer["status"] == "completed"
                    && answer["output"][0]["content"][0]["text"] == "t0 t1 t2 t3 t4 "
            },
        },
        Route {
            path: "/v1/responses",
            name: "responses-stream",
            sub_type: "chat",
            body: json!({"input": "hello", "max_output_tokens": 1000, "stream": true}),
            price: WHOLE,
            is_right: |told| told.text.contains("t4 ") && told.text.contains("event: response.completed"),
        },
        Route {
            path: "/v1/embeddings",
            name: "embeddings",
            sub_type: "embedding",
            body: json!({"input": "hello"}),
            price: PROMPT_ALONE,
            is_right: |told| parse(&told.text)["data"][0]["embedding"].as_array().map(Vec::len) == Some(8),
        },
        Route {
            path: "/v1/rerank",
            name: "rerank",
            sub_type: "reranker",
            body: json!({"query": "a b", "documents": ["c", "a b"]}),
            price: PROMPT_ALONE,
            is_right: |told| parse(&told.text)["results"][0]["index"] == 1,
        },
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_below_any_route_moves_the_call_and_is_paid_once() {
    let shop = Shop::open().await;
    for route in routes() {
        for (name, fault) in FAULTS {
            let (first, second) = (Replica::with(fault).await, good().await);
            let model = format!("{}/{name}", route.name);
            shop.deploy_as(&model, route.sub_type, &[&first, &second]).await;
            let mut body = route.body.clone();
            body["model"] = model.as_str().into();
            let told = shop.post(route.path, &model, &body).await;
            assert_eq!(told.status, 200, "{model}: {told:?}");
            assert!((route.is_right)(&told), "{model}: {told:?}");
            assert_eq!((first.calls(), second.calls()), (1, 1), "{model}");
            shop.due_exactly(&model, route.price);
        }
    }
    shop.is_paid().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_the_request_below_any_route_is_the_clients() {
    let shop = Shop::open().await;
    for route in routes() {
        let (first, second) = (Replica::with(UpstreamFault::Status(422)).await, good().await);
        let model = format!("{}/client", route.name);
        shop.deploy_as(&model, route.sub_type, &[&first, &second]).await;
        let mut body = route.body.clone();
        body["model"] = model.as_str().into();
        let told = shop.post(route.path, &model, &body).await;
        assert_eq!(told.status, 400, "{model}: {told:?}");
        assert_eq!((first.calls(), second.calls()), (1, 0), "{model}");
    }
    shop.is_paid().await;
}
