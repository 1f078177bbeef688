//! Moderation of prompts and answers on each way of the API, and what it costs.

use std::fs;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use silica_testkit::{
    ModerationFault, ModerationServer, TestServer, Upstream, UpstreamCall, UpstreamFault, UpstreamOutcome,
    UpstreamScript, UsageFrames,
};
use tempfile::TempDir;

use crate::support::{bare, body};
use crate::till::{Customer, PAID, booked, customer, ledger, nano, open_shop, put};

/// The ways by which text is generated.
const WAYS: [&str; 5] = ["chat", "fim", "completions", "messages", "responses"];

/// A server with a list of words, a model on a scripted engine, and a customer.
struct House {
    server: TestServer,
    upstream: Upstream,
    customer: Customer,
    _words: TempDir,
}

impl House {
    async fn with_words(words: &str, script: UpstreamScript) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("words.txt");
        fs::write(&file, words).expect("a list");
        let config = format!(
            "[moderation]\nprovider = \"words\"\nwords_file = \"{}\"\nwindow_chars = 10\noverlap_chars = 1\n",
            file.display()
        );
        Self::open(&config, script, folder).await
    }

    async fn with_service(service: &ModerationServer, more: &str) -> Self {
        let config = format!(
            "[moderation]\nprovider = \"remote\"\nurl = \"{}\"\nallow_private = true\napi_key = \"sk-moderation\"\n{more}\n",
            service.base_url()
        );
        let folder = tempfile::tempdir().expect("a folder");
        Self::open(&config, UpstreamScript::default(), folder).await
    }

    async fn open(config: &str, script: UpstreamScript, folder: TempDir) -> Self {
        let upstream = Upstream::start_with(script).await;
        let server = bare().config(config).start().await;
        open_shop(&server, &upstream).await;
        let features = json!(["prefix", "fim", "tools"]);
        let price = json!({"input": "1000", "output": "2000"});
        let model =
            json!({"id": PAID, "type": "text", "sub_type": "chat", "price": price, "features": features});
        put(&server, "/models", &model).await;
        let customer = customer(&server, "moderated", "100").await;
        Self {
            server,
            upstream,
            customer,
            _words: folder,
        }
    }

    /// Sends a prompt by one of the ways; returns status and body.
    async fn ask(&self, way: &str, prompt: &str, stream: bool, marker: &str) -> (StatusCode, String) {
        let (path, mut request) = request(way, prompt);
        request["stream"] = stream.into();
        let request = self
            .server
            .request(Method::POST, path)
            .bearer_auth(&self.customer.key)
            .header("x-trace-id", marker)
            .timeout(Duration::from_secs(30))
            .json(&request);
        let response = request.send().await.expect("an answer");
        (response.status(), response.text().await.expect("a text"))
    }

    async fn judge(&self, request: &Value) -> (StatusCode, Value) {
        let request = self
            .server
            .request(Method::POST, "/v1/moderations")
            .bearer_auth(&self.customer.key)
            .json(request);
        let response = request.send().await.expect("an answer");
        (response.status(), body(response).await)
    }
}

fn request(way: &str, prompt: &str) -> (&'static str, Value) {
    let messages = json!([{"role": "user", "content": prompt}]);
    match way {
        "chat" => (
            "/v1/chat/completions",
            json!({"model": PAID, "messages": messages, "max_tokens": 900}),
        ),
        "fim" => (
            "/v1/chat/completions",
            json!({"model": PAID, "messages": [{"role": "user", "content": "x"}], "prefix": "a", "suffix": prompt, "max_tokens": 900}),
        ),
        "completions" => (
            "/v1/completions",
            json!({"model": PAID, "prompt": prompt, "max_tokens": 900}),
        ),
        "messages" => (
            "/v1/messages",
            json!({"model": PAID, "messages": messages, "max_tokens": 900}),
        ),
        "responses" => (
            "/v1/responses",
            json!({"model": PAID, "input": prompt, "max_output_tokens": 900}),
        ),
        _ => unreachable!("a known way"),
    }
}

/// Checks the refusal of a way.
fn is_refused(way: &str, (status, text): &(StatusCode, String)) {
    assert_eq!(status.as_u16(), 451, "{way}: {text}");
    let told: Value = serde_json::from_str(text).expect("JSON");
    assert_eq!(told["code"], 20021, "{way}: {text}");
    assert_eq!(
        told["message"], "The content is prohibited or sensitive.",
        "{way}: {text}"
    );
    assert_eq!(told["type"] == "error", way == "messages", "{way}: {text}");
}

