//! Answers with drafts are those without, token for token.

use proptest::prelude::*;
use silica_engine::{Allowed, ConstraintError, ConstraintSource, Progress, TokenConstraint, TokenMask};

use super::*;
use crate::text::cache::blocks::BLOCK;

/// Few, so that sequences repeat themselves.
const TOKENS: u32 = 24;

/// A model that says mostly what its last two tokens ask for, and a little what all tokens before
/// them do, so that it repeats itself, and a position that holds something wrong shows.
struct Repeating {
    /// For each position of each block its token and a digest of the sequence up to there.
    memory: Mutex<Vec<(u32, u64)>>,
    context: u32,
    /// With more tokens after the prompt's than this a step of a sequence fails, and with twice as
    /// many it panics.
    most_rows: usize,
    /// Passes that failed.
    failed: Arc<AtomicUsize>,
}

fn mixed(values: [u64; 3]) -> u64 {
    values.into_iter().fold(0x51, |state: u64, value| {
        let state = (state ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        state ^ (state >> 29)
    })
}

/// A number between 0 and 1.
#[expect(clippy::cast_precision_loss, reason = "24 bits fit")]
fn unit(values: [u64; 3]) -> f32 {
    (mixed(values) >> 40) as f32 / (1 << 24) as f32
}

impl LogitsModel for Repeating {
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
        let rows = steps.iter().map(Step::rows).max();
        if rows > Some(self.most_rows) {
            self.failed.fetch_add(1, Ordering::SeqCst);
        }
        assert!(rows <= Some(2 * self.most_rows), "a defect");
        if rows > Some(self.most_rows) {
            return Err("no more memory".into());
        }
        let mut memory = self.memory.lock().unwrap();
        logits.clear();
        for step in steps {
            let first = step.table.len();
            let blocks = step.table.blocks();
            let place = |position: usize| blocks[position / BLOCK] as usize * BLOCK + position % BLOCK;
            let mut state = if first == 0 {
                (0, 0)
            } else {
                memory[place(first - 1)]
            };
            let unwanted = step.tokens.len() - step.rows();
            for (index, token) in step.tokens.iter().enumerate() {
                let before = state.0;
                state = (*token, mixed([state.1, u64::from(*token), 1]));
                memory[place(first + index)] = state;
                if index >= unwanted {
                    let recent = u64::from(before) << 32 | u64::from(*token);
                    logits.extend(
                        (0..u64::from(TOKENS))
                            .map(|next| 4.0 * unit([recent, next, 2]) + 0.05 * unit([state.1, next, 3])),
                    );
                }
            }
            step.table.advance(step.tokens.len());
        }
        Ok(())
    }
}

fn repeating(speculation: Speculation, blocks: usize, places: usize, most_rows: usize) -> CandleEngine {
    failing(speculation, blocks, places, most_rows, Arc::default())
}

/// As [`repeating`], and counts the passes that fail.
fn failing(
    speculation: Speculation,
    blocks: usize,
    places: usize,
    most_rows: usize,
    failed: Arc<AtomicUsize>,
) -> CandleEngine {
    let model = Repeating {
        memory: Mutex::new(vec![(0, 0); blocks * BLOCK]),
        context: 192,
        most_rows,
        failed,
    };
    let options = CandleOptions {
        threads: Some(1),
        max_sequences: places,
        max_waiting: 100,
        speculation,
        ..CandleOptions::default()
    };
    CandleEngine::start(model, options).unwrap()
}

/// Allows two thirds of the tokens, other ones at each position, and ends at a stated length. Notes
/// what it is asked and told.
#[derive(Debug, Clone)]
struct Rotating {
    ends_at: usize,
    calls: Arc<Mutex<Vec<Option<u32>>>>,
}

impl ConstraintSource for Rotating {
    fn start(&self) -> Box<dyn TokenConstraint> {
        Box::new(Running {
            rotating: self.clone(),
            at: 0,
        })
    }
}

struct Running {
    rotating: Rotating,
    at: usize,
}

impl TokenConstraint for Running {
    fn allow(&mut self, mask: &mut TokenMask) -> Result<Allowed, ConstraintError> {
        self.rotating.calls.lock().unwrap().push(None);
        if self.at.is_multiple_of(5) {
            return Ok(Allowed::All);
        }
        (0..TOKENS)
            .filter(|id| !(*id as usize + self.at / 8).is_multiple_of(3))
            .for_each(|id| mask.add(id));
        Ok(Allowed::Marked)
    }

    fn accept(&mut self, id: u32) -> Result<Progress, ConstraintError> {
        self.rotating.calls.lock().unwrap().push(Some(id));
        self.at += 1;
        Ok(if self.at == self.rotating.ends_at {
            Progress::Complete
        } else {
            Progress::Open
        })
    }
}

