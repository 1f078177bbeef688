use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use futures::StreamExt;
use futures::executor::block_on;
use metrics_exporter_prometheus::PrometheusBuilder;
use silica_engine::{GenerateEvent, Priority, Sampling, SpanLimit, StopCause};

use super::model::{ModelError, Step};
use super::*;
use crate::Speculation;

mod constrained;
mod logged;
mod scheduling;
mod speculating;

const VOCABULARY: u32 = 16;
/// Tokens that make the scripted model misbehave.
const FAILS: u32 = 10;
const PANICS: u32 = 11;
const COMPUTES_NAN: u32 = 12;

/// Answers each token with the next one, modulo 8. Every step waits for the gate to let it pass,
/// so that tests decide how far the engine gets.
struct Counting {
    gate: Arc<Gate>,
    calls: Sender<Call>,
    /// Whether it panics where no step is to blame, as a defect of the engine itself would.
    breaks: Arc<AtomicBool>,
}

/// The tokens of each sequence that a step computes.
type Call = Vec<Vec<u32>>;

/// Lets a number of steps pass.
#[derive(Default)]
struct Gate {
    passes: Mutex<usize>,
    opened: Condvar,
    taken: AtomicUsize,
}

impl Gate {
    fn open(&self, steps: usize) {
        *self.passes.lock().unwrap() += steps;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let passes = self.passes.lock().unwrap();
        *self.opened.wait_while(passes, |passes| *passes == 0).unwrap() -= 1;
        self.taken.fetch_add(1, Ordering::SeqCst);
    }
}

impl LogitsModel for Counting {
    fn context_length(&self) -> u32 {
        5000
    }

    fn vocabulary_size(&self) -> u32 {
        assert!(!self.breaks.load(Ordering::SeqCst), "the engine is broken");
        VOCABULARY
    }

    fn blocks(&self) -> usize {
        1000
    }

    fn compute(&self, steps: &mut [Step<'_>], logits: &mut Vec<f32>) -> Result<(), ModelError> {
        let call = steps.iter().map(|step| step.tokens.to_vec());
        let _ = self.calls.send(call.collect());
        self.gate.pass();
        logits.clear();
        for step in &*steps {
            let length = step.table.len() + step.tokens.len();
            assert!(step.rope_length >= length, "the length covers what is computed");
            assert!(
                step.table.room() >= length,
                "there are blocks for what is computed"
            );
            let last = *step.tokens.last().unwrap();
            match last {
                FAILS => return Err("no more memory".into()),
                PANICS => panic!("a defect"),
                _ => {}
            }
            if step.rows() > 0 {
                let usual = if last == COMPUTES_NAN { f32::NAN } else { 0.0 };
                let start = logits.len();
                logits.resize(start + VOCABULARY as usize, usual);
                logits[start + (last as usize + 1) % 8] += 5.0;
            }
        }
        for step in steps {
            step.table.advance(step.tokens.len());
        }
        Ok(())
    }
}

struct Harness {
    engine: CandleEngine,
    gate: Arc<Gate>,
    calls: Receiver<Call>,
    breaks: Arc<AtomicBool>,
}

fn start(max_sequences: usize, max_waiting: usize) -> Harness {
    start_with(CandleOptions {
        max_waiting,
        max_sequences,
        ..CandleOptions::default()
    })
}

fn start_with(options: CandleOptions) -> Harness {
    let (sender, calls) = mpsc::channel();
    let gate = Arc::new(Gate::default());
    let breaks = Arc::new(AtomicBool::new(false));
    let model = Counting {
        gate: Arc::clone(&gate),
        calls: sender,
        breaks: Arc::clone(&breaks),
    };
    // What a step computes is looked at, so nothing is added to it.
    let options = CandleOptions {
        threads: Some(1),
        speculation: Speculation::Off,
        ..options
    };
    Harness {
        engine: CandleEngine::start(model, options).unwrap(),
        gate,
        calls,
        breaks,
    }
}

impl Harness {
    fn generate(&self, prompt: &[u32], max_tokens: u32) -> GenerateStream {
        self.engine.generate(request(prompt, max_tokens)).unwrap()
    }

    /// Waits until the engine has begun a step, and says with which tokens.
    fn next_call(&self) -> Call {
        self.calls.recv().unwrap()
    }

