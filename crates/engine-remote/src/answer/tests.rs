//! Frames in, events out.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use silica_engine::Usage;
use silica_types::{SystemClock, UsageSource};

use super::*;
use crate::estimate::Forwarded;

fn answer(choices: u32) -> Answer {
    let ceiling = Ceiling::new(TokenCount(100), Some(1));
    Answer::new(choices, TokenCount(7), Some(1), ceiling, Arc::new(SystemClock))
}

/// An answer to a call of one token.
fn short_answer(choices: u32) -> Answer {
    let ceiling = Ceiling::new(TokenCount(1), None);
    Answer::new(choices, TokenCount(7), None, ceiling, Arc::new(SystemClock))
}

/// Plays frames, then the end, and returns all events.
fn play(choices: u32, frames: &[Value]) -> Result<Vec<ChatEvent>, RemoteError> {
    let mut answer = answer(choices);
    for frame in frames {
        answer.frame(frame.to_string().as_bytes())?;
    }
    answer.finish();
    Ok(std::iter::from_fn(|| answer.next_event()).collect())
}

fn choice(index: u32, delta: &Value, finish: Option<&str>) -> Value {
    json!({"choices": [{"index": index, "delta": delta, "finish_reason": finish}]})
}

fn content(text: &str) -> Value {
    choice(0, &json!({"content": text}), None)
}

fn stop() -> Value {
    choice(0, &json!({}), Some("stop"))
}

fn usage(prompt: u32, completion: u32) -> Value {
    json!({"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": completion}})
}

/// Events in short, with the completion counted so far.
fn brief(events: &[ChatEvent]) -> Vec<String> {
    let brief = |event: &ChatEvent| {
        let kind = match &event.kind {
            ChatEventKind::Started => "started".to_owned(),
            ChatEventKind::Forwarded { .. } => unreachable!("nothing was forwarded"),
            ChatEventKind::Finished { choice, reason, .. } => format!("{choice} {reason:?}"),
            ChatEventKind::Delta { choice, delta } => match delta {
                Delta::Content { text, .. } => format!("{choice} {text}"),
                Delta::Reasoning { text } => format!("{choice} ({text})"),
                Delta::ToolCallStarted { index, name, .. } => format!("{choice} #{index} {name}"),
                Delta::ToolCallArguments { index, fragment } => format!("{choice} #{index} {fragment}"),
            },
        };
        format!("{kind} = {}", event.usage.completion)
    };
    events.iter().map(brief).collect()
}

#[test]
fn an_answer_is_estimated_until_its_usage_comes_after_the_last_end() {
    let role = choice(0, &json!({"role": "assistant", "content": ""}), None);
    let events = play(1, &[role, content("a"), content("b"), stop(), usage(35, 3)]).unwrap();
    assert_eq!(
        brief(&events),
        ["started = 0", "0 a = 1", "0 b = 2", "0 Stop = 3"]
    );
    let likely = Usage {
        prompt: TokenCount(7),
        completion: TokenCount(2),
        source: UsageSource::Estimated,
        ..Usage::default()
    };
    assert_eq!(events[2].usage, likely);
    assert_eq!(
        events[3].usage,
        Usage {
            prompt: TokenCount(35),
            completion: TokenCount(3),
            ..Usage::default()
        }
    );
}

#[test]
fn usage_in_every_frame_covers_the_text_beside_it() {
    let frame = |text: &str, completion: u32| {
        let mut frame = content(text);
        frame["usage"] = usage(35, completion)["usage"].clone();
        frame
    };
    let events = play(1, &[frame("", 0), frame("a", 1), frame("bc", 3), stop()]).unwrap();
    assert_eq!(
        brief(&events),
        ["started = 0", "0 a = 1", "0 bc = 3", "0 Stop = 3"]
    );
    assert!(
        events
            .iter()
            .all(|event| event.usage.source == UsageSource::Engine)
    );
}

#[test]
fn usage_without_a_completion_keeps_the_one_that_was_counted() {
    let mut without = usage(35, 0);
    without["usage"]
        .as_object_mut()
        .unwrap()
        .remove("completion_tokens");
    let events = play(1, &[content("a"), content("b"), stop(), without]).unwrap();
    let counted = Usage {
        prompt: TokenCount(35),
        completion: TokenCount(2),
        source: UsageSource::Estimated,
        ..Usage::default()
    };
    assert_eq!(events.last().unwrap().usage, counted);
}

