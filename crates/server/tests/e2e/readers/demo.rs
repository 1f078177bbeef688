//! The demo models that embed and rank: that they know what they were trained for.

use serde_json::{Value, json};
use silica_testkit::TestServer;

use super::{good, vectors};
use crate::support::{body, server};

fn cosine(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(left, right)| left * right).sum()
}

const ASKED: &str = "How do I make a new API key?";
const PARAPHRASE: &str = "How can I create another API key?";
const UNRELATED: &str = "The weather is nice today.";

/// The one model of a kind that a first start has put into the catalogue.
async fn listed(server: &TestServer, sub_type: &str) -> Value {
    let path = format!("/v1/models?sub_type={sub_type}");
    let listed = body(server.get(&path, &server.api_key()).await).await;
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(1), "{listed}");
    listed["data"][0]["id"].clone()
}

#[tokio::test]
async fn the_embedder_puts_a_paraphrase_nearer_than_an_unrelated_sentence() {
    let server = server().start().await;
    assert_eq!(listed(&server, "chat").await, "silica/tiny-chat");
    assert_eq!(listed(&server, "embedding").await, "silica/tiny-embed");
    let request = json!({"model": "silica/tiny-embed", "input": [ASKED, PARAPHRASE, UNRELATED]});
    let answer = good(&server, &server.api_key(), "/v1/embeddings", &request).await;
    let all = vectors(&answer);
    let vectors: Vec<&[f64]> = all.chunks(all.len() / 3).collect();
    assert!((cosine(vectors[0], vectors[0]) - 1.0).abs() < 1e-4);
    let (near, far) = (cosine(vectors[0], vectors[1]), cosine(vectors[0], vectors[2]));
    println!("silica/tiny-embed: {ASKED:?} is {near:.3} to {PARAPHRASE:?} and {far:.3} to {UNRELATED:?}");
    assert!(near > far + 0.3, "{near} and {far}");
}

#[tokio::test]
async fn the_ranker_puts_a_paraphrase_before_an_unrelated_sentence() {
    let server = server().start().await;
    assert_eq!(listed(&server, "reranker").await, "silica/tiny-rerank");
    let request = json!({
        "model": "silica/tiny-rerank", "query": ASKED, "documents": [UNRELATED, PARAPHRASE],
    });
    let answer = good(&server, &server.api_key(), "/v1/rerank", &request).await;
    println!("silica/tiny-rerank: {}", answer["results"]);
    assert_eq!(answer["results"][0]["index"], 1, "{answer}");
}