    /// Drops the engine and waits until its thread has let go of the model and all sequences.
    fn end(self) {
        drop(self.engine);
        self.calls.iter().for_each(drop);
    }
}

fn request(prompt: &[u32], max_tokens: u32) -> GenerateRequest {
    GenerateRequest {
        prompt: prompt.to_vec(),
        sampling: Sampling::greedy(),
        max_tokens: TokenCount(max_tokens),
        stop_tokens: vec![7],
        logprobs: None,
        span_limit: None,
        constraint: None,
        priority: Priority::default(),
        account: None,
    }
}

fn events(stream: GenerateStream) -> Vec<GenerateEvent> {
    block_on(stream.collect())
}

fn answer(ids: &[u32], cause: StopCause) -> Vec<GenerateEvent> {
    let mut events = vec![GenerateEvent::Started {
        cached: TokenCount::ZERO,
    }];
    events.extend(ids.iter().map(|id| GenerateEvent::Token {
        id: *id,
        logprob: None,
    }));
    events.push(GenerateEvent::Finished(cause));
    events
}

#[test]
fn answers_end_at_stop_tokens_and_at_the_length() {
    let harness = start(8, 8);
    harness.gate.open(usize::MAX / 2);
    assert_eq!(
        events(harness.generate(&[4], 10)),
        answer(&[5, 6, 7], StopCause::StopToken)
    );
    assert_eq!(
        events(harness.generate(&[4], 2)),
        answer(&[5, 6], StopCause::Length)
    );
}

#[test]
fn a_span_over_its_limit_is_closed_by_the_engine() {
    let harness = start(8, 8);
    harness.gate.open(usize::MAX / 2);
    let mut bounded = request(&[0], 6);
    bounded.span_limit = Some(SpanLimit {
        opens: Some(1),
        closes: 6,
        limit: TokenCount(2),
        ending: vec![6, 3],
    });
    // The model counts up: 1 opens, 2 and 3 stand inside, then the ending, and it counts on from 3.
    assert_eq!(
        events(harness.engine.generate(bounded).unwrap()),
        answer(&[1, 2, 3, 6, 3, 4], StopCause::Length)
    );
}

#[test]
fn answers_end_at_the_end_of_the_context() {
    let harness = start(8, 8);
    harness.gate.open(usize::MAX / 2);
    assert_eq!(
        events(harness.generate(&vec![0; 4998], u32::MAX)),
        answer(&[1, 2], StopCause::Length)
    );
}

#[test]
fn requests_that_cannot_be_computed_are_refused() {
    let Harness { engine, .. } = start(8, 8);
    let refused = |request| engine.generate(request).unwrap_err();
    assert!(matches!(refused(request(&[], 1)), EngineError::InvalidRequest(_)));
    assert!(matches!(
        refused(request(&[VOCABULARY], 1)),
        EngineError::InvalidRequest(_)
    ));
    let mut biased = request(&[1], 1);
    biased.sampling.logit_bias = vec![(VOCABULARY, 1.0)];
    assert!(matches!(refused(biased), EngineError::InvalidRequest(_)));
    let error = refused(request(&vec![0; 5000], 1));
    assert!(matches!(
        error,
        EngineError::ContextExceeded {
            prompt: TokenCount(5000),
            limit: TokenCount(5000)
        }
    ));
}

#[test]
fn a_dropped_stream_ends_its_sequence_within_one_step() {
    let harness = start(1, 8);
    let dropped = harness.generate(&[0; 900], 50);
    let next = harness.generate(&[3], 1);
    harness.next_call();
    drop(dropped);
    harness.gate.open(2);
    assert_eq!(events(next), answer(&[4], StopCause::Length));
    assert_eq!(
        harness.gate.taken.load(Ordering::SeqCst),
        2,
        "one chunk of the cancelled prompt, one step of the next"
    );
}

#[test]
fn a_full_queue_refuses_and_cancelled_requests_make_room() {
    let harness = start(1, 2);
    let running = harness.generate(&[0], 1);
    harness.next_call();
    let waiting = harness.generate(&[1], 1);
    let cancelled = harness.generate(&[2], 1);
    assert!(matches!(
        harness.engine.generate(request(&[3], 1)),
        Err(EngineError::QueueFull)
    ));
    drop(cancelled);
    let late = harness.generate(&[4], 1);
    harness.gate.open(usize::MAX / 2);
    assert_eq!(events(running), answer(&[1], StopCause::Length));
    assert_eq!(events(waiting), answer(&[2], StopCause::Length));
    assert_eq!(events(late), answer(&[5], StopCause::Length));
}

#[test]
fn failures_end_one_sequence_and_not_the_engine() {
    let harness = start(4, 8);
    harness.gate.open(usize::MAX / 2);
    for (token, expected) in [
        (FAILS, "the model's computation failed"),
        (PANICS, "a step of the engine panicked"),
        (COMPUTES_NAN, "the model computed logits that are not numbers"),
    ] {
        let failed = events(harness.generate(&[token], 5));
        assert_eq!(failed.last(), Some(&GenerateEvent::Failed(expected.to_owned())));
        assert_eq!(
            events(harness.generate(&[3], 1)),
            answer(&[4], StopCause::Length),
            "after token {token}"
        );
    }
}

#[test]
fn a_request_that_waits_too_long_is_told_so_and_the_others_go_on() {
    let harness = start(1, 8);
    let running = harness.generate(&[0], 1);
    harness.next_call();
    let waiting = harness.generate(&[1], 1);
    let max_wait = CandleOptions::default().max_wait;
    harness.engine.queue.expire(Instant::now() + max_wait / 2);
    harness.gate.open(2);
    assert_eq!(events(running), answer(&[1], StopCause::Length));
    assert_eq!(events(waiting), answer(&[2], StopCause::Length));
    let running = harness.generate(&[0], 1);
    harness.next_call();
    harness.next_call();
    let waiting = harness.generate(&[1], 1);
    harness.engine.queue.expire(Instant::now() + max_wait);
    assert_eq!(events(waiting), [GenerateEvent::Overloaded]);
    harness.gate.open(1);
    assert_eq!(events(running), answer(&[1], StopCause::Length));
}

#[test]
fn the_engine_looks_for_requests_that_wait_too_long() {
    let harness = start_with(CandleOptions {
        max_wait: Duration::ZERO,
        ..CandleOptions::default()
    });
    assert_eq!(events(harness.generate(&[0], 1)), [GenerateEvent::Overloaded]);
}

#[test]
fn dropping_the_engine_does_not_wait_for_its_thread() {
    let harness = start(1, 8);
    let running = harness.generate(&[0], 100);
    harness.next_call();
    let Harness {
        engine, gate, calls, ..
    } = harness;
    // The step is under way until the gate opens: waiting for the thread here would take for ever.
    drop(engine);
    gate.open(1);
    assert_eq!(calls.iter().count(), 0, "the thread ends after the step");
    let last = events(running).pop();
    assert_eq!(
        last,
        Some(GenerateEvent::Failed("the engine was stopped".to_owned()))
    );
}

#[test]
fn dropping_the_engine_fails_what_has_not_ended() {
    let harness = start(1, 8);
    let running = harness.generate(&[0], 100);
    let waiting = harness.generate(&[0], 100);
    harness.next_call();
    harness.gate.open(usize::MAX / 2);
    drop(harness.engine);
    let stopped = GenerateEvent::Failed("the engine was stopped".to_owned());
    // The running one may have come to its stop token before the engine saw that it was dropped.
    let last = events(running).pop();
    assert!(last.as_ref() == Some(&stopped) || last == Some(GenerateEvent::Finished(StopCause::StopToken)));
    assert!(!events(waiting).is_empty());
}

#[test]
fn metrics_count_what_runs_waits_and_is_cancelled() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let harness = metrics::with_local_recorder(&recorder, || start(1, 8));
    let running = harness.generate(&[0; 300], 5);
    harness.next_call();
    let waiting = harness.generate(&[3], 1);
    assert_rendered(
        &metrics.render(),
        &[
            "steps_total{engine=\"candle\"} 1",
            "sequences{engine=\"candle\"} 1",
            "waiting{engine=\"candle\"} 1",
        ],
    );
    drop(running);
    drop(harness.generate(&[3], 1));
    harness.engine.queue.expire(Instant::now());
    harness.gate.open(2);
    events(waiting);
    harness.end();
    assert_rendered(
        &metrics.render(),
        &[
            "cancelled_total{engine=\"candle\"} 2",
            "steps_total{engine=\"candle\"} 2",
            "sequences{engine=\"candle\"} 0",
            "waiting{engine=\"candle\"} 0",
        ],
    );
}

