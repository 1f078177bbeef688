//! What the scripted engine says, read with a client that knows nothing of it.

use std::time::Duration;

use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use silica_testkit::{
    DeadEnd, FirstFrame, LineEnds, Upstream, UpstreamFault, UpstreamOutcome, UpstreamScript, UsageFrames,
};

fn client() -> Client {
    Client::builder().build().unwrap()
}

async fn send(upstream: &Upstream, path: &str, body: &Value) -> Response {
    let url = format!("{}{path}", upstream.base_url());
    client().post(url).body(body.to_string()).send().await.unwrap()
}

async fn read(response: Response) -> Value {
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

async fn playing(fault: UpstreamFault) -> Upstream {
    let script = UpstreamScript {
        marker: "played".to_owned(),
        tokens: 3,
        fault,
        ..UpstreamScript::default()
    };
    Upstream::start_with(script).await
}

#[tokio::test]
async fn an_answer_in_one_piece_has_the_text_and_the_usage_of_the_stream() {
    let upstream = playing(UpstreamFault::None).await;
    let chat = read(send(&upstream, "/chat/completions", &json!({"model": "m", "n": 2})).await).await;
    assert_eq!(chat["choices"][1]["message"]["content"], "t0 t1 t2 ");
    assert_eq!(chat["usage"]["completion_tokens"], 6);
    let text = read(send(&upstream, "/completions", &json!({"model": "m", "prompt": "a"})).await).await;
    assert_eq!(text["choices"][0]["text"], "t0 t1 t2 ");
    let calls = upstream.calls();
    assert!(
        calls
            .iter()
            .all(|call| !call.is_streamed && call.outcome == UpstreamOutcome::Finished)
    );
    assert_eq!(calls.iter().map(|call| call.sent).collect::<Vec<_>>(), [6, 3]);
}

#[tokio::test]
async fn each_fault_of_an_answer_in_one_piece_ends_as_it_says() {
    for (fault, is_whole, is_json) in [
        (UpstreamFault::Html, true, false),
        (UpstreamFault::Empty, true, false),
        (UpstreamFault::Garble(0), true, false),
        (UpstreamFault::Truncate(0), true, false),
        (UpstreamFault::Noise(0), true, false),
        (UpstreamFault::Report(0), true, true),
        (UpstreamFault::Cut(0), false, false),
        (UpstreamFault::Cut(1), false, false),
    ] {
        let upstream = playing(fault).await;
        let response = send(&upstream, "/chat/completions", &json!({})).await;
        assert_eq!(response.status(), StatusCode::OK, "{fault}");
        let body = response.bytes().await;
        assert_eq!(body.is_ok(), is_whole, "{fault}");
        let json = body
            .ok()
            .and_then(|body| serde_json::from_slice::<Value>(&body).ok());
        assert_eq!(json.is_some(), is_json, "{fault}");
        let call = &upstream.calls()[0];
        assert_eq!((call.outcome, call.sent), (UpstreamOutcome::Broken, 0), "{fault}");
    }
}

#[tokio::test]
async fn a_stream_takes_the_shape_that_the_script_says() {
    let script = UpstreamScript {
        tokens: 1,
        usage: UsageFrames::Finish,
        first: FirstFrame::RoleOnly,
        ends: LineEnds::CrLf,
        comments: true,
        split: 3,
        omits_done: true,
        ..UpstreamScript::default()
    };
    let upstream = Upstream::start().await;
    let body = json!({"messages": [{"content": script.to_string()}], "stream": true});
    let text = send(&upstream, "/chat/completions", &body).await;
    let text = text.text().await.unwrap();
    let blocks: Vec<&str> = text.split_terminator("\r\n\r\n").collect();
    assert_eq!(blocks.len(), 6, "{text}");
    assert!(blocks[1].contains(r#""delta":{"role":"assistant"}"#), "{text}");
    assert!(blocks[3].contains(r#""content":"t0 ""#), "{text}");
    assert!(blocks[5].contains(r#""completion_tokens":1"#), "{text}");
    assert!([0, 2, 4].iter().all(|place| blocks[*place] == ": keep-alive"));
    assert_eq!(upstream.calls()[0].bytes, text.len() as u64);
}

#[tokio::test]
async fn what_never_ends_is_sent_until_the_reader_leaves() {
    for fault in [UpstreamFault::Endless(0), UpstreamFault::Chatter(0)] {
        for is_streamed in [true, false] {
            let upstream = playing(fault).await;
            let body = json!({"stream": is_streamed});
            let mut response = send(&upstream, "/chat/completions", &body).await;
            for _ in 0..3 {
                assert!(response.chunk().await.unwrap().is_some(), "{fault}");
            }
            drop(response);
            upstream
                .call_until("played", |call| call.outcome == UpstreamOutcome::Left)
                .await;
        }
    }
}

#[tokio::test]
async fn a_bomb_is_small_and_unpacks_to_a_lot() {
    let upstream = playing(UpstreamFault::Bomb).await;
    let response = send(&upstream, "/embeddings", &json!({"input": "a"})).await;
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let packed = response.bytes().await.unwrap();
    assert!(packed.len() < 256 * 1024, "{}", packed.len());
    let mut unpacked = flate2::bufread::MultiGzDecoder::new(packed.as_ref());
    let length = std::io::copy(&mut unpacked, &mut std::io::sink()).unwrap();
    assert_eq!(length, 128 * 1024 * 1024);
}

#[tokio::test]
async fn health_is_good_until_it_is_said_not_to_be() {
    let upstream = Upstream::start().await;
    let root = upstream.base_url().replace("/v1", "");
    let status = async |path: &str| {
        client()
            .get(format!("{root}{path}"))
            .send()
            .await
            .unwrap()
            .status()
    };
    assert_eq!(status("/health").await, StatusCode::OK);
    upstream.set_healthy(false);
    assert_eq!(status("/v1/models").await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!((upstream.health_checks(), upstream.calls().len()), (2, 0));
}

#[tokio::test]
async fn dead_ends_are_dead_in_their_own_way() {
    let connect = async |end: &DeadEnd| {
        let address = end.base_url().replace("http://", "").replace("/v1", "");
        let connecting = tokio::net::TcpStream::connect(address);
        tokio::time::timeout(Duration::from_millis(200), connecting).await
    };
    let refusing = DeadEnd::refusing();
    let refused = connect(&refusing).await.unwrap().unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    let full = DeadEnd::full().await;
    assert!(connect(&full).await.is_err(), "an attempt that lasts");
    let silent = DeadEnd::silent();
    assert!(connect(&silent).await.unwrap().is_ok());
    let closing = DeadEnd::closing();
    let mut closed = connect(&closing).await.unwrap().unwrap();
    let read = tokio::io::AsyncReadExt::read(&mut closed, &mut [0]).await;
    assert_eq!(read.unwrap(), 0);
}
