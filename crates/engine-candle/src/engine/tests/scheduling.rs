//! Batches, prompts in parts, shared beginnings, blocks that run out, and order.

use std::hash::{DefaultHasher, Hash, Hasher};

use proptest::prelude::*;
use silica_types::{AccountId, SystemClock};

use super::*;
use crate::text::cache::blocks::BLOCK;

/// A model whose next token depends on all tokens before it, which it keeps in blocks only.
struct Remembering {
    /// For each position of each block a digest of the sequence up to there.
    memory: Mutex<Vec<u64>>,
    context: u32,
}

const TOKENS: u32 = 997;

impl Remembering {
    fn new(context: u32, blocks: usize) -> Self {
        Self {
            memory: Mutex::new(vec![0; blocks * BLOCK]),
            context,
        }
    }
}

fn digest(before: u64, token: u32) -> u64 {
    let mut hasher = DefaultHasher::new();
    (before, token).hash(&mut hasher);
    hasher.finish()
}

fn token_after(digest: u64) -> u32 {
    u32::try_from(digest % u64::from(TOKENS)).unwrap()
}

/// What the model answers, computed without an engine.
pub(super) fn expected(prompt: &[u32], max_tokens: u32) -> Vec<u32> {
    let mut state = prompt.iter().fold(0, |state, token| digest(state, *token));
    let mut answer = Vec::new();
    for _ in 0..max_tokens {
        let token = token_after(state);
        answer.push(token);
        state = digest(state, token);
    }
    answer
}

impl LogitsModel for Remembering {
    fn context_length(&self) -> u32 {
        self.context
    }

    fn vocabulary_size(&self) -> u32 {
        TOKENS
    }

    fn blocks(&self) -> usize {
        self.memory.lock().unwrap().len() / BLOCK
    }

