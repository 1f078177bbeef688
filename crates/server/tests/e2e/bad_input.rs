//! Bad requests: each answered at once, none of them in the log, and the server goes on.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use silica_testkit::TestServer;

use crate::support::{MODEL, body, chat, server};

/// Stands in every bad body and may stand in no log line.
const MARK: &str = "XYZZY";

/// How long a refusal may take. The promise of one second is for the optimised binary; without
/// optimisation, and beside other tests, twice as long is allowed.
const LIMIT: Duration = if cfg!(debug_assertions) {
    Duration::from_secs(2)
} else {
    Duration::from_secs(1)
};

struct Case {
    name: &'static str,
    body: Vec<u8>,
    status: u16,
    code: i64,
    message: &'static str,
}

fn case(name: &'static str, body: impl Into<Vec<u8>>, status: u16, code: i64, message: &'static str) -> Case {
    Case {
        name,
        body: body.into(),
        status,
        code,
        message,
    }
}

fn with_fields(fields: &str) -> String {
    format!(r#"{{"model":"{MODEL}","messages":[{{"role":"user","content":"{MARK}"}}],{fields}}}"#)
}

fn cases() -> Vec<Case> {
    let message = format!(r#"{{"role":"user","content":"{MARK}"}}"#);
    let mut invalid_utf8 = with_fields(r#""user":"?""#).into_bytes();
    let position = invalid_utf8.iter().position(|byte| *byte == b'?').unwrap();
    invalid_utf8[position] = 0xff;
    let nested = format!(
        r#"{{"model":"{MODEL}","messages":{}"#,
        "[".repeat(10 * 1024 * 1024)
    );
    let long = format!(
        r#"{{"model":"{MODEL}","messages":[{{"role":"user","content":"{}"}}]}}"#,
        "word ".repeat(20_000)
    );
    vec![
        case("no JSON", MARK, 400, 20015, ""),
        case("an empty body", "", 400, 20015, ""),
        case(
            "missing model",
            format!(r#"{{"messages":[{message}]}}"#),
            400,
            20013,
            "model",
        ),
        case(
            "unknown model",
            format!(r#"{{"model":"no/{MARK}","messages":[{message}]}}"#),
            400,
            20012,
            "Model does not exist",
        ),
        case(
            "missing messages",
            format!(r#"{{"model":"{MODEL}"}}"#),
            400,
            20014,
            "messages",
        ),
        case(
            "empty messages",
            format!(r#"{{"model":"{MODEL}","messages":[]}}"#),
            400,
            20014,
            "",
        ),
        case(
            "a text as messages",
            format!(r#"{{"model":"{MODEL}","messages":"{MARK}"}}"#),
            400,
            20015,
            "messages",
        ),
        case(
            "a text as max_tokens",
            with_fields(r#""max_tokens":"five""#),
            400,
            20015,
            "max_tokens: Input should be a valid integer",
        ),
        case(
            "a list as temperature",
            with_fields(r#""temperature":[1]"#),
            400,
            20015,
            "temperature",
        ),
        case("too many choices", with_fields(r#""n":21"#), 400, 20081, ""),
        case("a bad top_k", with_fields(r#""top_k":1000"#), 400, 20060, ""),
        case("invalid UTF-8", invalid_utf8, 400, 20015, ""),
        case("10 MB of nested JSON", nested, 400, 20015, ""),
        case(
            "a prompt beyond the context",
            long,
            400,
            20015,
            "must be less than max_seq_len (2048)",
        ),
        case("an oversized body", vec![b' '; 17 * 1024 * 1024], 413, 20042, ""),
    ]
}

async fn post(server: &TestServer, api_key: &str, bytes: Vec<u8>) -> (u16, serde_json::Value, Duration) {
    let request = server
        .request(Method::POST, "/v1/chat/completions")
        .bearer_auth(api_key);
    let started = Instant::now();
    let response = request
        .header("content-type", "application/json")
        .body(bytes)
        .send()
        .await
        .expect("an answer");
    let status = response.status().as_u16();
    let body = body(response).await;
    (status, body, started.elapsed())
}

#[tokio::test]
async fn bad_bodies_get_their_codes_at_once() {
    let server = server().start().await;
    let api_key = server.api_key();
    for case in cases() {
        let (status, body, elapsed) = post(&server, &api_key, case.body).await;
        let name = case.name;
        assert_eq!(
            (status, body["code"].as_i64()),
            (case.status, Some(case.code)),
            "{name}: {body}"
        );
        assert!(
            body["message"].as_str().unwrap().contains(case.message),
            "{name}: {body}"
        );
        assert!(body["data"].is_null(), "{name}: {body}");
        assert!(elapsed < LIMIT, "{name} took {elapsed:?}");
    }
    let answer = server.chat(&api_key, &chat("What is 1 + 2?")).await;
    assert_eq!(answer.status(), StatusCode::OK, "the server goes on");
    let log = server.log();
    assert!(
        !log.contains(MARK) && !log.contains("word word"),
        "contents in the log: {log}"
    );
    assert!(
        log.lines().filter(|line| line.contains("refused")).count() >= 10,
        "a line for each refusal: {log}"
    );
}

#[tokio::test]
async fn wrong_and_missing_keys_are_refused() {
    let server = server().start().await;
    let response = server.chat("sk-wrong-XYZZY", &chat("Hello")).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(
        response.headers()["www-authenticate"]
            .to_str()
            .unwrap()
            .starts_with("Bearer")
    );
    assert_eq!(body(response).await["code"], 30014);
    let response = server
        .request(Method::POST, "/v1/chat/completions")
        .json(&chat("Hello"))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(body(response).await["code"], 30014);
    assert!(!server.log().contains(MARK));
}

/// The number is the one that the bill would have: it grows by the same for each word.
#[tokio::test]
async fn prompt_beyond_the_context_is_told_in_the_contract_s_words() {
    let server = server().start().await;
    let api_key = server.api_key();
    let request = |words: usize| {
        let mut request = chat(&"word ".repeat(words));
        request["max_tokens"] = 1.into();
        serde_json::to_vec(&request).unwrap()
    };
    let mut counted = Vec::new();
    for words in [100, 200] {
        let (status, body, _) = post(&server, &api_key, request(words)).await;
        assert_eq!(status, 200, "{body}");
        counted.push(body["usage"]["prompt_tokens"].as_u64().unwrap());
    }
    let hundred = counted[1] - counted[0];
    let prompt = counted[0] + 29 * hundred;
    let (status, body, _) = post(&server, &api_key, request(3000)).await;
    let message = format!("length of prompt_tokens ({prompt}) must be less than max_seq_len (2048).");
    let expected = serde_json::json!({ "code": 20015, "message": message, "data": null });
    assert_eq!((status, body), (400, expected));
}