#[test]
fn an_answer_beyond_its_ceiling_ends_every_choice_that_has_not_ended() {
    let mut answer = short_answer(3);
    answer.frame(stop().to_string().as_bytes()).unwrap();
    let mut frames = 1;
    while !answer.is_over() {
        let text = choice(1, &json!({"content": "x"}), None);
        answer.frame(text.to_string().as_bytes()).unwrap();
        frames += 1;
    }
    // The frame that was one too many is not forwarded.
    assert_eq!(frames, 4 + 1024 + 1);
    assert!(answer.is_complete());
    answer.finish();
    let events: Vec<_> = std::iter::from_fn(|| answer.next_event()).collect();
    assert_eq!(
        brief(&events[events.len() - 3..]),
        ["1 x = 1027", "1 Length = 1027", "2 Length = 1027"]
    );
    assert_eq!(brief(&events[..3]), ["started = 0", "0 Stop = 0", "1 x = 1"]);
}

#[test]
fn the_ceiling_is_of_bytes_as_well_and_keeps_the_usage_of_its_frame() {
    for name in ["content", "reasoning"] {
        let mut answer = short_answer(1);
        let mut frame = choice(0, &json!({name: "x".repeat(64 * 1024 + 64 + 1)}), None);
        frame["usage"] = usage(35, 20_000)["usage"].clone();
        answer.frame(frame.to_string().as_bytes()).unwrap();
        assert!(answer.is_over());
        answer.finish();
        let events: Vec<_> = std::iter::from_fn(|| answer.next_event()).collect();
        assert_eq!(brief(&events), ["started = 20000", "0 Length = 20000"]);
        assert_eq!(events[1].usage.source, UsageSource::Engine);
    }
}

