//! Answers that are no words: vectors and ranks, the same for the same text.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::UpstreamScript;

/// The length of a vector when the request says none.
const DIMENSIONS: usize = 8;

/// The vector of a text: small, and the same in every run.
pub fn scripted_embedding(text: &str, dimensions: usize) -> Vec<f32> {
    let hash = |position: usize| {
        let bytes = text.bytes().chain(position.to_le_bytes());
        bytes.fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        })
    };
    // Sixteen bits, so that the number is exact; from -1 to just below 1.
    let number = |position| f32::from((hash(position) >> 16) as u16) / 32_768.0 - 1.0;
    (0..dimensions).map(number).collect()
}

pub(super) fn embeddings(script: &UpstreamScript, request: &Value) -> Value {
    let dimensions = request.get("dimensions").and_then(Value::as_u64);
    let dimensions = dimensions.map_or(DIMENSIONS, |number| usize::try_from(number).unwrap_or(DIMENSIONS));
    let is_base64 = request.get("encoding_format").and_then(Value::as_str) == Some("base64");
    let data = inputs(request).into_iter().enumerate().map(|(index, text)| {
        let vector = scripted_embedding(&text, dimensions);
        let embedding = if is_base64 {
            let bytes: Vec<u8> = vector.into_iter().flat_map(f32::to_le_bytes).collect();
            STANDARD.encode(bytes).into()
        } else {
            json!(vector)
        };
        json!({"object": "embedding", "index": index, "embedding": embedding})
    });
    let mut whole = json!({
        "id": script.marker,
        "object": "list",
        "data": data.collect::<Value>(),
        "model": request["model"],
    });
    add_usage(script, &mut whole);
    whole
}

pub(super) fn rerank(script: &UpstreamScript, request: &Value) -> Value {
    let query = words(request["query"].as_str().unwrap_or_default());
    let documents = request["documents"].as_array().cloned().unwrap_or_default();
    let with_text = request["return_documents"] == Value::Bool(true);
    let mut results: Vec<(usize, f64, &str)> = documents
        .iter()
        .enumerate()
        .map(|(index, document)| {
            let text = document.as_str().or_else(|| document.get("text")?.as_str());
            let text = text.unwrap_or_default();
            (index, likeness(&query, &words(text)), text)
        })
        .collect();
    results.sort_by(|left, right| right.1.total_cmp(&left.1).then(left.0.cmp(&right.0)));
    let most = request["top_n"]
        .as_u64()
        .and_then(|most| usize::try_from(most).ok());
    let results = results
        .into_iter()
        .take(most.unwrap_or(usize::MAX))
        .map(|(index, score, text)| {
            let mut result = json!({"index": index, "relevance_score": score});
            if with_text {
                result["document"] = json!({"text": text});
            }
            result
        });
    let mut whole = json!({
        "id": script.marker,
        "model": request["model"],
        "results": results.collect::<Value>(),
    });
    add_usage(script, &mut whole);
    whole
}

fn add_usage(script: &UpstreamScript, whole: &mut Value) {
    use super::UsageFrames::{Every, Finish, Last, None, Null};
    match script.usage {
        Last | Every | Finish => {
            whole["usage"] = json!({"prompt_tokens": script.prompt, "total_tokens": script.prompt});
        }
        Null => whole["usage"] = Value::Null,
        None => {}
    }
}

/// The texts of a request; tokens stand for themselves.
fn inputs(request: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match request.get("input") {
        Some(Value::Array(items)) if !items.iter().all(Value::is_number) => items.iter().map(text).collect(),
        Some(input) => vec![text(input)],
        None => Vec::new(),
    }
}

fn words(text: &str) -> BTreeSet<&str> {
    text.split_whitespace().collect()
}

/// The share of the words that both have; the counts are small enough for a float.
fn likeness(left: &BTreeSet<&str>, right: &BTreeSet<&str>) -> f64 {
    let count = |words: usize| f64::from(u32::try_from(words).unwrap_or(u32::MAX));
    let both = left.intersection(right).count();
    let all = left.union(right).count().max(1);
    count(both) / count(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_has_its_own_vector_that_stays() {
        let vector = scripted_embedding("a", 3);
        assert_eq!(vector, scripted_embedding("a", 3));
        assert_ne!(vector, scripted_embedding("b", 3));
        assert!(vector.iter().all(|number| (-1.0..1.0).contains(number)));
    }

    #[test]
    fn the_document_that_is_most_alike_comes_first() {
        let request = json!({"query": "a b", "documents": ["c", "a b c", {"text": "a b"}], "top_n": 2});
        let whole = rerank(&UpstreamScript::default(), &request);
        let order: Vec<_> = whole["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| &it["index"])
            .collect();
        assert_eq!(order, [2, 1]);
    }
}