/// A request in a form that a test can make many of.
#[derive(Debug, Clone)]
struct Asked {
    prompt: Vec<u32>,
    max_tokens: u32,
    sampling: Sampling,
    logprobs: Option<u8>,
    stop_tokens: Vec<u32>,
    span: Option<u32>,
    ends_at: Option<usize>,
    leaves: bool,
}

/// What came of a request: its events, and what its constraint was asked and told.
type Outcome = (Vec<GenerateEvent>, Vec<Option<u32>>);

impl Asked {
    fn new(prompt: &[u32], max_tokens: u32) -> Self {
        Self {
            prompt: prompt.to_vec(),
            max_tokens,
            sampling: Sampling::greedy(),
            logprobs: None,
            stop_tokens: Vec::new(),
            span: None,
            ends_at: None,
            leaves: false,
        }
    }

    fn request(&self, constraint: Option<Rotating>) -> GenerateRequest {
        GenerateRequest {
            sampling: self.sampling.clone(),
            logprobs: self.logprobs,
            stop_tokens: self.stop_tokens.clone(),
            span_limit: self.span.map(|limit| SpanLimit {
                opens: Some(1),
                closes: 2,
                limit: TokenCount(limit),
                ending: vec![4, 2],
            }),
            constraint: constraint.map(|constraint| -> Arc<dyn ConstraintSource> { Arc::new(constraint) }),
            ..request(&self.prompt, self.max_tokens)
        }
    }
}

/// Asks for all of them at once.
fn outcomes(engine: &CandleEngine, asked: &[Asked]) -> Vec<Outcome> {
    let running: Vec<_> = asked
        .iter()
        .map(|asked| {
            let calls = Arc::default();
            let constraint = asked.ends_at.map(|ends_at| Rotating {
                ends_at,
                calls: Arc::clone(&calls),
            });
            let stream = engine.generate(asked.request(constraint)).unwrap();
            (stream, calls, asked.leaves)
        })
        .collect();
    let outcome = |(stream, calls, leaves): (GenerateStream, Arc<Mutex<Vec<_>>>, bool)| {
        if leaves {
            drop(stream);
            return (Vec::new(), Vec::new());
        }
        let mut events = events(stream);
        if let Some(GenerateEvent::Started { cached }) = events.first_mut() {
            // Depends on who was computed first.
            *cached = TokenCount::ZERO;
        }
        let calls = calls.lock().unwrap().clone();
        (events, calls)
    };
    running.into_iter().map(outcome).collect()
}

/// The value of a metric of the one engine that was measured.
fn metric(page: &str, start: &str) -> u64 {
    let line = page.lines().find(|line| line.starts_with(start));
    line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok())
        .unwrap_or_default()
}

/// Runs with drafts and returns the outcomes and the page of metrics.
fn measured(engine: impl FnOnce() -> CandleEngine, asked: &[Asked]) -> (Vec<Outcome>, String) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let engine = metrics::with_local_recorder(&recorder, engine);
    let outcomes = outcomes(&engine, asked);
    drop(engine);
    (outcomes, metrics.render())
}

const ACCEPTED: &str = "silica_engine_draft_tokens_total{engine=\"candle\",result=\"accepted\"}";
const REJECTED: &str = "silica_engine_draft_tokens_total{engine=\"candle\",result=\"rejected\"}";

#[test]
fn a_sequence_that_repeats_itself_is_computed_in_fewer_steps() {
    let asked = [Asked::new(&[5, 9, 3], 150)];
    let (plain, page) = measured(|| repeating(Speculation::Off, 12, 1, 99), &asked);
    let steps = metric(&page, "silica_engine_steps_total");
    assert_eq!(
        (steps, metric(&page, ACCEPTED), metric(&page, REJECTED)),
        (150, 0, 0)
    );
    let (drafted, page) = measured(|| repeating(Speculation::Auto, 12, 1, 99), &asked);
    assert_eq!(drafted, plain);
    let accepted = metric(&page, ACCEPTED);
    assert_eq!(metric(&page, "silica_engine_steps_total") + accepted, 150);
    assert!(accepted > 50, "{accepted} of 150 tokens");
}

#[test]
fn text_without_repetition_drafts_next_to_nothing() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let engine = metrics::with_local_recorder(&recorder, || scheduling::remembering(1000, 63, 1));
    let prompt = scheduling::prompt(100, 3);
    let answered = scheduling::answered(engine.generate(scheduling::unstopped(&prompt, 800)).unwrap());
    assert_eq!(answered.0, scheduling::expected(&prompt, 800));
    drop(engine);
    let rejected = metric(&metrics.render(), REJECTED);
    assert!(rejected <= 8, "{rejected} of 800 tokens");
}

