//! Measures what drafts by prompt look-up are worth: the same prompt, answered by one engine with
//! drafts and one without, in turn. The answers must be the same, token for token.
//!
//! ```sh
//! cargo run --release -p silica-engine-candle --example speculation -- MODEL TOKENIZER PROMPT ANSWER [ROUNDS [STREAMS]]
//! cargo run --release -p silica-engine-candle --example speculation -- MODEL --rows
//! ```
//!
//! `TOKENIZER` is a `tokenizer.json`, `PROMPT` and `ANSWER` are text files. The model is made to give this answer,
//! token for token, by a constraint, so that a model of random weights says what a real one would; with `-` for it
//! the model says what it likes, greedily, for 128 tokens. With `--rows` it measures how long a pass of more and more
//! rows takes, which is what decides how much is drafted. `THREADS` and `QUANTIZE` (`q8_0`, `q4_0`) are read from
//! the environment.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::executor::block_on;
use metrics_exporter_prometheus::PrometheusBuilder;
use silica_engine::{
    Allowed, ConstraintError, ConstraintSource, GenerateEvent, GenerateRequest, Priority, Progress, Sampling,
    TokenConstraint, TokenEngine, TokenMask,
};
use silica_engine_candle::{CandleEngine, CandleOptions, Decoder, LogitsOf, Quantization, Span, Speculation};
use silica_types::TokenCount;
use tokenizers::Tokenizer;

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, usual: usize| arguments.get(index).map_or(Ok(usual), |text| text.parse());
    match arguments.as_slice() {
        [model, rows] if rows == "--rows" => measure_rows(Path::new(model)),
        [model, tokenizer, prompt, answer, ..] => {
            let tokenizer = Tokenizer::from_file(tokenizer)?;
            let tokens = |path: &str| -> Result<Vec<u32>, Failure> {
                let text = std::fs::read_to_string(path)?;
                Ok(tokenizer.encode(text, false)?.get_ids().to_vec())
            };
            let answer = if answer == "-" {
                None
            } else {
                Some(tokens(answer)?)
            };
            let request = request(tokens(prompt)?, answer);
            compare(Path::new(model), &vec![request; number(5, 1)?], number(4, 5)?)
        }
        _ => Err(
            "usage: speculation MODEL TOKENIZER PROMPT ANSWER|- [ROUNDS [STREAMS]], or MODEL --rows".into(),
        ),
    }
}

fn request(prompt: Vec<u32>, answer: Option<Vec<u32>>) -> GenerateRequest {
    GenerateRequest {
        prompt,
        sampling: Sampling::greedy(),
        max_tokens: TokenCount(answer.as_ref().map_or(128, |answer| TokenCount::of(answer).get())),
        stop_tokens: Vec::new(),
        logprobs: None,
        span_limit: None,
        constraint: answer.map(|answer| -> Arc<dyn ConstraintSource> { Arc::new(Given(answer.into())) }),
        priority: Priority::default(),
        account: None,
    }
}

/// Allows one answer.
#[derive(Debug)]
struct Given(Arc<[u32]>);

struct GivenFrom {
    answer: Arc<[u32]>,
    at: usize,
}

impl ConstraintSource for Given {
    fn start(&self) -> Box<dyn TokenConstraint> {
        let answer = Arc::clone(&self.0);
        Box::new(GivenFrom { answer, at: 0 })
    }
}

impl TokenConstraint for GivenFrom {
    fn allow(&mut self, mask: &mut TokenMask) -> Result<Allowed, ConstraintError> {
        self.answer.get(self.at).into_iter().for_each(|id| mask.add(*id));
        Ok(Allowed::Marked)
    }

    fn accept(&mut self, _id: u32) -> Result<Progress, ConstraintError> {
        self.at += 1;
        Ok(Progress::Open)
    }
}

fn options() -> CandleOptions {
    let variable = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    CandleOptions {
        threads: variable("THREADS").and_then(|count| count.parse().ok()),
        quantize: match variable("QUANTIZE").as_deref() {
            Some("q8_0") => Some(Quantization::Q8_0),
            Some("q4_0") => Some(Quantization::Q4_0),
            _ => None,
        },
        max_sequences: 64,
        ..CandleOptions::default()
    }
}

/// Answers and the time from the first token of all to the last one.
struct Answered {
    tokens: Vec<Vec<u32>>,
    time: Duration,
}

