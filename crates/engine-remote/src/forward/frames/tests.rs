use bytes::Bytes;
use serde_json::Value;

use super::*;

fn forwarding(choices: u32) -> Forwarding {
    let identity = Identity {
        id: br#""ours""#.to_vec(),
        model: br#""public""#.to_vec(),
    };
    let ceiling = Ceiling::new(TokenCount(100), None);
    Forwarding::new(
        identity,
        WireRoute::ChatCompletions,
        choices,
        TokenCount(9),
        ceiling,
    )
}

/// What goes to the client of one frame.
fn passed(frame: &str) -> String {
    let mut answer = forwarding(2);
    answer.frame(frame.as_bytes()).unwrap();
    String::from_utf8(bytes(&mut answer).to_vec()).unwrap()
}

fn bytes(answer: &mut Forwarding) -> Bytes {
    match answer.next_event().expect("an event").kind {
        ChatEventKind::Forwarded { bytes, .. } => bytes,
        kind => panic!("not forwarded: {kind:?}"),
    }
}

/// The frames of all that is ready.
fn frames(answer: &mut Forwarding) -> Vec<Value> {
    let text = String::from_utf8(bytes(answer).to_vec()).unwrap();
    let events = text.split_terminator("\n\n");
    let data = events.map(|event| event.strip_prefix("data: ").expect("data"));
    data.map(|data| serde_json::from_str(data).expect("JSON"))
        .collect()
}

const NO_USAGE: &str = r#"{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10,"completion_tokens_details":{"reasoning_tokens":0},"prompt_tokens_details":{"cached_tokens":0},"prompt_cache_hit_tokens":0,"prompt_cache_miss_tokens":9}"#;

#[test]
fn identity_is_written_where_it_stands_and_usage_added_where_it_is_not() {
    let frame = r#"{"id":"x","choices":[{"index":0,"delta":{"content":"a"}}],"model":"m","id2":7}"#;
    let expected =
        r#"{"id":"ours","choices":[{"index":0,"delta":{"content":"a"}}],"model":"public","id2":7,"usage":"#;
    assert_eq!(passed(frame), format!("data: {expected}{NO_USAGE}}}\n\n"));
}

#[test]
fn usage_that_is_the_engines_own_and_whole_stays_as_it_came() {
    let frame = |usage: &str| {
        format!(
            r#"{{"id":"ours","usage":{usage},"choices":[{{"delta":{{"content":"a"}}}}],"model":"public"}}"#
        )
    };
    for usage in [
        r#"{"prompt_tokens":12,"total_tokens":15,"completion_tokens":3}"#,
        r#"{"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15, "prompt_tokens_details": {"cached_tokens": 4}, "own": [1]}"#,
    ] {
        let frame = frame(usage);
        assert_eq!(passed(&frame), format!("data: {frame}\n\n"));
    }
    for usage in [
        "null",
        r#"{"prompt_tokens":12,"completion_tokens":3}"#,
        r#"{"prompt_tokens":12,"completion_tokens":3,"total_tokens":16}"#,
        r#"{"prompt_tokens":0,"completion_tokens":3,"total_tokens":3}"#,
        // More of a part than of the whole.
        r#"{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15,"completion_tokens_details":{"reasoning_tokens":4}}"#,
    ] {
        let passed = passed(&frame(usage));
        assert!(passed.contains("prompt_cache_miss_tokens"), "{usage}: {passed}");
        assert!(!passed.contains(usage), "{usage}: {passed}");
    }
}

#[test]
fn the_last_frame_has_the_usage_that_came_after_it() {
    let mut answer = forwarding(1);
    let usage = r#"{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15}"#;
    let last = r#"{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":1,"total_tokens":13}}"#;
    answer.frame(last.as_bytes()).unwrap();
    answer
        .frame(format!(r#"{{"choices":[],"usage":{usage}}}"#).as_bytes())
        .unwrap();
    assert!(answer.next_event().is_none());
    answer.finish();
    let frames = frames(&mut answer);
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0]["choices"][0]["delta"]["content"], "a");
    assert_eq!(frames[0]["usage"]["completion_tokens"], 3);
    assert_eq!(frames[0]["usage"]["prompt_cache_miss_tokens"], 12);
}

