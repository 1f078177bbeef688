//! The pace of bytes: small writes wait for nothing, and neither slow senders nor slow readers hold
//! more than their share.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use silica_testkit::{TestServer, Upstream, UpstreamOutcome, UpstreamScript, UsageFrames};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, interval, timeout};

use crate::support::{SOON, bare};
use crate::till::{PAID, booked, customer, nano, open_shop, script, scripted};

/// How long a system may wait before it acknowledges data: what a small write waits for where the one
/// before it must have arrived first (`TCP_NODELAY` is off).
const TRAP: Duration = Duration::from_millis(40);
/// What a token of the answer costs, in nano-CNY.
const TOKEN_COST: i64 = 2_000_000;
/// What the scripted prompt of ten tokens costs.
const PROMPT_COST: i64 = 10_000_000;
/// The buffers of two connections' four ends, and what the server itself may hold for one reader.
const MOST_HELD: u64 = 12 * 1024 * 1024;

/// A connection that sends at once, and takes little before it is read.
async fn connect(server: &TestServer) -> TcpStream {
    let address = server.base_url().trim_start_matches("http://");
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(16 * 1024).expect("a small buffer");
    let stream = socket
        .connect(address.parse().expect("an address"))
        .await
        .expect("a connection");
    stream.set_nodelay(true).expect("an option");
    stream
}

fn head(key: &str, marker: &str, body: &str) -> String {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: silica\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\nx-trace-id: {marker}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
}

/// Sends head and body by two writes, and returns the connection with what the head promises.
async fn ask(connection: &mut TcpStream, key: &str, script: &UpstreamScript, is_streamed: bool) {
    let mut body = scripted(PAID, script, is_streamed);
    body["max_tokens"] = 400_000.into();
    let body = body.to_string();
    let head = head(key, &script.marker, &body);
    connection.write_all(head.as_bytes()).await.expect("a write");
    connection.write_all(body.as_bytes()).await.expect("a write");
}

/// Reads an answer of known length.
async fn whole_answer(connection: &mut BufReader<TcpStream>) -> Value {
    let mut length = 0;
    loop {
        let mut line = String::new();
        connection.read_line(&mut line).await.expect("a line");
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).await.expect("a body");
    serde_json::from_slice(&body).expect("JSON")
}

/// Reads a stream of 50 chunks, of which each is sent some milliseconds after the one before it, and
/// returns the longest wait between two arrivals.
async fn longest_gap(connection: &mut TcpStream, key: &str, marker: &str) -> Duration {
    let script = UpstreamScript {
        tokens: 50,
        delay: Duration::from_millis(2),
        ..script(marker)
    };
    ask(connection, key, &script, true).await;
    let (mut seen, mut longest, mut last) = (Vec::new(), Duration::ZERO, None::<Instant>);
    while !seen.ends_with(b"data: [DONE]\n\n\r\n0\r\n\r\n") {
        let count = timeout(SOON, connection.read_buf(&mut seen)).await;
        assert!(count.expect("in time").expect("a read") > 0, "cut");
        let now = Instant::now();
        longest = longest.max(last.replace(now).map_or(Duration::ZERO, |last| now - last));
    }
    longest
}

