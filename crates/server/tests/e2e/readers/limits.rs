//! The limits of contract sections 6 and 7, with their codes and texts.

use reqwest::StatusCode;
use serde_json::{Value, json};
use silica_testkit::TestServer;

use super::{ask, good, serve};
use crate::support::bare;
use crate::till::{Customer, customer};

/// The context of the fixtures, and what is said of a text that is longer.
const TOO_LONG: &str = "input must have less than 128 tokens";
const INVALID: &str = "The parameter is invalid. Please check again.";

async fn world(name: &str) -> (TestServer, Customer) {
    let server = bare().start().await;
    let who = customer(&server, name, "1000").await;
    (server, who)
}

/// Checks status, code and text of refusals.
async fn assert_refused(server: &TestServer, key: &str, path: &str, cases: Vec<(Value, u16, u32, &str)>) {
    for (request, status, code, text) in cases {
        let (found, answer) = ask(server, key, path, &request).await;
        assert_eq!(
            (
                found.as_u16(),
                &answer["code"],
                &answer["message"],
                &answer["data"]
            ),
            (status, &json!(code), &json!(text), &Value::Null),
            "{}",
            request.to_string().chars().take(200).collect::<String>()
        );
    }
}

#[tokio::test]
async fn embeddings_at_their_limits() {
    let (server, who) = world("embedder").await;
    let bert = serve(&server, "bert-cls", "embedding").await;
    let qwen3 = serve(&server, "qwen3-embed", "embedding").await;
    // 126 words, and the two tokens around them.
    let longest = "cat ".repeat(126);
    let request = json!({"model": bert, "input": [longest, "cat"]});
    let answer = good(&server, &who.key, "/v1/embeddings", &request).await;
    assert_eq!(
        answer["usage"],
        json!({"prompt_tokens": 131, "completion_tokens": 0, "total_tokens": 131})
    );
    let request = json!({"model": bert, "input": vec!["cat"; 32]});
    let answer = good(&server, &who.key, "/v1/embeddings", &request).await;
    assert_eq!(answer["data"].as_array().unwrap().len(), 32);
    for (dimensions, length) in [(Value::Null, 128), (json!(64), 64), (json!(128), 128)] {
        let request = json!({"model": qwen3, "input": "cat", "dimensions": dimensions});
        let answer = good(&server, &who.key, "/v1/embeddings", &request).await;
        let vector = answer["data"][0]["embedding"].as_array().unwrap();
        let squares = vector.iter().map(|number| number.as_f64().unwrap().powi(2));
        assert!((squares.sum::<f64>() - 1.0).abs() < 1e-4);
        assert_eq!(vector.len(), length);
    }
    let (one_more, book) = ("cat ".repeat(127), "the cat sat on the mat. ".repeat(20_000));
    let batch = "input batch size 33 > maximum allowed batch size 32";
    let cases = vec![
        (json!({"model": bert, "input": one_more}), 413, 20042, TOO_LONG),
        (
            json!({"model": bert, "input": ["cat", book]}),
            413,
            20042,
            TOO_LONG,
        ),
        (
            json!({"model": qwen3, "input": book}),
            413,
            20042,
            "input must have less than 256 tokens",
        ),
        (
            json!({"model": bert, "input": vec!["cat"; 33]}),
            413,
            20042,
            batch,
        ),
        (
            json!({"model": bert, "input": "cat", "dimensions": 48}),
            400,
            20015,
            INVALID,
        ),
        (
            json!({"model": bert, "input": "cat", "dimensions": 64}),
            400,
            20015,
            INVALID,
        ),
        (
            json!({"model": qwen3, "input": "cat", "dimensions": 63}),
            400,
            20015,
            INVALID,
        ),
        (
            json!({"model": qwen3, "input": "cat", "dimensions": 256}),
            400,
            20015,
            INVALID,
        ),
        (
            json!({"model": bert, "input": ["cat", ""]}),
            400,
            20015,
            "input.1: String should have at least 1 character",
        ),
    ];
    assert_refused(&server, &who.key, "/v1/embeddings", cases).await;
}

#[tokio::test]
async fn rerank_at_its_limits() {
    let (server, who) = world("ranker").await;
    let bert = serve(&server, "bert-rerank", "reranker").await;
    let qwen3 = serve(&server, "qwen3-rerank", "reranker").await;
    let long = "the cat sat on the mat ".repeat(100);
    let rank = |model: &str, documents: Value, more: Value| {
        let mut request = json!({"model": model, "query": "cat", "documents": documents});
        for (name, value) in more.as_object().unwrap() {
            request[name] = value.clone();
        }
        request
    };
    // 600 words beside a query of one and the frame's three: pieces of 124.
    let tokens = |answer: &Value| answer["meta"]["tokens"]["input_tokens"].as_u64().unwrap();
    let whole = rank(&bert, json!([long]), json!({"overlap_tokens": 0}));
    let whole = good(&server, &who.key, "/v1/rerank", &whole).await;
    assert_eq!(tokens(&whole), 600 + 5 * 4);
    let shared = rank(
        &bert,
        json!([long]),
        json!({"overlap_tokens": 24, "max_chunks_per_doc": 6}),
    );
    let shared = good(&server, &who.key, "/v1/rerank", &shared).await;
    assert_eq!(tokens(&shared), 600 + 5 * 24 + 6 * 4);
    // The score is the best piece's, in every bit.
    let words: Vec<&str> = long.split_whitespace().collect();
    let pieces: Vec<String> = words.chunks(124).map(|words| words.join(" ")).collect();
    let apart = rank(&bert, json!(pieces), json!({}));
    let apart = good(&server, &who.key, "/v1/rerank", &apart).await;
    let score = |answer: &Value| answer["results"][0]["relevance_score"].clone();
    assert_eq!(score(&whole), score(&apart));
    let told = rank(&qwen3, json!(["cat"]), json!({"instruction": "Find cats"}));
    let usual = rank(&qwen3, json!(["cat"]), json!({"instruction": null}));
    let (told, usual) = (
        good(&server, &who.key, "/v1/rerank", &told).await,
        good(&server, &who.key, "/v1/rerank", &usual).await,
    );
    assert!(
        tokens(&told) < tokens(&usual),
        "the instruction is a part of the question"
    );

    let at_least_one = "List should have at least 1 item after validation";
    let cases = vec![
        (rank(&bert, json!([]), json!({})), 400, 20015, at_least_one),
        (
            rank(&bert, json!(["cat", long]), json!({"max_chunks_per_doc": 1})),
            413,
            20042,
            TOO_LONG,
        ),
        (
            rank(&qwen3, json!(["cat", long]), json!({})),
            413,
            20042,
            "input must have less than 256 tokens",
        ),
        (
            json!({"model": bert, "query": long, "documents": ["cat"]}),
            413,
            20042,
            TOO_LONG,
        ),
        (
            rank(&bert, json!(["cat"]), json!({"overlap_tokens": 81})),
            400,
            20015,
            "overlap_tokens: Input should be less than or equal to 80",
        ),
    ];
    assert_refused(&server, &who.key, "/v1/rerank", cases).await;
    let (status, answer) = ask(
        &server,
        &who.key,
        "/v1/embeddings",
        &json!({"model": bert, "input": "cat"}),
    )
    .await;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::BAD_REQUEST, &json!(20012)),
        "{answer}"
    );
}