#[test]
fn reasoning_gets_its_old_name_in_each_choice_for_itself() {
    let frame = r#"{"id":1,"choices":[{"index":0,"delta":{"reasoning":"left","content":""}},{"index":1,"delta":{"reasoning_content":"kept","reasoning":"kept"}}],"model":2,"usage":3}"#;
    let mut answer = forwarding(2);
    // A usage that is no report is refused, so the frame goes without.
    answer
        .frame(frame.replace(",\"usage\":3", "").as_bytes())
        .unwrap();
    let delta = |frames: &[Value], choice: usize| frames[0]["choices"][choice]["delta"].clone();
    let found = frames(&mut answer);
    assert_eq!(
        delta(&found, 0),
        serde_json::json!({"reasoning_content": "left", "content": ""})
    );
    assert_eq!(
        delta(&found, 1),
        serde_json::json!({"reasoning_content": "kept", "reasoning": "kept"})
    );

    let null_first = r#"{"choices":[{"delta":{"reasoning_content":null,"reasoning":"a \"reasoning\" b"}}]}"#;
    let passed = passed(null_first);
    let expected = r#""delta":{"reasoning":null,"reasoning_content":"a \"reasoning\" b"}"#;
    assert!(passed.contains(expected), "{passed}");
}

#[test]
fn a_frame_of_several_lines_is_one_line() {
    let passed = passed("{\"choices\":\n[{\"delta\":{\"content\":\"a\\nb\"}}]\n}");
    assert!(
        passed.starts_with(r#"data: {"choices": [{"delta":{"content":"a\nb"}}] ,"id":"ours""#),
        "{passed}"
    );
    assert_eq!(passed.find('\n'), Some(passed.len() - 2));
}

#[test]
fn what_is_no_object_is_no_frame() {
    for frame in [
        r#"["id","model",null,[{"index":0,"delta":{"content":"a"}}],null,null,null]"#,
        "",
        "7",
        "null",
        r#"{"choices":[{"delta":["a"]}]}"#,
    ] {
        let refused = forwarding(1).frame(frame.as_bytes());
        assert!(matches!(refused, Err(RemoteError::Malformed { .. })), "{frame}");
    }
    forwarding(1).frame(b" {\"choices\":null}").unwrap();
}

#[test]
fn frames_are_written_to_the_same_place_once_the_one_before_is_gone() {
    let mut answer = forwarding(1);
    let frame = r#"{"id":"x","model":"m","choices":[{"delta":{"content":"a"}}]}"#;
    let mut place = |frame: &str| {
        answer.frame(frame.as_bytes()).unwrap();
        bytes(&mut answer).as_ptr().addr()
    };
    let first = place(frame);
    assert!((0..20).all(|_| place(frame) == first));
}

#[test]
fn an_answer_that_has_ended_when_it_meets_the_ceiling_keeps_its_own_end() {
    let mut answer = forwarding(1);
    let last = r#"{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}"#;
    answer.frame(last.as_bytes()).unwrap();
    let counted = answer.tally.usage();
    while !answer.is_over() {
        answer.frame(br#"{"choices":[]}"#).unwrap();
    }
    answer.finish();
    let found = frames(&mut answer);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["choices"][0]["finish_reason"], "stop");
    assert_eq!(found[0]["choices"][0]["delta"]["content"], "a");
    assert_eq!(answer.tally.usage(), counted);
}

#[test]
fn text_beyond_the_ceiling_is_neither_passed_on_nor_counted() {
    let mut answer = forwarding(2);
    answer
        .frame(br#"{"choices":[{"delta":{"content":"a"}}]}"#)
        .unwrap();
    let counted = answer.tally.usage();
    let large = "x y ".repeat(64 * 1024);
    let over = format!(r#"{{"choices":[{{"delta":{{"content":"{large}"}},"finish_reason":"stop"}}]}}"#);
    answer.frame(over.as_bytes()).unwrap();
    assert!(answer.is_over());
    answer.finish();
    let found = frames(&mut answer);
    let ends: Vec<_> = found
        .iter()
        .flat_map(|frame| frame["choices"].as_array().unwrap())
        .collect();
    assert_eq!(ends.len(), 3, "a word, and the end of each choice: {ends:?}");
    assert!(ends[1..].iter().all(|choice| choice["finish_reason"] == "length"));
    assert_eq!(answer.tally.usage(), counted);
}

#[test]
fn what_waits_for_the_first_word_is_bounded() {
    let mut answer = forwarding(1);
    let frame = format!(
        r#"{{"x":"{}","choices":[{{"delta":{{"role":"assistant"}}}}]}}"#,
        "y".repeat(300_000)
    );
    let taken = (0..10).take_while(|_| answer.frame(frame.as_bytes()).is_ok());
    assert_eq!(taken.count(), 3);
    assert!(!answer.has_begun());
}

/// What a client gets of frames, all together, and what is counted; with templates or without.
fn passed_all(frames: &[String], templates: u8) -> (String, Vec<Usage>, bool) {
    let mut answer = forwarding(2);
    answer.templates_left = templates;
    let mut text = String::new();
    let mut usages = Vec::new();
    let mut failed = false;
    for frame in frames {
        failed |= answer.frame(frame.as_bytes()).is_err();
        while let Some(event) = answer.next_event() {
            usages.push(event.usage);
            if let ChatEventKind::Forwarded { bytes, .. } = event.kind {
                text.push_str(std::str::from_utf8(&bytes).unwrap());
            }
        }
    }
    (text, usages, failed)
}

proptest::proptest! {
    /// Texts as they may come, escapes, quotation marks and halves of characters among them, in frames
    /// of several forms, where one is often like the one before.
    #[test]
    fn frames_alike_pass_as_they_would_alone(
        frames in proptest::collection::vec((0_usize..8, 0_usize..3, "([a-z \u{e9}\u{4e2d}]|\\\\n|\\\\u00e9|\\\\|\"|\u{1}){0,6}"), 1..24),
    ) {
        let frames: Vec<String> = frames
            .into_iter()
            .map(|(form, choice, text)| match form {
                0 => format!(r#"{{"id":"x","choices":[{{"index":{choice},"delta":{{"role":"assistant","content":"{text}"}},"finish_reason":null}}],"usage":null}}"#),
                1 => format!(r#"{{"id":"x","choices":[{{"index":{choice},"delta":{{"content":"","reasoning_content":"{text}"}}}}]}}"#),
                2 => format!(r#"{{"usage":null,"choices":[{{"delta":{{"content":"{text}"}}}}]}}"#),
                3 => format!(r#"{{"id":"x","choices":[{{"index":{choice},"delta":{{"reasoning":"{text}"}}}}]}}"#),
                4 => format!(r#"{{"id":"x","choices":[{{"index":{choice},"delta":{{"content":"{text}"}},"finish_reason":"stop"}}]}}"#),
                _ => format!(r#"{{"id":"x","model":"m","choices":[{{"index":{choice},"delta":{{"content":"{text}"}},"finish_reason":null}}]}}"#),
            })
            .collect();
        proptest::prop_assert_eq!(passed_all(&frames, TEMPLATES), passed_all(&frames, 0));
    }
}

#[test]
fn a_frame_like_the_one_before_is_not_read_again() {
    let frame =
        |text: &str| format!(r#"{{"id":"x","choices":[{{"delta":{{"content":"{text}"}}}}],"model":"m"}}"#);
    let mut answer = forwarding(1);
    answer.frame(frame("one").as_bytes()).unwrap();
    assert!(answer.pass_alike(frame("two \u{4e2d}").as_bytes()));
    assert!(!answer.pass_alike(frame(r"t\u0077o").as_bytes()));
    assert!(!answer.pass_alike(frame(r#"","role":"system"#).as_bytes()));
    assert!(!answer.pass_alike(frame("two").replace('x', "y").as_bytes()));
    let frames = frames(&mut answer);
    assert_eq!(frames[1]["choices"][0]["delta"]["content"], "two \u{4e2d}");
    assert_eq!(frames[1]["id"], "ours");
    assert_eq!(frames[1]["usage"]["completion_tokens"], 2);
}

#[test]
fn large_frames_leave_nothing_behind() {
    let mut answer = forwarding(1);
    let frame = |more: usize| {
        let more = "y".repeat(more);
        format!(r#"{{"x":"{more}","choices":[{{"delta":{{"content":"a"}}}}]}}"#)
    };
    answer.frame(frame(1).as_bytes()).unwrap();
    assert!(answer.template.is_some());
    answer.frame(frame(5000).as_bytes()).unwrap();
    assert!(answer.template.is_none());
}