/// A client that asks again and again on one connection makes its system hold acknowledgements back,
/// in the hope that they can go with its next request.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_fifty_chunks_waits_for_no_acknowledgement() {
    let upstream = Upstream::start().await;
    let server = bare().start().await;
    open_shop(&server, &upstream).await;
    let customer = customer(&server, "chunks", "1000").await;
    let mut connection = connect(&server).await;
    let begin = Instant::now();
    let mut gaps = Vec::new();
    for stream in 0..8 {
        gaps.push(longest_gap(&mut connection, &customer.key, &format!("chunks-{stream}")).await);
    }
    assert!(begin.elapsed() < 8 * 50 * TRAP / 2, "{:?}", begin.elapsed());
    // The best of them: the test shares its cores with others. The first ones have nothing to show yet.
    let best = gaps.iter().skip(2).min().expect("six streams");
    assert!(*best < TRAP * 3 / 4, "{gaps:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_two_writes_on_one_connection_wait_for_no_acknowledgement() {
    let upstream = Upstream::start().await;
    let server = bare().start().await;
    open_shop(&server, &upstream).await;
    let customer = customer(&server, "writes", "1000").await;
    let mut connection = BufReader::new(connect(&server).await);
    let mut times = Vec::new();
    for call in 0..50 {
        let begin = Instant::now();
        let script = script(&format!("call-{call}"));
        ask(connection.get_mut(), &customer.key, &script, false).await;
        let answer = whole_answer(&mut connection).await;
        assert_eq!(answer["usage"]["completion_tokens"], 5, "{answer}");
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    assert!(times[times.len() / 2] < TRAP, "{times:?}");
    // One connection here, and one there.
    assert_eq!(
        upstream
            .requests()
            .iter()
            .map(|request| request.peer)
            .collect::<std::collections::HashSet<_>>()
            .len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_comes_byte_by_byte_is_cut_by_its_limit() {
    let upstream = Upstream::start().await;
    let server = bare()
        .config("[server]\nbody_timeout = \"300ms\"\n")
        .start()
        .await;
    open_shop(&server, &upstream).await;
    let customer = customer(&server, "bytes", "1000").await;
    let body = scripted(PAID, &script("bytes"), false).to_string();
    let mut connection = connect(&server).await;
    let head = head(&customer.key, "bytes", &body);
    connection.write_all(head.as_bytes()).await.unwrap();
    let (mut reader, mut writer) = connection.into_split();
    // Never silent for as long as the limit, and still not done within it.
    let sending = async {
        let mut pace = interval(Duration::from_millis(20));
        for byte in body.bytes() {
            pace.tick().await;
            if writer.write_all(&[byte]).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let mut answer = String::new();
    tokio::select! {
        () = sending => {}
        read = timeout(SOON, reader.read_to_string(&mut answer)) => { read.unwrap().unwrap(); }
    }
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(upstream.calls().is_empty(), "an engine was asked");
}

/// A stream far longer than what anybody may hold for a reader, with usage in each frame.
fn long(marker: &str) -> UpstreamScript {
    UpstreamScript {
        tokens: 300_000,
        usage: UsageFrames::Every,
        ..script(marker)
    }
}

/// The tokens that a client has read, complete frames only.
fn read_tokens(seen: &[u8]) -> i64 {
    let text = String::from_utf8_lossy(seen);
    let frames = text
        .split("\n\n")
        .filter(|frame| frame.contains(r#""content":"t"#));
    i64::try_from(frames.count()).expect("few frames")
}

/// Checks what came of a stream of which the client has read `seen` and no more.
async fn is_bounded_and_paid(
    server: &TestServer,
    upstream: &Upstream,
    key: &crate::till::Customer,
    marker: &str,
    seen: &[u8],
) {
    let call = upstream
        .call_until(marker, |call| call.outcome != UpstreamOutcome::Running)
        .await;
    assert_eq!(call.outcome, UpstreamOutcome::Left, "{call:?}");
    let seen_bytes = u64::try_from(seen.len()).expect("few bytes");
    assert!(
        call.bytes < seen_bytes + MOST_HELD,
        "{seen_bytes} bytes read: {call:?}"
    );
    let rows = booked(server, key, &[marker.to_owned()]).await;
    let paid: i64 = rows
        .iter()
        .filter(|row| row["trace_id"] == marker)
        .map(|row| -nano(&row["amount"]))
        .sum();
    let tokens = (paid - PROMPT_COST) / TOKEN_COST;
    assert!(
        (read_tokens(seen)..=i64::from(call.produced)).contains(&tokens),
        "{tokens} tokens paid, {} read: {call:?}",
        read_tokens(seen)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stops_is_cut_and_pays_for_what_was_sent() {
    let upstream = Upstream::start().await;
    let server = bare()
        .config("[server]\nwrite_timeout = \"500ms\"\n")
        .start()
        .await;
    open_shop(&server, &upstream).await;
    let customer = customer(&server, "stops", "1000").await;
    let before = server.resident_bytes();
    let mut connection = connect(&server).await;
    ask(&mut connection, &customer.key, &long("stops"), true).await;
    // Nothing is read until the engine was left alone.
    upstream
        .call_until("stops", |call| call.outcome != UpstreamOutcome::Running)
        .await;
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < MOST_HELD, "{grown} bytes more are resident");
    let mut seen = Vec::new();
    // What the systems between hold still comes; then the connection is at its end, or reset.
    let _ = timeout(SOON, connection.read_to_end(&mut seen))
        .await
        .expect("an end");
    assert!(!String::from_utf8_lossy(&seen).contains("[DONE]"));
    is_bounded_and_paid(&server, &upstream, &customer, "stops", &seen).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_holds_the_engine_back_and_pays_for_what_was_sent() {
    let upstream = Upstream::start().await;
    let server = bare().start().await;
    open_shop(&server, &upstream).await;
    let customer = customer(&server, "slow", "1000").await;
    let mut connection = connect(&server).await;
    ask(&mut connection, &customer.key, &long("slow"), true).await;
    let mut seen = Vec::new();
    let mut piece = [0; 2048];
    let mut pace = interval(Duration::from_millis(2));
    while seen.len() < 512 * 1024 {
        pace.tick().await;
        let count = timeout(SOON, connection.read(&mut piece)).await.unwrap().unwrap();
        assert!(count > 0, "cut");
        seen.extend_from_slice(&piece[..count]);
    }
    drop(connection);
    is_bounded_and_paid(&server, &upstream, &customer, "slow", &seen).await;
    assert_eq!(
        server
            .request(Method::GET, "/healthz")
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
}
