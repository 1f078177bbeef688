//! The engine inside the process, seen from outside.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{MODEL, SOON, body, chat, endless_chat, server};
use crate::till::{booked, customer, nano, put, refusal};

#[tokio::test]
async fn a_prompt_that_comes_again_is_found_reported_and_cheaper() {
    let server = server().start().await;
    let model = json!({
        "id": MODEL, "type": "text", "sub_type": "chat",
        "price": {"input": "1000", "cached_input": "100", "output": "2000"},
    });
    put(&server, "/models", &model).await;
    let who = customer(&server, "returning", "100").await;
    let mut costs = Vec::new();
    for (marker, is_found) in [("first", false), ("again", true)] {
        let request = server
            .request(Method::POST, "/v1/chat/completions")
            .bearer_auth(&who.key)
            .header("x-trace-id", marker)
            .json(&chat(&"one two three ".repeat(60)));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let usage = body(response).await["usage"].clone();
        let prompt = usage["prompt_tokens"].as_i64().unwrap();
        // Blocks of 16; the last token is always computed.
        let found = if is_found { (prompt - 1) / 16 * 16 } else { 0 };
        assert!(prompt > 100, "{usage}");
        assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], found);
        assert_eq!(usage["prompt_cache_hit_tokens"], found);
        assert_eq!(usage["prompt_cache_miss_tokens"], prompt - found);
        let completion = usage["completion_tokens"].as_i64().unwrap();
        // In nano-CNY: 1,000 CNY for a million tokens are a million a token.
        costs.push((prompt - found) * 1_000_000 + found * 100_000 + completion * 2_000_000);
    }
    let rows = booked(&server, &who, &["first".to_owned(), "again".to_owned()]).await;
    let calls = rows.iter().filter(|row| row["kind"] == "call");
    let mut amounts: Vec<i64> = calls.map(|row| nano(&row["amount"]).abs()).collect();
    amounts.sort_unstable();
    costs.sort_unstable();
    assert_eq!(amounts, costs);
    assert!(server.metric("silica_engine_prefix_tokens_total").await > 0.0);
}

#[tokio::test]
async fn a_full_engine_refuses_at_once_and_keeps_what_it_has() {
    let server = server()
        .config("[engine]\nmax_sequences = 1\nmax_waiting = 1\n")
        .start()
        .await;
    let key = server.api_key();
    let mut running = server.chat(&key, &endless_chat(1)).await;
    assert!(running.chunk().await.unwrap().is_some());
    let (waits, asked) = (chat("Hello"), chat("Hello"));
    let waiting = server.chat(&key, &waits);
    let refused = async {
        server
            .metric_until("silica_engine_waiting", SOON, |count| count >= 1.0)
            .await;
        for _ in 0..3 {
            let refused = refusal(server.chat(&key, &asked).await).await;
            assert_eq!(refused, (503, Value::from(50505)));
        }
        assert!(running.chunk().await.unwrap().is_some(), "it still runs");
        drop(running);
    };
    let (answer, ()) = tokio::join!(waiting, refused);
    assert_eq!(answer.status(), StatusCode::OK, "its turn comes");
}