    fn compute(&self, steps: &mut [Step<'_>], logits: &mut Vec<f32>) -> Result<(), ModelError> {
        let mut memory = self.memory.lock().unwrap();
        logits.clear();
        for step in steps {
            let first = step.table.len();
            let blocks = step.table.blocks();
            let place = |position: usize| blocks[position / BLOCK] as usize * BLOCK + position % BLOCK;
            let mut state = if first == 0 { 0 } else { memory[place(first - 1)] };
            let unwanted = step.tokens.len() - step.rows();
            for (index, token) in step.tokens.iter().enumerate() {
                state = digest(state, *token);
                memory[place(first + index)] = state;
                if index >= unwanted {
                    let start = logits.len();
                    logits.resize(start + TOKENS as usize, 0.0);
                    logits[start + token_after(state) as usize] = 1.0;
                }
            }
            step.table.advance(step.tokens.len());
        }
        Ok(())
    }
}

pub(super) fn remembering(context: u32, blocks: usize, max_sequences: usize) -> CandleEngine {
    let options = CandleOptions {
        threads: Some(1),
        max_sequences,
        max_waiting: 100,
        ..CandleOptions::default()
    };
    CandleEngine::start(Remembering::new(context, blocks), options).unwrap()
}

pub(super) fn unstopped(prompt: &[u32], max_tokens: u32) -> GenerateRequest {
    GenerateRequest {
        stop_tokens: Vec::new(),
        ..request(prompt, max_tokens)
    }
}

/// The tokens of a whole answer, and how much of its prompt was taken over.
pub(super) fn answered(stream: GenerateStream) -> (Vec<u32>, u32) {
    let mut tokens = Vec::new();
    let mut cached = None;
    let mut finished = false;
    for event in events(stream) {
        match event {
            GenerateEvent::Started { cached: count } => {
                assert!(cached.is_none(), "started once");
                cached = Some(count.get());
            }
            GenerateEvent::Token { id, .. } => tokens.push(id),
            GenerateEvent::Finished(_) => finished = true,
            other => panic!("{other:?}"),
        }
    }
    assert!(finished, "the answer is whole");
    (tokens, cached.unwrap())
}

pub(super) fn prompt(length: usize, seed: u32) -> Vec<u32> {
    let length = u32::try_from(length).unwrap();
    (0..length).map(|index| (index * 7 + seed) % TOKENS).collect()
}

#[test]
fn sequences_advance_together() {
    let harness = start(2, 8);
    let first = harness.generate(&[0], 3);
    assert_eq!(harness.next_call(), [[0]]);
    let second = harness.generate(&[3], 3);
    harness.gate.open(usize::MAX / 2);
    assert_eq!(
        harness.next_call(),
        [[1], [3]],
        "joins when the first step is over"
    );
    assert_eq!(harness.next_call(), [[2], [4]]);
    assert_eq!(harness.next_call(), [[5]]);
    assert_eq!(events(first), answer(&[1, 2, 3], StopCause::Length));
    assert_eq!(events(second), answer(&[4, 5, 6], StopCause::Length));
}

#[test]
fn a_long_prompt_delays_no_token_of_a_running_stream() {
    let harness = start(2, 8);
    let mut forever = request(&[0], 200);
    forever.stop_tokens = Vec::new();
    let stream = harness.engine.generate(forever).unwrap();
    harness.next_call();
    let long = harness.generate(&vec![1; 4000], 1);
    harness.gate.open(usize::MAX / 2);
    let mut computed = 0;
    let mut steps = 0;
    while computed < 4000 {
        let call = harness.next_call();
        assert_eq!(call[0].len(), 1, "the stream gets a token in every step");
        assert!(
            call[1].len() <= 64,
            "beside {} tokens of the prompt",
            call[1].len()
        );
        computed += call[1].len();
        steps += 1;
    }
    assert_eq!(steps, 63);
    drop(stream);
    assert_eq!(events(long), answer(&[2], StopCause::Length));
}

#[test]
fn several_long_prompts_together_delay_no_token_of_any_running_stream() {
    let harness = start(6, 8);
    let streams = [0, 4, 5].map(|token| {
        let mut forever = request(&[token], 400);
        forever.stop_tokens = Vec::new();
        harness.engine.generate(forever).unwrap()
    });
    harness.next_call();
    let long = [1, 2, 3].map(|token| harness.generate(&vec![token; 4000], 1));
    harness.gate.open(usize::MAX / 2);
    let mut computed = 0;
    while computed < 3 * 4000 {
        let call = harness.next_call();
        let (running, prompts) = call.split_at(streams.len());
        assert!(
            running.iter().all(|tokens| tokens.len() == 1),
            "every stream gets a token in every step"
        );
        let beside: usize = prompts.iter().map(Vec::len).sum();
        assert!(beside <= 64, "beside {beside} tokens of all prompts");
        computed += beside;
    }
    drop(streams);
    for (prompt, next) in long.into_iter().zip(2..) {
        assert_eq!(events(prompt), answer(&[next], StopCause::Length));
    }
}

#[test]
fn a_short_prompt_does_not_wait_for_a_long_one() {
    let harness = start(2, 8);
    let _long = harness.generate(&vec![1; 4000], 1);
    harness.next_call();
    let short = harness.generate(&[2, 2, 2, 2, 3], 1);
    harness.gate.open(2);
    assert_eq!(events(short), answer(&[4], StopCause::Length), "in the next step");
}

#[test]
fn many_short_prompts_do_not_starve_a_long_one() {
    let harness = start(4, 100);
    let long = harness.generate(&[1; 2000], 1);
    let short: Vec<_> = (0..60).map(|_| harness.generate(&[2; 300], 1)).collect();
    let mut seen = 0;
    harness.gate.open(usize::MAX / 2);
    let mut steps = 0;
    while seen < 2000 {
        let call = harness.next_call();
        seen += call
            .iter()
            .filter(|tokens| tokens[0] == 1)
            .map(Vec::len)
            .sum::<usize>();
        steps += 1;
    }
    assert!(steps <= 2000 / 128 + 2, "{steps} steps");
    assert_eq!(events(long), answer(&[2], StopCause::Length));
    for stream in short {
        assert!(matches!(events(stream).last(), Some(GenerateEvent::Finished(_))));
    }
}

#[test]
fn who_makes_a_pass_fail_does_not_take_the_others_along() {
    for (token, reason) in [
        (FAILS, "the model's computation failed"),
        (PANICS, "a step of the engine panicked"),
        (COMPUTES_NAN, "the model computed logits that are not numbers"),
    ] {
        let harness = start(3, 8);
        let first = harness.generate(&[0], 3);
        harness.next_call();
        let failing = harness.generate(&[token], 3);
        let last = harness.generate(&[3], 2);
        harness.gate.open(usize::MAX / 2);
        assert_eq!(events(first), answer(&[1, 2, 3], StopCause::Length));
        assert_eq!(events(last), answer(&[4, 5], StopCause::Length));
        let failed = events(failing);
        assert_eq!(failed.last(), Some(&GenerateEvent::Failed(reason.to_owned())));
    }
}

#[test]
fn a_prompt_that_begins_like_an_earlier_sequence_is_computed_from_there() {
    let engine = remembering(1000, 100, 4);
    let mut conversation = prompt(100, 1);
    let (answer, cached) = answered(engine.generate(unstopped(&conversation, 30)).unwrap());
    assert_eq!(
        (answer.as_slice(), cached),
        (expected(&conversation, 30).as_slice(), 0)
    );
    let again = answered(engine.generate(unstopped(&conversation, 30)).unwrap());
    assert_eq!(again, (answer.clone(), 96));
    conversation.extend(answer);
    conversation.extend(prompt(10, 2));
    let (next, cached) = answered(engine.generate(unstopped(&conversation, 5)).unwrap());
    assert_eq!(next, expected(&conversation, 5));
    assert_eq!(
        cached, 128,
        "the last token of the answer was drawn and not computed"
    );
}

#[test]
fn what_one_account_asked_is_not_found_by_another() {
    let engine = remembering(1000, 100, 4);
    let ask = |account| {
        let mut request = unstopped(&prompt(100, 1), 5);
        request.account = account;
        answered(engine.generate(request).unwrap())
    };
    let accounts = [(); 2].map(|()| Some(AccountId::new(&SystemClock)));
    let expected = expected(&prompt(100, 1), 5);
    for account in [None, accounts[0], accounts[1]] {
        assert_eq!(ask(account), (expected.clone(), 0));
    }
    for account in [None, accounts[0], accounts[1]] {
        assert_eq!(ask(account), (expected.clone(), 96));
    }
}

#[test]
fn several_answers_to_one_prompt_compute_it_once() {
    let harness = start(4, 8);
    let streams: Vec<_> = (0..3).map(|_| harness.generate(&[1; 1000], 1)).collect();
    harness.gate.open(usize::MAX / 2);
    for (index, stream) in streams.into_iter().enumerate() {
        let started = &events(stream)[0];
        if index == 0 {
            let cached = TokenCount::ZERO;
            assert_eq!(
                *started,
                GenerateEvent::Started { cached },
                "the first computes all"
            );
        }
    }
    let calls = &harness.calls;
    let computed: usize = calls.try_iter().flatten().map(|tokens| tokens.len()).sum();
    assert!(computed < 1100, "{computed} tokens");
}

#[test]
fn when_blocks_run_out_sequences_are_computed_again_and_lose_nothing() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let engine = metrics::with_local_recorder(&recorder, || remembering(160, 12, 4));
    let prompts: Vec<_> = (0..4).map(|seed| prompt(20, seed)).collect();
    let streams: Vec<_> = prompts
        .iter()
        .map(|prompt| engine.generate(unstopped(prompt, 130)).unwrap())
        .collect();
    for (prompt, stream) in prompts.iter().zip(streams) {
        assert_eq!(answered(stream), (expected(prompt, 130), 0));
    }
    drop(engine);
    let page = metrics.render();
    let paused = page
        .lines()
        .find(|line| line.starts_with("silica_engine_paused_total{"));
    assert!(paused.is_some_and(|line| !line.ends_with(" 0")), "{page}");
}

