use proptest::prelude::*;
use silica_engine::{
    ChatEvent, ChatEventKind, Delta, FinishReason, Moderator as _, TextLogprob, TopLogprob, Usage,
};

use super::*;
use crate::border::folded;
use crate::{WordList, spellings};

fn event(kind: ChatEventKind) -> ChatEvent {
    let usage = Usage::default();
    ChatEvent { usage, kind }
}

fn content(choice: u32, text: &str) -> ChatEvent {
    let delta = Delta::Content {
        text: text.to_owned(),
        logprobs: Vec::new(),
    };
    event(ChatEventKind::Delta { choice, delta })
}

fn reasoning(text: &str) -> ChatEvent {
    let text = text.to_owned();
    event(ChatEventKind::Delta {
        choice: 0,
        delta: Delta::Reasoning { text },
    })
}

fn arguments(index: u32, fragment: &str) -> ChatEvent {
    let fragment = fragment.to_owned();
    event(ChatEventKind::Delta {
        choice: 0,
        delta: Delta::ToolCallArguments { index, fragment },
    })
}

fn call(index: u32, name: &str) -> ChatEvent {
    let (id, name) = (String::new(), name.to_owned());
    event(ChatEventKind::Delta {
        choice: 0,
        delta: Delta::ToolCallStarted { index, id, name },
    })
}

fn finished(choice: u32) -> ChatEvent {
    let reason = FinishReason::Stop;
    event(ChatEventKind::Finished {
        choice,
        reason,
        stop: None,
    })
}

/// Lets an answer through as far as a list does. Returns what went on, and whether all was let through.
fn through(list: &WordList, windows: Option<Windows>, events: &[ChatEvent]) -> (Vec<ChatEvent>, bool) {
    let mut held = HeldAnswer::new(2, windows);
    let mut gone = Vec::new();
    let mut step = |held: &mut HeldAnswer| {
        while let Some(texts) = held.to_judge() {
            if texts
                .into_iter()
                .flat_map(spellings)
                .any(|text| list.is_in(&text))
            {
                return false;
            }
            held.passed();
        }
        gone.extend(std::iter::from_fn(|| held.pop()));
        true
    };
    for event in events {
        held.push(event.clone());
        if !step(&mut held) {
            return (gone, false);
        }
    }
    held.end();
    let all = step(&mut held);
    (gone, all)
}

const fn windows(size: usize, overlap: usize) -> Windows {
    Windows { size, overlap }
}

