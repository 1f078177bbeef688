//! Models inside the process that embed and rank, through the API: against what sentence-transformers and
//! transformers say about the same folders and texts (`tools/parity`), at the contract's limits, and in the
//! ledger.

#![expect(
    clippy::print_stdout,
    reason = "how near the numbers are is a part of what is tested"
)]

mod demo;
mod limits;
mod stored;

use std::path::{Path, PathBuf};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use silica_testkit::TestServer;

use crate::support::{bare, body};
use crate::till::{booked, customer, nano, put};

/// The largest difference to the reference, as a share of its largest number.
const TOLERANCE: f64 = 1e-3;

/// The folder of a parity fixture.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../engine-candle/tests/fixtures/encode")
        .join(name)
        .canonicalize()
        .expect("the fixture")
}

/// The texts of a fixture.
fn texts(name: &str) -> Value {
    let text = std::fs::read_to_string(fixture(name).join("reference.json")).expect("reference.json");
    serde_json::from_str(&text).expect("JSON")
}

/// A tensor of a fixture: `vectors` or `scores`, number after number.
fn numbers(name: &str, tensor: &str) -> Vec<f64> {
    let bytes = std::fs::read(fixture(name).join("reference.safetensors")).expect("the reference");
    let (length, rest) = bytes.split_first_chunk::<8>().expect("a header");
    let (header, data) = rest.split_at(usize::try_from(u64::from_le_bytes(*length)).expect("a size"));
    let header: Value = serde_json::from_slice(header).expect("a header");
    let place = |index: usize| {
        let offset = header[tensor]["data_offsets"][index].as_u64();
        usize::try_from(offset.expect("an offset")).expect("a size")
    };
    let (words, _) = data[place(0)..place(1)].as_chunks::<4>();
    words
        .iter()
        .map(|word| f64::from(f32::from_le_bytes(*word)))
        .collect()
}

/// Puts a fixture into the catalogue as `test/NAME` and deploys it.
async fn serve(server: &TestServer, name: &str, sub_type: &str) -> String {
    let id = format!("test/{name}");
    let model = json!({
        "id": id, "type": "text", "sub_type": sub_type, "price": {"input": "1000", "output": "2000"},
    });
    put(server, "/models", &model).await;
    let replica = json!({"engine": "candle", "path": fixture(name)});
    let deployment = json!({"name": name, "models": [id], "replicas": [replica]});
    put(server, "/deployments", &deployment).await;
    id
}

/// The answer to a request, with its status.
async fn ask(server: &TestServer, key: &str, path: &str, request: &Value) -> (StatusCode, Value) {
    let request = server.request(Method::POST, path).bearer_auth(key).json(request);
    let response = request.send().await.expect("an answer");
    let status = response.status();
    (status, body(response).await)
}

/// As [`ask`], which must succeed.
async fn good(server: &TestServer, key: &str, path: &str, request: &Value) -> Value {
    let (status, answer) = ask(server, key, path, request).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer
}

fn vectors(answer: &Value) -> Vec<f64> {
    let data = answer["data"].as_array().expect("data");
    let vectors = data
        .iter()
        .flat_map(|item| item["embedding"].as_array().expect("a vector"));
    vectors.map(|number| number.as_f64().expect("a number")).collect()
}

fn assert_near(ours: &[f64], theirs: &[f64], what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let largest = theirs.iter().fold(0.0_f64, |most, number| most.max(number.abs()));
    let pairs = ours.iter().zip(theirs);
    let difference = pairs
        .map(|(ours, theirs)| (ours - theirs).abs())
        .fold(0.0, f64::max)
        / largest;
    println!("{what}: relative difference {difference:.1e}");
    assert!(difference < TOLERANCE, "{what}: {difference}");
}

#[tokio::test]
async fn vectors_are_those_of_the_reference_in_both_forms() {
    let server = bare().start().await;
    let who = customer(&server, "embedder", "1000").await;
    for name in ["bert-cls", "bert-mean", "xlmr-cls", "qwen3-embed"] {
        let model = serve(&server, name, "embedding").await;
        let input = texts(name)["texts"].clone();
        let mut request = json!({"model": model, "input": input, "user": "somebody"});
        let answer = good(&server, &who.key, "/v1/embeddings", &request).await;
        let expected = numbers(name, "vectors");
        assert_near(&vectors(&answer), &expected, name);
        assert_eq!(
            (&answer["object"], &answer["model"]),
            (&json!("list"), &json!(model))
        );
        let indices: Vec<u64> = (0..).take(answer["data"].as_array().unwrap().len()).collect();
        let found = answer["data"].as_array().unwrap().iter();
        assert_eq!(
            found
                .map(|item| item["index"].as_u64().unwrap())
                .collect::<Vec<_>>(),
            indices
        );
        request["encoding_format"] = "base64".into();
        let coded = good(&server, &who.key, "/embeddings", &request).await;
        assert_eq!(coded["usage"], answer["usage"]);
        let plain = answer["data"].as_array().unwrap();
        for (plain, coded) in plain.iter().zip(coded["data"].as_array().unwrap()) {
            assert_eq!(base64_of(&plain["embedding"]), coded["embedding"], "{name}");
        }
        // One text, as text and as list, is the same as among others, in every bit.
        let alone = json!({"model": model, "input": input[2]});
        let alone = good(&server, &who.key, "/v1/embeddings", &alone).await;
        assert_eq!(alone["data"][0]["embedding"], plain[2]["embedding"], "{name}");
    }
}

