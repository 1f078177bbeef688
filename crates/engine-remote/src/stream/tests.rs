use futures::StreamExt as _;
use http_body::Frame;
use http_body_util::StreamBody;
use silica_engine::{ChatEventKind, EngineError, FinishReason, WireRoute};
use silica_types::TokenCount;

use super::*;
use crate::ceiling::Ceiling;
use crate::forward::{Forwarding, Identity};

const LIMITS: Limits = Limits {
    first_frame: Duration::from_secs(10),
    stall: Duration::from_secs(10),
    usage: Duration::from_secs(10),
    whole: Duration::from_secs(10),
};

fn forwarding() -> Forwarding {
    let identity = Identity {
        id: br#""ours""#.to_vec(),
        model: br#""public""#.to_vec(),
    };
    let ceiling = Ceiling::new(TokenCount(100), None);
    Forwarding::new(identity, WireRoute::ChatCompletions, 1, TokenCount(9), ceiling)
}

fn word(word: &str) -> Bytes {
    format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{word}\"}}}}]}}\n\n").into()
}

fn stop() -> Bytes {
    Bytes::from_static(b"data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
}

/// The events of an answer that comes in these pieces.
fn read(pieces: impl futures::Stream<Item = Bytes> + Send + 'static) -> ChatStream {
    let frames = pieces.map(|piece| Ok(Frame::data(piece)));
    let body = StreamBody::new(frames.boxed());
    events(
        body,
        forwarding(),
        LIMITS,
        Instant::now() + LIMITS.first_frame,
        "engine".into(),
    )
}

#[tokio::test]
async fn frames_that_are_there_together_become_one_event() {
    let pieces = [
        word("a"),
        word("b"),
        [word("c"), word("d")].concat().into(),
        stop(),
    ];
    let events: Vec<_> = read(stream::iter(pieces)).collect().await;
    let [Ok(event)] = events.as_slice() else {
        panic!("not one event: {events:?}");
    };
    let ChatEventKind::Forwarded { bytes, has_text, end } = &event.kind else {
        panic!("not forwarded: {event:?}");
    };
    assert!(has_text);
    assert_eq!(*end, Some(FinishReason::Stop));
    assert_eq!(
        bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .count(),
        5
    );
}

/// Pieces that come one by one, a second apart.
fn each_second(pieces: impl Iterator<Item = Bytes> + Send + 'static) -> impl futures::Stream<Item = Bytes> {
    stream::iter(pieces).then(async |piece| {
        tokio::time::sleep(Duration::from_secs(1)).await;
        piece
    })
}

#[tokio::test(start_paused = true)]
async fn frames_and_comments_without_words_win_no_time() {
    let nothings = [
        Bytes::from_static(b"data: {\"choices\":[{\"delta\":{\"content\":\"\"}}]}\n\n"),
        Bytes::from_static(b"data: {\"choices\":[]}\n\n"),
        Bytes::from_static(b": well\n\n"),
    ];
    let begun = Instant::now();
    let events: Vec<_> = read(each_second(
        std::iter::once(word("a")).chain(nothings.into_iter().cycle()),
    ))
    .collect()
    .await;
    assert!(
        matches!(events.last(), Some(Err(EngineError::TimedOut(_)))),
        "{events:?}"
    );
    assert_eq!(begun.elapsed().as_secs(), 1 + LIMITS.stall.as_secs());
}

#[tokio::test(start_paused = true)]
async fn each_word_wins_time() {
    let words = (0..50).map(|_| word("a")).chain([stop()]);
    let events: Vec<_> = read(each_second(words)).collect().await;
    assert_eq!(events.len(), 51);
    assert!(events.iter().all(Result::is_ok), "{events:?}");
}