/// The texts of an answer that streams, whatever its dialect.
fn words(text: &str) -> String {
    let frames = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let texts = frames.filter_map(|frame| {
        let frame: Value = serde_json::from_str(frame).ok()?;
        let places = [
            "/choices/0/delta/content",
            "/choices/0/text",
            "/delta/text",
            "/delta",
        ];
        let found = places.iter().find_map(|place| frame.pointer(place)?.as_str());
        found.map(str::to_owned)
    });
    texts.collect()
}

/// The first words of the scripted engine.
fn said(count: usize) -> String {
    let words: Vec<String> = (0..count).map(|number| format!("t{number} ")).collect();
    words.concat()
}

fn long(tokens: u32) -> UpstreamScript {
    UpstreamScript {
        tokens,
        usage: UsageFrames::Every,
        ..UpstreamScript::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_word_in_a_prompt_is_refused_before_an_engine_sees_it() {
    let house = House::with_words("# words\nforbidden fruit\n", long(5)).await;
    for way in WAYS {
        for stream in [false, true] {
            let told = house.ask(way, "an apple, a FORBIDDEN fruit", stream, way).await;
            is_refused(way, &told);
        }
    }
    let hidden = json!({"model": PAID, "messages": [{"role": "user", "content": "x"}],
        "documents": [{"text": "forbidden fruit"}]});
    let request = house.server.request(Method::POST, "/v1/chat/completions");
    let response = request
        .bearer_auth(&house.customer.key)
        .json(&hidden)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status().as_u16(), 451, "a member that only engines know");
    assert_eq!(house.upstream.requests().len(), 0);
    assert_eq!(
        ledger(&house.server, &house.customer).await.len(),
        1,
        "the charge alone"
    );
    let metrics = reqwest::get(format!("{}/metrics", house.server.admin_url()))
        .await
        .unwrap();
    let metrics = metrics.text().await.unwrap();
    assert!(
        metrics.contains("silica_moderation_checks_total{stage=\"input\",outcome=\"refused\"} 11"),
        "{metrics}"
    );
    assert!(!house.server.log().contains("fruit"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_with_a_listed_word_is_refused_whole_and_costs_nothing() {
    let house = House::with_words("t3 t4\n", long(5)).await;
    for way in WAYS {
        // As a stream it is shorter than a window, so that nothing of it has gone out.
        for stream in [false, true] {
            let told = house.ask(way, "hello", stream, way).await;
            is_refused(way, &told);
        }
    }
    assert_eq!(house.upstream.requests().len(), 10);
    assert_eq!(
        ledger(&house.server, &house.customer).await.len(),
        1,
        "the charge alone"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_refused_midway_ends_with_an_error_and_costs_what_was_sent() {
    let house = House::with_words("t150 t151\n", long(5)).await;
    for way in WAYS {
        // Only a reader that leaves ends this.
        house.upstream.set_default(UpstreamScript {
            marker: way.to_owned(),
            fault: UpstreamFault::Stall(400),
            ..long(800)
        });
        let (status, text) = house.ask(way, "hello", true, way).await;
        assert_eq!(status, StatusCode::OK, "{way}: {text}");
        assert!(
            text.contains("The content is prohibited or sensitive."),
            "{way}: {text}"
        );
        for end in ["[DONE]", "message_stop", "response.completed"] {
            assert!(!text.contains(end), "{way}: {text}");
        }
        let words = words(&text);
        let count = words.split_whitespace().count();
        let expected = said(count);
        assert_eq!(words, expected, "{way}: {text}");
        assert!((100..=150).contains(&count), "{way}: {count}");
        let rows = booked_as(&house, way).await;
        let cost = 10_000_000 + 2_000_000 * i64::try_from(count).expect("few");
        assert_eq!(-nano(&rows["amount"]), cost, "{way}: {rows}");
        let is_over = |call: &UpstreamCall| call.outcome == UpstreamOutcome::Left;
        house.upstream.call_until(way, is_over).await;
    }
}

/// The row of a call, once it is there.
async fn booked_as(house: &House, marker: &str) -> Value {
    let asked = WAYS.iter().position(|way| *way == marker).expect("a way");
    let markers: Vec<String> = WAYS[..=asked].iter().map(ToString::to_string).collect();
    let rows = booked(&house.server, &house.customer, &markers).await;
    rows.into_iter()
        .find(|row| row["trace_id"] == marker)
        .expect("its row")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_reaches_the_client_whole_with_its_usage() {
    let house = House::with_words("nowhere to be found\n", long(60)).await;
    let expected = said(60);
    for way in WAYS {
        let (status, text) = house.ask(way, "hello", true, &format!("{way}-stream")).await;
        assert_eq!(
            (status, words(&text)),
            (StatusCode::OK, expected.clone()),
            "{way}"
        );
        let (status, text) = house.ask(way, "hello", false, &format!("{way}-whole")).await;
        assert_eq!(status, StatusCode::OK, "{way}: {text}");
        assert!(text.contains(&expected), "{way}: {text}");
    }
    let markers: Vec<String> = WAYS
        .iter()
        .flat_map(|way| [format!("{way}-stream"), format!("{way}-whole")])
        .collect();
    for row in booked(&house.server, &house.customer, &markers).await {
        if row["kind"] == "call" {
            assert_eq!(-nano(&row["amount"]), 10_000_000 + 60 * 2_000_000, "{row}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_answer_is_read_keeps_all_its_members() {
    let house = House::with_words("nowhere to be found\n", long(3)).await;
    let request = json!({"model": PAID, "messages": [{"role": "user", "content": "x"}], "zeta": [1, 2.5]});
    let sending = house.server.request(Method::POST, "/v1/chat/completions");
    let response = sending
        .bearer_auth(&house.customer.key)
        .json(&request)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let sent = &house.upstream.requests()[0].body;
    assert_eq!((&sent["zeta"], &sent["stream"]), (&json!([1, 2.5]), &json!(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_elsewhere_judges_prompts_and_answers() {
    let service = ModerationServer::start("t3").await;
    let house = House::with_service(&service, "model = \"guard\"").await;
    for way in WAYS {
        is_refused(way, &house.ask(way, "say t3", true, "a").await);
        is_refused(way, &house.ask(way, "hello", false, "b").await);
        is_refused(way, &house.ask(way, "hello", true, "c").await);
    }
    assert_eq!(house.upstream.requests().len(), 10);
    let asked = &service.requests()[0];
    assert_eq!(
        (&asked["model"], &asked["key"]),
        (&json!("guard"), &json!("Bearer sk-moderation"))
    );
    assert_eq!(
        ledger(&house.server, &house.customer).await.len(),
        1,
        "the charge alone"
    );
    assert!(!house.server.log().contains("sk-moderation"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_fails_refuses_or_allows() {
    for allows in [false, true] {
        let service = ModerationServer::start("nothing").await;
        let mode = if allows { "allow" } else { "refuse" };
        let house =
            House::with_service(&service, &format!("timeout = \"300ms\"\non_failure = \"{mode}\"")).await;
        for fault in [
            ModerationFault::Status(500),
            ModerationFault::Status(400),
            ModerationFault::Status(429),
            ModerationFault::Hang,
            ModerationFault::Garbage,
            ModerationFault::Empty,
        ] {
            service.set_fault(fault);
            for stream in [false, true] {
                let (status, text) = house.ask("chat", "hello", stream, "x").await;
                // A question that the service takes for wrong is the fault of its texts.
                if allows && fault != ModerationFault::Status(400) {
                    assert_eq!(status, StatusCode::OK, "{fault:?}: {text}");
                    assert!(text.contains("t4"), "{fault:?}: {text}");
                } else {
                    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{fault:?}: {text}");
                }
            }
        }
        if !allows {
            assert_eq!(house.upstream.requests().len(), 0);
            assert_eq!(ledger(&house.server, &house.customer).await.len(), 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn categories_and_a_threshold_decide_what_counts() {
    let service = ModerationServer::start("gun").await;
    for (settings, refused) in [
        ("", false),
        ("categories = [\"spam\"]", true),
        ("categories = [\"violence\"]", false),
        ("threshold = 0.5", true),
        ("threshold = 0.7", false),
        ("categories = [\"violence\"]\nthreshold = 0.05", true),
    ] {
        let house = House::with_service(&service, settings).await;
        let (status, text) = house.ask("chat", "hello", false, "x").await;
        assert_eq!(status.as_u16() == 451, refused, "{settings}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn moderations_are_handed_on_to_the_service() {
    let service = ModerationServer::start("gun").await;
    let house = House::with_service(&service, "").await;
    let input = json!(["a gun", "a rose"]);
    let (status, told) = house.judge(&json!({"model": "omni", "input": input})).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    assert!(told["id"].as_str().unwrap().starts_with("modr-"), "{told}");
    assert_eq!(told["model"], "scripted-moderation");
    let flagged: Vec<_> = told["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["flagged"].clone())
        .collect();
    assert_eq!(flagged, [true, false]);
    assert_eq!(
        told["results"][0]["category_scores"],
        json!({"spam": 0.6, "violence": 0.9})
    );
    assert_eq!(
        told["results"][0]["category_applied_input_types"]["violence"],
        json!(["text"])
    );
    let parts = json!([{"type": "text", "text": "a gun"}, {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]);
    let (status, told) = house.judge(&json!({"input": parts})).await;
    assert_eq!(
        (status, told["results"].as_array().map(Vec::len)),
        (StatusCode::OK, Some(1)),
        "{told}"
    );
    let asked = service.requests();
    assert_eq!((&asked[0]["model"], &asked[0]["input"]), (&json!("omni"), &input));
    assert_eq!(asked[1]["input"], parts);
    service.set_fault(ModerationFault::Status(500));
    assert_eq!(
        house.judge(&json!({"input": "x"})).await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    service.set_fault(ModerationFault::Status(400));
    let (status, told) = house.judge(&json!({"input": "x"})).await;
    assert_eq!(
        (status, &told["code"]),
        (StatusCode::BAD_REQUEST, &json!(20015)),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn moderations_are_answered_from_the_list_or_not_at_all() {
    let house = House::with_words("gun\n", long(1)).await;
    let (status, told) = house.judge(&json!({"input": ["a GUN", "a rose"]})).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    let result = |flagged: bool| {
        json!({"flagged": flagged, "categories": {"listed": flagged},
        "category_scores": {"listed": if flagged { 1.0 } else { 0.0 }}})
    };
    assert_eq!(
        (&told["model"], &told["results"]),
        (&json!("silica-words"), &json!([result(true), result(false)]))
    );
    let parts = json!([{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]);
    assert_eq!(
        house.judge(&json!({"input": parts})).await.0,
        StatusCode::BAD_REQUEST
    );

    let plain = bare().start().await;
    let send = |key: String| {
        plain
            .request(Method::POST, "/v1/moderations")
            .bearer_auth(key)
            .json(&json!({"input": "x"}))
    };
    let response = send(plain.api_key()).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(body(response).await["code"], 20012);
    assert_eq!(
        send("sk-wrong".to_owned()).send().await.unwrap().status(),
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn a_list_that_cannot_be_read_keeps_the_server_from_starting() {
    let refused = bare()
        .config("[moderation]\nprovider = \"words\"\nwords_file = \"/nowhere/words.txt\"\n")
        .refused()
        .await;
    assert!(
        refused
            .stderr
            .contains("moderation.words_file /nowhere/words.txt"),
        "{}",
        refused.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_content_carries_the_label() {
    let upstream = Upstream::start().await;
    let server = bare()
        .config("[ai_label]\ntext = \"AI\u{751f}\u{6210}\"\n")
        .start()
        .await;
    open_shop(&server, &upstream).await;
    let customer = customer(&server, "labelled", "100").await;
    for way in WAYS.into_iter().filter(|way| *way != "fim") {
        for stream in [false, true] {
            let (path, mut request) = request(way, "hello");
            request["stream"] = stream.into();
            let sending = server
                .request(Method::POST, path)
                .bearer_auth(&customer.key)
                .json(&request);
            let response = sending.send().await.unwrap();
            assert_eq!(
                response.headers()["x-silica-ai-label"],
                "AI%E7%94%9F%E6%88%90",
                "{way}"
            );
            let text = response.text().await.unwrap();
            let frame = text.lines().find_map(|line| line.strip_prefix("data: "));
            let first: Value = serde_json::from_str(if stream { frame.unwrap() } else { &text }).unwrap();
            assert_eq!(first["ai_label"], "AI\u{751f}\u{6210}", "{way}: {text}");
            assert_eq!(text.matches("ai_label").count(), 1, "{way}: {text}");
        }
    }
}
