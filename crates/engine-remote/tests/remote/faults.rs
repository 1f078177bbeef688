//! Calls that go wrong.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use silica_engine::{ChatEngine as _, EngineError};
use silica_engine_remote::{AddressError, OptionsError, RemoteEngine, RemoteError, RemoteOptions};
use silica_testkit::{UpstreamFault, UpstreamOutcome, UpstreamScript, UsageFrames};
use silica_types::{Secret, SystemClock, TokenCount, UsageSource};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::support::{LONG, call, cause, engine, options, request, script, tell, upstream};

fn faulty(marker: &str, fault: UpstreamFault) -> UpstreamScript {
    UpstreamScript {
        tokens: 20,
        fault,
        ..script(marker)
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_counted_from_what_was_forwarded() {
    let (_upstream, options) = upstream().await;
    for (fault, name) in [
        (UpstreamFault::Cut(7), "the connection to the engine broke"),
        (
            UpstreamFault::End(7),
            "the engine's stream ended before the answer was complete",
        ),
        (
            UpstreamFault::Report(7),
            "the engine reported a failure with code 500",
        ),
        (
            UpstreamFault::Garble(7),
            "the engine sent a malformed frame (it ends too early at column 13)",
        ),
    ] {
        let told = call(&options, request(&faulty("cut", fault))).await.unwrap();
        assert_eq!(told.cause().to_string(), name);
        assert!(!told.is_finished());
        assert_eq!(told.usage().completion, TokenCount(7));
        assert_eq!(told.usage().source, UsageSource::Estimated);
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_keeps_the_usage_that_was_reported() {
    let (_upstream, options) = upstream().await;
    let script = UpstreamScript {
        usage: UsageFrames::Every,
        ..faulty("cut", UpstreamFault::Cut(7))
    };
    let told = call(&options, request(&script)).await.unwrap();
    assert_eq!(
        (told.usage().prompt, told.usage().completion),
        (TokenCount(35), TokenCount(7))
    );
    assert_eq!(told.usage().source, UsageSource::Engine);
}

#[tokio::test]
async fn silence_in_the_middle_ends_the_call_and_closes_the_connection() {
    let (upstream, options) = upstream().await;
    let options = RemoteOptions {
        stall_limit: Duration::from_millis(50),
        ..options
    };
    let told = call(&options, request(&faulty("stall", UpstreamFault::Stall(3))))
        .await
        .unwrap();
    assert!(matches!(told.cause(), RemoteError::Silent(limit) if *limit == options.stall_limit));
    assert_eq!(told.usage().completion, TokenCount(3));
    let left = |call: &silica_testkit::UpstreamCall| call.outcome == UpstreamOutcome::Left;
    upstream.call_until("stall", left).await;
}

#[tokio::test]
async fn silence_before_the_answer_ends_the_call_and_closes_the_connection() {
    let (upstream, options) = upstream().await;
    let options = RemoteOptions {
        first_frame_limit: Duration::from_millis(50),
        ..options
    };
    let refused = call(&options, request(&faulty("hang", UpstreamFault::Hang)))
        .await
        .unwrap_err();
    assert!(matches!(cause(&refused), RemoteError::Silent(_)));
    let left = |call: &silica_testkit::UpstreamCall| call.outcome == UpstreamOutcome::Left;
    upstream.call_until("hang", left).await;

    let silent = faulty("silent", UpstreamFault::None);
    let silent = UpstreamScript {
        delay: LONG,
        ..silent
    };
    let options = RemoteOptions {
        stall_limit: Duration::from_millis(50),
        ..options
    };
    let told = call(&options, request(&silent)).await.unwrap();
    assert!(matches!(told.cause(), RemoteError::Silent(limit) if *limit == options.first_frame_limit));
    assert!(told.events.is_empty(), "who speaks is no word of the answer");
}

#[tokio::test]
async fn dropping_the_stream_closes_the_connection_and_stops_the_engine() {
    let (upstream, options) = upstream().await;
    let script = UpstreamScript {
        tokens: 1_000_000,
        ignores_max_tokens: true,
        ..script("dropped")
    };
    let mut stream = engine(&options).chat(request(&script)).await.unwrap();
    for _ in 0..4 {
        stream.next().await.unwrap().unwrap();
    }
    drop(stream);
    let call = upstream
        .call_until("dropped", |call| call.outcome == UpstreamOutcome::Left)
        .await;
    assert!((3..call.planned).contains(&call.produced), "{call:?}");
}

#[tokio::test]
async fn dropping_a_call_that_waits_for_its_answer_closes_the_connection() {
    let (upstream, options) = upstream().await;
    let engine = engine(&options);
    let starting = engine.chat(request(&faulty("waiting", UpstreamFault::Hang)));
    tokio::select! {
        _ = starting => panic!("an engine that hangs has answered"),
        _ = upstream.call_until("waiting", |_| true) => {}
    }
    upstream
        .call_until("waiting", |call| call.outcome == UpstreamOutcome::Left)
        .await;
}

#[tokio::test]
async fn each_status_of_the_upstream_becomes_the_ports_error() {
    let (_upstream, options) = upstream().await;
    let refusal = async |status| {
        let script = faulty("status", UpstreamFault::Status(status));
        call(&options, request(&script)).await.unwrap_err()
    };
    assert!(matches!(refusal(429).await, EngineError::RateLimited { .. }));
    for status in [502, 503, 504] {
        assert!(
            matches!(refusal(status).await, EngineError::Unavailable),
            "{status}"
        );
    }
    for status in [400, 413, 422] {
        let refused = refusal(status).await;
        assert!(
            matches!(&refused, EngineError::InvalidRequest(text) if text == "refused by the script"),
            "{status}: {refused:?}"
        );
    }
    // A redirect is a refusal like any other: it would lead past the check of the address.
    for status in [301, 307, 401, 403, 404, 500] {
        let refused = refusal(status).await;
        assert!(
            matches!(cause(&refused), RemoteError::Status { status: it, .. } if it.as_u16() == status),
            "{status}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    for scheme in ["http", "https"] {
        let options = options(format!("{scheme}://{address}/v1"));
        let refused = call(&options, request(&script("nobody"))).await.unwrap_err();
        assert!(matches!(refused, EngineError::Unavailable), "{refused:?}");
    }
}

#[tokio::test]
async fn a_request_that_was_written_is_not_written_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = options(format!("http://{}/v1", listener.local_addr().unwrap()));
    let engine = engine(&options);
    // Answers one request, then breaks the connection under the next; counts all requests.
    let server = async {
        let mut requests = 0;
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            read_request(&mut connection).await;
            requests += 1;
            if requests > 1 {
                break requests;
            }
            connection.write_all(WHOLE_ANSWER).await.unwrap();
            read_request(&mut connection).await;
            requests += 1;
        }
    };
    let calls = async {
        let told = tell(&engine, request(&script("answered"))).await.unwrap();
        assert!(told.is_finished());
        let refused = tell(&engine, request(&script("broken"))).await.unwrap_err();
        assert!(matches!(refused, EngineError::Unavailable), "{refused:?}");
        // Were the request sent again, it would arrive before the call fails.
    };
    tokio::select! {
        requests = server => panic!("{requests} requests for two calls"),
        () = calls => {}
    }
}

const WHOLE_ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 94\r\n\r\n\
    data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// Reads one request, head and body.
async fn read_request(connection: &mut TcpStream) {
    let mut seen = Vec::new();
    // The last of the body's fields, see the test of what a plain request says.
    while !seen.ends_with(b"\"top_p\":1.0}") {
        assert_ne!(
            connection.read_buf(&mut seen).await.unwrap(),
            0,
            "a whole request"
        );
    }
}

#[tokio::test]
async fn a_plain_server_is_no_tls_server() {
    let (upstream, options) = upstream().await;
    let options = RemoteOptions {
        base_url: upstream.base_url().replace("http:", "https:"),
        ..options
    };
    let refused = call(&options, request(&script("tls"))).await.unwrap_err();
    assert!(matches!(refused, EngineError::Unavailable), "{refused:?}");
    assert!(upstream.calls().is_empty());
}

#[tokio::test]
async fn a_private_address_is_reached_only_where_the_operator_allows_it() {
    let (upstream, options) = upstream().await;
    let by_name = RemoteOptions {
        base_url: upstream.base_url().replace("127.0.0.1", "localhost"),
        allow_private: false,
        ..options.clone()
    };
    let refused = call(&by_name, request(&script("private"))).await.unwrap_err();
    assert!(matches!(refused, EngineError::Unavailable), "{refused:?}");
    assert!(upstream.calls().is_empty());

    let by_number = RemoteOptions {
        allow_private: false,
        ..options.clone()
    };
    let refused = RemoteEngine::new(&by_number, Arc::new(SystemClock)).unwrap_err();
    assert!(matches!(
        refused,
        OptionsError::Address(AddressError::Private(address)) if address.is_loopback()
    ));
    let allowed = RemoteOptions {
        allow_private: true,
        ..by_name
    };
    assert!(
        call(&allowed, request(&script("private")))
            .await
            .unwrap()
            .is_finished()
    );
}

#[test]
fn options_of_no_engine_are_refused() {
    let good = options("http://127.0.0.1:9/v1");
    let refused = |options: RemoteOptions| RemoteEngine::new(&options, Arc::new(SystemClock)).unwrap_err();
    let nameless = refused(RemoteOptions {
        model: String::new(),
        ..good.clone()
    });
    assert!(matches!(nameless, OptionsError::Model));
    let hasty = refused(RemoteOptions {
        stall_limit: Duration::ZERO,
        ..good.clone()
    });
    assert_eq!(hasty.to_string(), "the engine's stall limit must not be zero");
    let odd = refused(RemoteOptions {
        api_key: Some(Secret::new("sk-\u{7}")),
        ..good.clone()
    });
    assert!(matches!(odd, OptionsError::ApiKey));
    let engine = RemoteEngine::new(&good, Arc::new(SystemClock)).unwrap();
    assert!(!format!("{engine:?} {good:?}").contains("sk-upstream"));
}
