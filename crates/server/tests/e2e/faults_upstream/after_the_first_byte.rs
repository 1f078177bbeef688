//! Faults after the client has seen a word: nobody else is asked, the end is an error and no
//! `[DONE]`, and what was sent is paid.

use silica_testkit::{FirstFrame, Upstream, UpstreamFault, UpstreamOutcome, UpstreamScript, UsageFrames};

use super::pair::{Replica, Shop, frames, good, parse, words};

/// What ten tokens of prompt and two of answer cost, in nano-CNY.
const TWO_WORDS: i64 = 14_000_000;

const FAULTS: [(&str, UpstreamFault); 9] = [
    ("cut", UpstreamFault::Cut(2)),
    ("silence", UpstreamFault::Stall(2)),
    ("error-object", UpstreamFault::Report(2)),
    ("no-json", UpstreamFault::Garble(2)),
    ("end", UpstreamFault::End(2)),
    ("half-a-frame", UpstreamFault::Truncate(2)),
    ("no-event", UpstreamFault::Noise(2)),
    ("comments-only", UpstreamFault::Chatter(2)),
    ("endless-frame", UpstreamFault::Endless(2)),
];

async fn breaks(shop: &Shop, model: &str, script: UpstreamScript) {
    let upstream = Upstream::start_with(UpstreamScript {
        marker: "first".to_owned(),
        usage: UsageFrames::Every,
        ..script
    })
    .await;
    let (first, second) = (Replica::Engine(upstream), good().await);
    shop.deploy(model, &[&first, &second]).await;
    let told = shop.call(model, model, true).await;
    assert_eq!(told.status, 200, "{model}: {told:?}");
    assert_eq!(words(&told.text), "t0 t1 ", "{model}: {told:?}");
    assert!(!told.text.contains("[DONE]"), "{model}: {told:?}");
    let frames = frames(&told.text);
    let last = parse(frames.last().expect("a frame"));
    assert!(last["error"].is_object(), "{model}: {told:?}");
    assert!(last["error"]["message"].is_string(), "{model}: {told:?}");
    assert!(
        !told.text.contains("by the script"),
        "the engine's own words: {told:?}"
    );
    let finishes = frames
        .iter()
        .filter(|frame| frame.contains("\"finish_reason\":\"stop\""));
    assert_eq!(finishes.count(), 0, "{model}: {told:?}");
    assert_eq!((first.calls(), second.calls()), (1, 0), "{model}");
    shop.due_exactly(model, TWO_WORDS);
    let Replica::Engine(upstream) = &first else {
        unreachable!("made above")
    };
    // Whatever it still had to say, nobody listens any more.
    let call = upstream
        .call_until("first", |call| call.outcome != UpstreamOutcome::Running)
        .await;
    assert_eq!(call.produced, 2, "{model}: {call:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_ends_with_an_error_and_is_paid_for_what_was_sent() {
    let shop = Shop::open().await;
    for (name, fault) in FAULTS {
        for first in [FirstFrame::Role, FirstFrame::Token] {
            let script = UpstreamScript {
                fault,
                first,
                ..UpstreamScript::default()
            };
            breaks(&shop, &format!("broken/{name}-{first:?}"), script).await;
        }
    }
    shop.is_paid().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_cannot_say_how_much_it_used_is_paid_by_the_estimate_of_what_was_sent() {
    let shop = Shop::open().await;
    let script = UpstreamScript {
        marker: "first".to_owned(),
        usage: UsageFrames::Last,
        fault: UpstreamFault::Cut(2),
        ..UpstreamScript::default()
    };
    let (first, second) = (Replica::Engine(Upstream::start_with(script).await), good().await);
    shop.deploy("broken/uncounted", &[&first, &second]).await;
    let told = shop.call("broken/uncounted", "uncounted", true).await;
    assert_eq!(words(&told.text), "t0 t1 ");
    assert_eq!((first.calls(), second.calls()), (1, 0));
    // `hello` is two tokens by the estimate, and four are the frame around a message.
    shop.due_exactly("uncounted", 6_000_000 + 4_000_000);
    shop.is_paid().await;
}