#[test]
fn a_request_larger_than_what_is_left_waits_and_is_not_starved() {
    let engine = remembering(160, 10, 8);
    let small: Vec<_> = (0..6)
        .map(|seed| engine.generate(unstopped(&prompt(20, seed), 20)).unwrap())
        .collect();
    let large = engine.generate(unstopped(&prompt(150, 9), 9)).unwrap();
    let later = engine.generate(unstopped(&prompt(20, 10), 20)).unwrap();
    assert_eq!(answered(large).0, expected(&prompt(150, 9), 9));
    assert_eq!(answered(later).0, expected(&prompt(20, 10), 20));
    for (seed, stream) in (0..).zip(small) {
        assert_eq!(answered(stream).0, expected(&prompt(20, seed), 20));
    }
}

#[test]
fn higher_levels_go_first_among_those_that_wait() {
    let harness = start(1, 8);
    let running = harness.generate(&[0], 1);
    harness.next_call();
    let with_priority = |token, level| {
        let mut request = request(&[token], 1);
        request.priority = Priority(level);
        harness.engine.generate(request).unwrap()
    };
    let streams = [
        with_priority(1, 0),
        with_priority(2, 0),
        with_priority(3, 2),
        with_priority(4, 5),
    ];
    harness.gate.open(usize::MAX / 2);
    let order: Vec<_> = (0..4).map(|_| harness.next_call()[0][0]).collect();
    assert_eq!(order, [4, 3, 1, 2]);
    events(running);
    for stream in streams {
        events(stream);
    }
}

/// A request and whether its reader leaves before the answer.
fn requests() -> impl Strategy<Value = Vec<(usize, u32, u32, bool)>> {
    prop::collection::vec(
        (1_usize..150, 0_u32..3, 1_u32..40, prop::bool::weighted(0.2)),
        1..24,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn many_at_once_answer_as_each_would_alone(
        requests in requests(),
        blocks in 12_usize..60,
        places in 1_usize..9,
    ) {
        let engine = remembering(192, blocks, places);
        let streams: Vec<_> = requests
            .iter()
            .map(|(length, seed, max_tokens, _)| {
                engine.generate(unstopped(&prompt(*length, *seed), *max_tokens)).unwrap()
            })
            .collect();
        for ((length, seed, max_tokens, leaves), stream) in requests.into_iter().zip(streams) {
            if leaves {
                drop(stream);
                continue;
            }
            prop_assert_eq!(answered(stream).0, expected(&prompt(length, seed), max_tokens));
        }
        drop(engine);
    }
}
