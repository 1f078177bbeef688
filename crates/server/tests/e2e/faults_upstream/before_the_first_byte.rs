//! Faults before the client has seen a byte: the next replica answers, and only that is paid.

use silica_testkit::{
    DeadEnd, FirstFrame, Upstream, UpstreamCall, UpstreamFault, UpstreamOutcome, UpstreamScript,
};

use super::pair::{Replica, Shop, faulty, good};

/// What an engine may take in of an answer that it refuses, in bytes, its own buffers and those of
/// the system on both sides included.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// Faults of an engine that reads the request, each with the name of its test.
const READING: [(&str, UpstreamFault); 20] = [
    ("too-many-requests", UpstreamFault::Status(429)),
    ("internal-error", UpstreamFault::Status(500)),
    ("bad-gateway", UpstreamFault::Status(502)),
    ("unavailable", UpstreamFault::Status(503)),
    ("gateway-timeout", UpstreamFault::Status(504)),
    ("unauthorised", UpstreamFault::Status(401)),
    ("forbidden", UpstreamFault::Status(403)),
    ("not-found", UpstreamFault::Status(404)),
    ("redirect", UpstreamFault::Status(307)),
    ("wrong-content-type", UpstreamFault::Html),
    ("empty-body", UpstreamFault::Empty),
    ("truncated-json", UpstreamFault::Truncate(0)),
    ("no-json", UpstreamFault::Garble(0)),
    ("malformed-events", UpstreamFault::Noise(0)),
    ("error-object", UpstreamFault::Report(0)),
    ("end-before-the-answer", UpstreamFault::End(0)),
    ("cut-before-the-answer", UpstreamFault::Cut(0)),
    ("never-answered", UpstreamFault::Hang),
    ("head-and-silence", UpstreamFault::Stall(0)),
    ("decompression-bomb", UpstreamFault::Bomb),
];
/// One that moves streams alone: how long an answer in one piece is, is a matter of the request.
const ENDLESS: (&str, UpstreamFault) = ("endless", UpstreamFault::Endless(0));

/// Makes one call and expects the second replica's answer.
async fn moves(shop: &Shop, name: &str, first: &Replica, is_streamed: bool) {
    let second = good().await;
    let model = format!("fault/{name}-{is_streamed}");
    shop.deploy(&model, &[first, &second]).await;
    let told = shop.call(&model, &model, is_streamed).await;
    told.is_whole(&model, is_streamed);
    assert_eq!(second.calls(), 1, "{model}");
    shop.due(&model);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_an_engine_that_reads_the_request_moves_a_stream() {
    let shop = Shop::open().await;
    for (name, fault) in READING.into_iter().chain([ENDLESS]) {
        let first = Replica::with(fault).await;
        moves(&shop, name, &first, true).await;
        assert_eq!(first.calls(), 1, "{name}");
    }
    shop.is_paid().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_an_engine_that_reads_the_request_moves_an_answer_in_one_piece() {
    let shop = Shop::open().await;
    let halves = [
        ("half-and-cut", UpstreamFault::Cut(1)),
        ("half-and-silence", UpstreamFault::Stall(1)),
        ("half-is-all", UpstreamFault::Truncate(1)),
        ("signs-of-life-only", UpstreamFault::Chatter(0)),
    ];
    for (name, fault) in READING.into_iter().chain(halves) {
        let first = Replica::with(fault).await;
        moves(&shop, name, &first, false).await;
        assert_eq!(first.calls(), 1, "{name}");
    }
    shop.is_paid().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_has_said_no_word_moves() {
    let shop = Shop::open().await;
    for (name, fault) in [
        ("nothing-and-cut", UpstreamFault::Cut(0)),
        ("nothing-and-end", UpstreamFault::End(0)),
        ("nothing-and-error", UpstreamFault::Report(0)),
        ("nothing-and-garbage", UpstreamFault::Garble(0)),
        ("nothing-and-half-a-frame", UpstreamFault::Truncate(0)),
        ("nothing-and-silence", UpstreamFault::Stall(0)),
        ("nothing-and-comments", UpstreamFault::Chatter(0)),
        ("nothing-and-endless-frame", UpstreamFault::Endless(0)),
    ] {
        for begin in [FirstFrame::Role, FirstFrame::RoleOnly, FirstFrame::NoChoices] {
            let script = UpstreamScript {
                first: begin,
                ..faulty(fault)
            };
            let first = Replica::Engine(Upstream::start_with(script).await);
            moves(&shop, &format!("{name}-{begin:?}"), &first, true).await;
            assert_eq!(first.calls(), 1, "{name} {begin:?}");
        }
    }
    shop.is_paid().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_reads_no_request_moves_the_call() {
    let shop = Shop::open().await;
    for is_streamed in [true, false] {
        // What takes a connection takes one; a refused or ignored one is not taken.
        for (name, end, connections) in [
            ("refused", DeadEnd::refusing(), 0),
            ("connect-timeout", DeadEnd::full().await, 0),
            ("silent", DeadEnd::silent(), 1),
            ("closed", DeadEnd::closing(), 1),
        ] {
            let first = Replica::Dead(end);
            moves(&shop, name, &first, is_streamed).await;
            assert_eq!(first.connections(), connections, "{name}");
        }
    }
    shop.is_paid().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tls_fault_moves_the_call_and_the_request_is_never_shown() {
    let shop = Shop::open().await;
    for is_streamed in [true, false] {
        let untrusted = Upstream::start_tls(faulty(UpstreamFault::None)).await;
        let first = Replica::Engine(untrusted);
        moves(&shop, "untrusted", &first, is_streamed).await;
        assert_eq!((first.calls(), first.connections()), (0, 1));

        let plain = Upstream::start_with(faulty(UpstreamFault::None)).await;
        let url = plain.base_url().replace("http:", "https:");
        let first = Replica::Misaddressed(plain, url);
        moves(&shop, "no-tls", &first, is_streamed).await;
        assert_eq!((first.calls(), first.connections()), (0, 1));

        let secret = Upstream::start_tls(faulty(UpstreamFault::None)).await;
        let url = secret.base_url().replace("https:", "http:");
        let first = Replica::Misaddressed(secret, url);
        moves(&shop, "tls-not-expected", &first, is_streamed).await;
        assert_eq!(first.calls(), 0);
    }
    shop.is_paid().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_end_is_left_and_not_taken_in() {
    let shop = Shop::open().await;
    for (name, fault, is_streamed) in [
        ("bytes-endless", UpstreamFault::Endless(0), true),
        ("bytes-bomb", UpstreamFault::Bomb, true),
        ("bytes-bomb", UpstreamFault::Bomb, false),
    ] {
        let first = Replica::with(fault).await;
        moves(&shop, name, &first, is_streamed).await;
        is_left(&first).await;
    }
    let first = Replica::with(UpstreamFault::Endless(0)).await;
    shop.deploy("bytes/whole", &[&first]).await;
    assert_eq!(shop.call("bytes/whole", "whole", false).await.status, 500);
    is_left(&first).await;
    let most = shop.server.resident_bytes();
    assert!(most < 512 * 1024 * 1024, "{most} bytes are in memory");
    shop.is_paid().await;
}

/// Checks that the one call of an engine ended long before its answer did.
async fn is_left(replica: &Replica) {
    let Replica::Engine(upstream) = replica else {
        unreachable!("an engine in all of these tests")
    };
    let is_over = |call: &UpstreamCall| call.outcome != UpstreamOutcome::Running;
    let call = upstream.call_until("first", is_over).await;
    assert!(call.bytes < MOST_BYTES, "{call:?}");
}