fn assert_rendered(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(
            text.lines()
                .any(|rendered| rendered == format!("silica_engine_{line}")),
            "no {line} in:\n{text}"
        );
    }
}

#[test]
fn a_closed_queue_is_unavailable() {
    let harness = start(1, 8);
    harness.engine.queue.close();
    assert!(matches!(
        harness.engine.generate(request(&[1], 1)),
        Err(EngineError::Unavailable)
    ));
}

#[test]
fn log_probabilities_come_with_every_token() {
    let harness = start(1, 8);
    harness.gate.open(usize::MAX / 2);
    let mut request = request(&[0], 3);
    request.logprobs = Some(2);
    let events = events(harness.engine.generate(request).unwrap());
    let logprobs = events.iter().filter_map(|event| match event {
        GenerateEvent::Token {
            id,
            logprob: Some(logprob),
        } => Some((*id, logprob.top[0].0, logprob.top.len())),
        _ => None,
    });
    assert_eq!(logprobs.collect::<Vec<_>>(), [(1, 1, 2), (2, 2, 2), (3, 3, 2)]);
}

/// Who runs and who waits is told, and so is whoever asks for the engine's health afterwards.
#[test]
fn an_engine_whose_thread_panics_tells_everybody() {
    let harness = start(1, 8);
    let probe = harness.engine.health();
    block_on(probe.probe(Duration::from_secs(1))).unwrap();
    let running = harness.generate(&[1, 2], 5);
    harness.next_call();
    let waiting = harness.generate(&[3], 5);
    harness.breaks.store(true, Ordering::SeqCst);
    harness.gate.open(1);
    for stream in [running, waiting] {
        let told = events(stream);
        let last = GenerateEvent::Failed("the engine was stopped".to_owned());
        assert_eq!(told.last(), Some(&last), "{told:?}");
    }
    let late = harness.engine.generate(request(&[1], 1));
    assert!(matches!(late, Err(EngineError::Unavailable)));
    let health = block_on(probe.probe(Duration::from_secs(1)));
    assert!(matches!(health, Err(EngineError::Unavailable)), "{health:?}");
}