/// The little-endian bytes of 32-bit floats in base64.
fn base64_of(vector: &Value) -> Value {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    #[expect(clippy::cast_possible_truncation, reason = "they were 32-bit floats")]
    let number = |number: &Value| number.as_f64().unwrap() as f32;
    let numbers = vector.as_array().unwrap().iter().map(number);
    let bytes: Vec<u8> = numbers.flat_map(f32::to_le_bytes).collect();
    let mut text = String::new();
    for part in bytes.chunks(3) {
        let word = part
            .iter()
            .fold(0_usize, |word, byte| word << 8 | usize::from(*byte))
            << (8 * (3 - part.len()));
        for index in 0..4 {
            let letter = char::from(LETTERS[word >> (18 - 6 * index) & 63]);
            text.push(if index > part.len() { '=' } else { letter });
        }
    }
    text.into()
}

#[tokio::test]
async fn scores_are_those_of_the_reference_and_best_first() {
    let server = bare().start().await;
    let who = customer(&server, "ranker", "1000").await;
    for name in ["bert-rerank", "xlmr-rerank", "qwen3-rerank"] {
        let model = serve(&server, name, "reranker").await;
        let mut request = texts(name);
        request["model"] = model.into();
        request["top_n"] = Value::Null;
        let answer = good(&server, &who.key, "/v1/rerank", &request).await;
        let expected = numbers(name, "scores");
        let results = answer["results"].as_array().unwrap();
        let mut scores = vec![0.0; expected.len()];
        for result in results {
            let index = usize::try_from(result["index"].as_u64().unwrap()).unwrap();
            scores[index] = result["relevance_score"].as_f64().unwrap();
            assert!(result.get("document").is_none());
        }
        assert_near(&scores, &expected, name);
        let in_order = results.windows(2).all(|pair| {
            pair[0]["relevance_score"].as_f64().unwrap() >= pair[1]["relevance_score"].as_f64().unwrap()
        });
        assert!(in_order, "{answer}");
        let tokens = answer["meta"]["tokens"]["input_tokens"].as_u64().unwrap();
        assert!(tokens > 60, "{answer}");
        assert_eq!(answer["meta"]["billed_units"]["input_tokens"], tokens);
        assert_eq!(
            answer["tokens"],
            json!({"input_tokens": tokens, "output_tokens": 0})
        );
        assert_eq!(answer["id"].as_str().unwrap().len(), 32);
        request["top_n"] = 2.into();
        request["return_documents"] = true.into();
        let best = good(&server, &who.key, "/rerank", &request).await;
        let best = best["results"].as_array().unwrap();
        assert_eq!(best.len(), 2);
        for (best, result) in best.iter().zip(results) {
            assert_eq!(best["relevance_score"], result["relevance_score"]);
            let index = usize::try_from(best["index"].as_u64().unwrap()).unwrap();
            assert_eq!(best["document"], json!({"text": request["documents"][index]}));
        }
    }
}

#[tokio::test]
async fn calls_are_counted_and_paid_by_their_tokens() {
    let server = bare().start().await;
    let who = customer(&server, "payer", "100").await;
    let embedder = serve(&server, "bert-cls", "embedding").await;
    let ranker = serve(&server, "bert-rerank", "reranker").await;
    let calls = [
        (
            "/v1/embeddings",
            json!({"model": embedder, "input": ["the cat", "the mat"]}),
            "/usage/prompt_tokens",
        ),
        (
            "/v1/rerank",
            json!({"model": ranker, "query": "cat", "documents": ["the mat"]}),
            "/meta/tokens/input_tokens",
        ),
    ];
    let mut costs = Vec::new();
    for (path, request, counted) in &calls {
        let call = server.request(Method::POST, path).bearer_auth(&who.key);
        let call = call.header("x-trace-id", path.rsplit('/').next().unwrap());
        let answer = body(call.json(request).send().await.unwrap()).await;
        let tokens = answer.pointer(counted).unwrap().as_i64().unwrap();
        assert!(tokens > 3, "{answer}");
        // In nano-CNY: 1,000 CNY for a million tokens are a million a token.
        costs.push(tokens * 1_000_000);
    }
    let rows = booked(&server, &who, &["embeddings".to_owned(), "rerank".to_owned()]).await;
    let calls = rows.iter().filter(|row| row["kind"] == "call");
    let mut amounts: Vec<i64> = calls.map(|row| nano(&row["amount"]).abs()).collect();
    amounts.sort_unstable();
    costs.sort_unstable();
    assert_eq!(amounts, costs);
}