#[test]
fn frames_that_say_nothing_and_log_probabilities_count_for_the_ceiling() {
    let mut answer = short_answer(1);
    while !answer.is_over() {
        answer.frame(br#"{"choices":[]}"#).unwrap();
    }
    let ceiling = Ceiling::new(TokenCount(1), Some(0));
    let mut answer = Answer::new(1, TokenCount(7), Some(0), ceiling, Arc::new(SystemClock));
    let mut frame = content("a");
    let entry = json!({"token": "a", "logprob": -0.5});
    frame["choices"][0]["logprobs"] = json!({"content": vec![entry; 4 + 1024 + 1]});
    answer.frame(frame.to_string().as_bytes()).unwrap();
    assert!(answer.is_over());
}

#[test]
fn only_the_last_choice_waits_for_the_usage() {
    let second = |delta: &Value, finish| choice(1, delta, finish);
    let frames = [
        content("a"),
        second(&json!({"content": "b"}), None),
        stop(),
        second(&json!({"content": "c"}), Some("length")),
    ];
    let mut answer = answer(2);
    for frame in &frames {
        answer.frame(frame.to_string().as_bytes()).unwrap();
    }
    assert!(answer.is_complete());
    let events: Vec<_> = std::iter::from_fn(|| answer.next_event()).collect();
    assert_eq!(
        brief(&events),
        ["started = 0", "0 a = 1", "1 b = 2", "0 Stop = 2", "1 c = 3"]
    );
    answer.finish();
    assert_eq!(brief(&[answer.next_event().unwrap()]), ["1 Length = 3"]);
}

#[test]
fn reasoning_comes_under_either_name_and_is_counted_as_such() {
    let frames = [
        choice(0, &json!({"content": null, "reasoning_content": "x"}), None),
        choice(0, &json!({"reasoning": "y"}), None),
        choice(0, &json!({"content": "z", "reasoning_content": null}), None),
        stop(),
    ];
    let events = play(1, &frames).unwrap();
    assert_eq!(
        brief(&events),
        ["started = 0", "0 (x) = 1", "0 (y) = 2", "0 z = 3", "0 Stop = 3"]
    );
    assert_eq!(events[4].usage.reasoning, TokenCount(2));
}

#[test]
fn tool_calls_and_text_of_one_frame_are_one_frame_of_tokens() {
    let call = json!({"index": 0, "id": "x", "function": {"name": "f", "arguments": "{}"}});
    let frames = [
        choice(0, &json!({"content": "a", "tool_calls": [call]}), None),
        choice(0, &json!({}), Some("tool_calls")),
    ];
    let events = play(1, &frames).unwrap();
    assert_eq!(
        brief(&events),
        [
            "started = 0",
            "0 a = 1",
            "0 #0 f = 1",
            "0 #0 {} = 1",
            "0 ToolCalls = 1"
        ]
    );
}

#[test]
fn log_probabilities_go_with_the_text_when_they_were_asked_for() {
    let entry = json!({"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [
        {"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -1.5},
    ]});
    let mut frame = content("a");
    frame["choices"][0]["logprobs"] = json!({"content": [entry]});
    let events = play(1, &[frame.clone()]).unwrap();
    let ChatEventKind::Delta {
        delta: Delta::Content { logprobs, .. },
        ..
    } = &events[1].kind
    else {
        panic!("content, not {:?}", events[1]);
    };
    assert_eq!((logprobs.len(), logprobs[0].top.len()), (1, 1));
    assert_eq!(logprobs[0].token.bytes, b"a");
    let mut answer = short_answer(1);
    answer.frame(frame.to_string().as_bytes()).unwrap();
    let silent = answer.ready.into_iter().all(|event| {
        !matches!(event.kind, ChatEventKind::Delta { delta: Delta::Content { logprobs, .. }, .. }
            if !logprobs.is_empty())
    });
    assert!(silent);
}

#[test]
fn frames_that_make_no_sense_cut_the_answer() {
    for frames in [
        vec![json!([])],
        vec![json!({"choices": [{"index": "0"}]})],
        vec![choice(1, &json!({"content": "a"}), None)],
        vec![stop(), content("a")],
        vec![choice(0, &json!({"content": 5}), None)],
        vec![
            usage(u32::MAX, 0),
            json!({"usage": {"prompt_tokens": 4_294_967_296_u64}}),
        ],
    ] {
        let refused = play(1, &frames).unwrap_err();
        assert!(
            matches!(refused, RemoteError::Malformed { .. }),
            "{frames:?}: {refused:?}"
        );
    }
    let failed = play(
        1,
        &[json!({"error": {"message": "the prompt said x", "code": 500}})],
    )
    .unwrap_err();
    assert_eq!(failed.to_string(), "the engine reported a failure with code 500");
    assert!(matches!(
        play(1, &[choice(0, &json!({}), Some("abort"))]),
        Err(RemoteError::Reported { code: None })
    ));
}

#[test]
fn a_malformed_frame_is_not_quoted() {
    let frame = content("a secret")
        .to_string()
        .replace("\"a secret\"", "[\"a secret\"]");
    let refused = answer(1).frame(frame.as_bytes()).unwrap_err();
    assert!(
        !format!("{refused:?} {refused}").contains("secret"),
        "{refused:?}"
    );
}

#[test]
fn a_second_end_and_an_empty_frame_after_it_change_nothing() {
    let events = play(1, &[content("a"), stop(), stop(), content("")]).unwrap();
    assert_eq!(brief(&events), ["started = 0", "0 a = 1", "0 Stop = 1"]);
}

proptest! {
    #[test]
    fn usage_never_falls_and_estimates_add_up_whatever_the_frames(
        texts in prop::collection::vec("[a-zé]{0,40}", 0..20),
    ) {
        let frames: Vec<Value> = texts.iter().map(|text| content(text)).chain([stop()]).collect();
        let events = play(1, &frames).unwrap();
        let counts: Vec<u32> = events.iter().map(|event| event.usage.completion.get()).collect();
        prop_assert!(counts.is_sorted());
        let mut expected = Forwarded::default();
        for text in &texts {
            expected.add(weight(text));
        }
        prop_assert_eq!(counts.last().copied(), Some(expected.tokens().get()));
    }
}

proptest! {
    #[test]
    fn no_frame_of_any_kind_breaks_more_than_its_answer(
        frames in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..40),
                r#"\{"choices":\[\{"index":[0-2],"delta":\{"(content|reasoning|x)":("a"|null|7)\}(,"finish_reason":"(stop|abort)")?\}\](,"usage":\{"prompt_tokens":[0-9]{1,11}\})?\}"#
                    .prop_map(String::into_bytes),
            ],
            0..12,
        ),
    ) {
        let mut answer = answer(2);
        let mut finished = 0;
        for frame in frames {
            let taken = answer.frame(&frame);
            if taken.is_err() {
                break;
            }
        }
        answer.finish();
        while let Some(event) = answer.next_event() {
            finished += u32::from(matches!(event.kind, ChatEventKind::Finished { .. }));
        }
        prop_assert!(finished <= 2);
    }
}

#[test]
fn the_text_that_ended_an_answer_is_told_where_the_engine_tells_it() {
    for (name, told, expected) in [
        ("stop_reason", json!("END"), Some("END")),
        ("matched_stop", json!("END"), Some("END")),
        // The number of a token.
        ("stop_reason", json!(151_645), None),
        ("matched_stop", Value::Null, None),
    ] {
        let mut end = stop();
        end["choices"][0][name] = told;
        let events = play(1, &[content("a"), end, usage(35, 1)]).unwrap();
        let Some(ChatEventKind::Finished { stop, .. }) = events.last().map(|event| &event.kind) else {
            panic!("no end: {events:?}");
        };
        assert_eq!(stop.as_deref(), expected, "{name}");
    }
}