#[expect(clippy::print_stdout, reason = "printing is what this program does")]
fn compare(model: &Path, requests: &[GenerateRequest], rounds: usize) -> Result<(), Failure> {
    let load = |speculation| {
        CandleEngine::load(
            model,
            CandleOptions {
                speculation,
                ..options()
            },
        )
    };
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let drafting = metrics::with_local_recorder(&recorder, || load(Speculation::Auto));
    let engines = [load(Speculation::Off)?, drafting?];
    for engine in &engines {
        // Later rounds find the prompt.
        let warm_up = GenerateRequest {
            max_tokens: TokenCount(1),
            ..requests[0].clone()
        };
        answered(engine, &[warm_up])?;
    }
    let mut ratios = Vec::new();
    let mut rates = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        let mut pair = [None, None];
        for turn in 0..2 {
            let index = (round + turn) % 2;
            pair[index] = Some(answered(&engines[index], requests)?);
        }
        let [Some(off), Some(on)] = pair else { continue };
        if off.tokens != on.tokens {
            return Err("the answers differ".into());
        }
        #[expect(clippy::cast_precision_loss, reason = "a few thousand tokens")]
        let count = off.tokens.iter().map(|tokens| tokens.len() - 1).sum::<usize>() as f64;
        rates[0].push(count / off.time.as_secs_f64());
        rates[1].push(count / on.time.as_secs_f64());
        ratios.push(off.time.as_secs_f64() / on.time.as_secs_f64());
    }
    println!(
        "prompt of {}, answer of {}, {} at once: off {:.1} tokens/s, auto {:.1} tokens/s, ratio {:.2} ({:.2} to {:.2})",
        requests[0].prompt.len(),
        requests[0].max_tokens.get(),
        requests.len(),
        median(&mut rates[0]),
        median(&mut rates[1]),
        median(&mut ratios),
        ratios[0],
        ratios[ratios.len() - 1],
    );
    // Of all rounds together, and of the prompt before them.
    let page = metrics.render();
    let counts = page.lines().filter(|line| {
        line.starts_with("silica_engine_draft_tokens_total{")
            || line.starts_with("silica_engine_steps_total{")
    });
    counts.for_each(|line| println!("{line}"));
    Ok(())
}

/// The one in the middle; sorts them.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn answered(engine: &CandleEngine, requests: &[GenerateRequest]) -> Result<Answered, Failure> {
    let streams = requests
        .iter()
        .map(|request| engine.generate(request.clone()))
        .collect::<Result<Vec<_>, _>>()?;
    let mut begin = None;
    let mut tokens = vec![Vec::new(); streams.len()];
    let named = streams.into_iter().enumerate();
    let mut events =
        futures::stream::select_all(named.map(|(index, stream)| stream.map(move |event| (index, event))));
    while let Some((index, event)) = block_on(events.next()) {
        match event {
            GenerateEvent::Token { id, .. } => {
                begin.get_or_insert_with(Instant::now);
                tokens[index].push(id);
            }
            GenerateEvent::Started { .. } | GenerateEvent::Finished(_) => {}
            other => return Err(format!("{other:?}").into()),
        }
    }
    let time = begin.map(|begin| begin.elapsed()).ok_or("no token came")?;
    Ok(Answered { tokens, time })
}

/// How long passes of some rows of one sequence take, behind a prompt of 64 tokens.
#[expect(clippy::print_stdout, reason = "printing is what this program does")]
fn measure_rows(model: &Path) -> Result<(), Failure> {
    let options = options();
    let decoder = Decoder::load(model, options.precision(), Some(512))?;
    let threads = options.thread_count();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    println!("{threads} threads, {:?}", decoder.weight_formats());
    for rows in [1, 2, 3, 4, 6, 8, 12, 16, 24, 32] {
        let time = pool.install(|| time_of(&decoder, rows))?;
        println!("{rows:3} rows: {:8.2} ms", time.as_secs_f64() * 1e3);
    }
    Ok(())
}

/// The shortest of some passes: the machine may be busy.
fn time_of(decoder: &Decoder, rows: usize) -> candle_core::Result<Duration> {
    let mut cache = decoder.new_cache()?;
    let tokens: Vec<u32> = (0..64).collect();
    let mut pass = |count: usize| {
        let span = Span {
            tokens: &tokens[..count],
            cache: cache.view(),
            rope_length: 0,
            logits: LogitsOf::All,
        };
        decoder.forward(&mut [span])
    };
    pass(64)?;
    let mut best = Duration::MAX;
    for _ in 0..12 {
        let start = Instant::now();
        pass(rows)?;
        best = best.min(start.elapsed());
    }
    Ok(best)
}