/// The visible text of choice 0.
fn text(events: &[ChatEvent]) -> String {
    let texts = events.iter().filter_map(|event| match &event.kind {
        ChatEventKind::Delta {
            choice: 0,
            delta: Delta::Content { text, .. },
        } => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

#[test]
fn nothing_goes_on_before_its_window_has_passed_and_the_overlap_stays() {
    let mut held = HeldAnswer::new(1, Some(windows(6, 2)));
    held.push(event(ChatEventKind::Started));
    held.push(content(0, "abc"));
    assert_eq!(held.to_judge(), None);
    // The begin of an answer has no text, but it decides between an error and an answer.
    held.push(content(0, "de"));
    assert_eq!(held.pop(), None);
    assert_eq!(held.to_judge(), Some(vec!["abcd".to_owned()]));
    assert_eq!(held.to_judge(), None, "one judgement at a time");
    held.passed();
    assert_eq!(held.pop(), Some(event(ChatEventKind::Started)));
    assert_eq!(held.pop(), None, "c is held back");
    held.push(finished(0));
    assert_eq!(held.to_judge(), Some(vec!["cde".to_owned()]));
    held.passed();
    assert_eq!(std::iter::from_fn(|| held.pop()).count(), 3);
}

#[test]
fn a_word_across_two_events_and_a_border_is_found_before_any_of_it_goes_out() {
    let list = WordList::new("secret").unwrap();
    let events = ["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaas", "ec", "r", "et"].map(|text| content(0, text));
    let (gone, all) = through(&list, Some(windows(10 + list.reach(), list.reach())), &events);
    assert!(!all);
    assert!(!text(&gone).contains('s'), "{gone:?}");
}

#[test]
fn reasoning_calls_and_other_choices_are_judged_and_keep_nothing_back_from_each_other() {
    let list = WordList::new("secret").unwrap();
    let windows = Some(windows(30, list.reach()));
    let hidden = [
        vec![reasoning("the sec"), content(0, "x"), reasoning("ret")],
        vec![call(0, "get_secret"), arguments(0, "{}")],
        vec![
            call(0, "f"),
            arguments(0, "{\"sec"),
            call(1, "f"),
            arguments(0, "ret\"}"),
        ],
        vec![content(1, "a secret")],
    ];
    for events in hidden {
        assert!(!through(&list, windows, &events).1, "{events:?}");
    }
    let clean = [
        event(ChatEventKind::Started),
        reasoning("sec"),
        content(0, "ret"),
        call(0, "sec"),
        arguments(0, "ret"),
        content(1, "sec"),
        finished(0),
        content(1, "rate"),
        finished(1),
    ];
    assert_eq!(through(&list, windows, &clean), (clean.to_vec(), true));
    assert_eq!(through(&list, None, &clean), (clean.to_vec(), true));
}

#[test]
fn a_word_that_json_spells_out_is_found_before_any_of_it_goes_out() {
    let list = WordList::new("secret\n\u{1f600}\u{1f600}").unwrap();
    let windows = Some(windows(2 * list.reach(), list.reach()));
    let spelled = |text: &str| {
        text.encode_utf16()
            .map(|unit| format!("\\u{unit:04x}"))
            .collect::<Vec<_>>()
            .concat()
    };
    for word in ["secret", "\u{1f600}\u{1f600}"] {
        for filler in 0..80 {
            let text = format!("{{\"a\":\"{}{}x\"}}", "x".repeat(filler), spelled(word));
            let events: Vec<_> = text
                .chars()
                .map(|character| arguments(0, &character.to_string()))
                .collect();
            let (gone, all) = through(&list, windows, &events);
            assert!(!all, "{text}");
            assert!(gone.len() <= 6 + filler, "{}", gone.len());
        }
    }
}

#[test]
fn what_was_thought_goes_out_with_the_first_window_of_the_answer() {
    let mut held = HeldAnswer::new(1, Some(windows(6, 3)));
    held.push(reasoning("thought"));
    let _ = held.to_judge().unwrap();
    held.passed();
    held.push(content(0, "answer"));
    let _ = held.to_judge().unwrap();
    held.passed();
    assert_eq!(held.pop(), Some(reasoning("thought")));
}

#[test]
fn tokens_that_the_model_did_not_write_go_to_nobody() {
    let token = |text: &str| TopLogprob {
        text: text.to_owned(),
        bytes: text.as_bytes().to_vec(),
        logprob: -0.5,
    };
    let with = |top: Vec<TopLogprob>| {
        let logprobs = vec![TextLogprob {
            token: token("fine"),
            top,
        }];
        let text = "fine".to_owned();
        let delta = Delta::Content { text, logprobs };
        event(ChatEventKind::Delta { choice: 0, delta })
    };
    let list = WordList::new("secret").unwrap();
    let told = through(
        &list,
        None,
        &[with(vec![token("fine"), token("secret")]), finished(0)],
    );
    assert_eq!(told, (vec![with(Vec::new()), finished(0)], true));
}

#[test]
fn an_answer_without_text_is_judged_by_nobody() {
    let mut held = HeldAnswer::new(1, Some(windows(6, 3)));
    held.push(event(ChatEventKind::Started));
    assert_eq!(held.pop(), None);
    held.push(finished(0));
    assert_eq!(held.to_judge(), None);
    assert_eq!(std::iter::from_fn(|| held.pop()).count(), 2);
}

#[test]
fn a_whole_answer_is_judged_at_its_end_at_once() {
    let mut held = HeldAnswer::new(1, None);
    held.push(content(0, "one"));
    held.push(content(0, " two"));
    assert_eq!((held.to_judge(), held.pop()), (None, None));
    held.push(finished(0));
    assert_eq!(held.to_judge(), Some(vec!["one two".to_owned()]));
}

/// Pieces of text with letters that join each other.
fn parts() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(
        "[abAB\u{e9}e\u{301}\u{1100}\u{1161}\u{ff41}\u{ff76}\u{ff9e}]{1,6}",
        0..20,
    )
}

proptest! {
    #[test]
    fn windows_miss_no_word_that_is_spelled_out(
        parts in prop::collection::vec(r"[abAB]|\\\\|\\u006[1-3]|\\u00[eE]9|\\ud83d\\ude00|\\n|\\u|0", 0..80),
        words in prop::collection::vec("[ab\u{e9}\u{1f600}\\\\]{2,4}", 1..3), step in 1_usize..20,
    ) {
        let list = WordList::new(&words.join("\n")).unwrap();
        let windows = Some(windows(list.reach() + step, list.reach()));
        let mut events: Vec<_> = parts.iter().map(|part| arguments(0, part)).collect();
        events.push(finished(0));
        let has_word = spellings(parts.concat()).any(|text| list.is_in(&text));
        let all = through(&list, windows, &events).1;
        prop_assert!(!has_word || !all);
    }

    #[test]
    fn windows_miss_no_word_and_change_nothing_else(
        parts in parts(), words in prop::collection::vec("[ab\u{e9}\u{ac00}\u{30ac}]{2,4}", 1..3), step in 1_usize..20,
    ) {
        let list = WordList::new(&words.join("\n")).unwrap();
        let windows = Some(windows(list.reach() + step, list.reach()));
        let mut events: Vec<_> = parts.iter().map(|part| content(0, part)).collect();
        events.push(finished(0));
        let whole = parts.concat();
        let has_word = words.iter().any(|word| folded(&whole).contains(&folded(word)));
        let (gone, all) = through(&list, windows, &events);
        prop_assert_eq!(all, !has_word);
        if all {
            prop_assert_eq!(gone, events);
        } else {
            prop_assert!(!list.is_in(&text(&gone)));
            prop_assert!(events.starts_with(&gone));
        }
    }
}