#[test]
fn a_draft_that_makes_a_pass_fail_is_taken_out_of_it() {
    let asked: Vec<_> = (0..4).map(|token| Asked::new(&[token, 9, 3], 100)).collect();
    let plain = outcomes(&repeating(Speculation::Off, 48, 4, 99), &asked);
    for most_rows in [1, 3] {
        for places in [1, 4] {
            let failed = Arc::default();
            let engine = failing(Speculation::Auto, 48, places, most_rows, Arc::clone(&failed));
            assert_eq!(
                outcomes(&engine, &asked),
                plain,
                "{most_rows} rows, {places} places"
            );
            assert!(
                failed.load(Ordering::SeqCst) > 0,
                "{most_rows} rows, {places} places: no pass had more"
            );
        }
    }
}

#[test]
fn sequences_that_are_paused_and_draft_lose_nothing() {
    let asked: Vec<_> = (0..5)
        .map(|token| Asked::new(&[token, 7, token, 8], 150))
        .collect();
    let plain = outcomes(&repeating(Speculation::Off, 100, 5, 99), &asked);
    let (drafted, page) = measured(|| repeating(Speculation::Auto, 13, 5, 99), &asked);
    assert_eq!(drafted, plain);
    assert!(metric(&page, "silica_engine_paused_total") > 0, "{page}");
    assert!(
        metric(&page, ACCEPTED) > 0 && metric(&page, REJECTED) > 0,
        "{page}"
    );
}

#[test]
fn what_was_drafted_and_did_not_come_is_found_by_no_later_prompt() {
    let found = |speculation| {
        // Enough blocks that none is evicted.
        let engine = repeating(speculation, 1000, 1, 99);
        let mut sampling = Sampling::greedy();
        sampling.temperature = 0.5;
        let mut found = Vec::new();
        for seed in 0..6 {
            sampling.seed = Some(seed);
            let mut asked = Asked::new(&[3, 1, 3, 1, 3], 60);
            asked.sampling = sampling.clone();
            let (mut tokens, mut cached) =
                scheduling::answered(engine.generate(asked.request(None)).unwrap());
            found.push((tokens.clone(), cached));
            // Every end of the conversation is asked about.
            let mut conversation = asked.prompt.clone();
            conversation.append(&mut tokens);
            for end in (10..conversation.len()).step_by(7) {
                let asked = Asked::new(&conversation[..end], 20);
                (tokens, cached) = scheduling::answered(engine.generate(asked.request(None)).unwrap());
                found.push((tokens, cached));
            }
        }
        found
    };
    assert_eq!(found(Speculation::Auto), found(Speculation::Off));
}

fn asked() -> impl Strategy<Value = Asked> {
    let piece = prop::collection::vec(0..TOKENS, 1..12);
    let prompt = (piece, 1_usize..6).prop_map(|(piece, times)| piece.repeat(times));
    let sampling = (0_usize..3, 0_usize..3, any::<u64>(), 0_usize..3, 0..TOKENS);
    let sampling = sampling.prop_map(|(temperature, kept, seed, penalty, biased)| Sampling {
        temperature: [0.0, 0.2, 1.0][temperature],
        top_p: [1.0, 0.9, 0.7][kept],
        top_k: [None, Some(8), None][kept],
        min_p: [0.0, 0.0, 0.05][kept],
        frequency_penalty: [0.0, 0.02, 0.5][penalty],
        presence_penalty: [0.0, 0.1, -0.3][penalty],
        logit_bias: [Vec::new(), vec![(biased, 1.5)], vec![(biased, -100.0)]][kept].clone(),
        seed: Some(seed),
    });
    let bounds = (
        prop::option::of(0_u8..4),
        prop::option::weighted(0.3, 0..TOKENS),
        prop::option::weighted(0.3, 0_u32..20),
        prop::option::weighted(0.3, 1_usize..100),
        prop::bool::weighted(0.1),
    );
    (prompt, 1_u32..120, sampling, bounds).prop_map(|(prompt, max_tokens, sampling, bounds)| {
        let (logprobs, stop, span, ends_at, leaves) = bounds;
        Asked {
            prompt,
            max_tokens,
            sampling,
            logprobs,
            stop_tokens: stop.into_iter().collect(),
            span,
            ends_at,
            leaves,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn answers_with_drafts_are_those_without(
        asked in prop::collection::vec(asked(), 1..10),
        blocks in 12_usize..60,
        places in 1_usize..7,
    ) {
        let plain = outcomes(&repeating(Speculation::Off, 100, 1, 99), &asked);
        let drafted = outcomes(&repeating(Speculation::Auto, blocks, places, 99), &asked);
        for ((drafted, plain), asked) in drafted.iter().zip(&plain).zip(&asked) {
            prop_assert_eq!(drafted, plain, "{:?}", asked);
        }
    }
}
