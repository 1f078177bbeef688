//! Measures one engine without a server: prompt and decode speed of a model folder.
//!
//! `cargo run --release -p silica-engine-candle --example speed -- FOLDER [f32|bf16] [THREADS]`

use std::path::Path;
use std::time::Instant;

use futures::StreamExt;
use futures::executor::block_on;
use silica_engine::{GenerateEvent, GenerateRequest, Priority, Sampling, TokenEngine};
use silica_engine_candle::{CandleEngine, CandleOptions, Dtype};
use silica_types::TokenCount;

const PROMPT: u32 = 256;
const ANSWER: u32 = 64;
const RUNS: usize = 3;

#[expect(clippy::print_stdout, reason = "printing is what this program does")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("name a model folder")?;
    let dtype = if arguments.next().as_deref() == Some("bf16") {
        Dtype::Bf16
    } else {
        Dtype::F32
    };
    let threads = arguments.next().map(|count| count.parse()).transpose()?;
    let start = Instant::now();
    let engine = CandleEngine::load(
        Path::new(&folder),
        CandleOptions {
            dtype,
            threads,
            ..CandleOptions::default()
        },
    )?;
    println!("loaded in {:.2} s", start.elapsed().as_secs_f64());
    for _ in 0..RUNS {
        let (prompt, decode) = block_on(measure(&engine))?;
        println!("prompt of {PROMPT}: {prompt:.1} tokens/s, decoding {ANSWER}: {decode:.1} tokens/s");
    }
    Ok(())
}

/// Tokens per second of the prompt and of the answer.
async fn measure(engine: &CandleEngine) -> Result<(f64, f64), Box<dyn std::error::Error>> {
    let vocabulary = engine.vocabulary_size();
    let request = GenerateRequest {
        prompt: (0..PROMPT)
            .map(|index| index.wrapping_mul(2_654_435_761) % vocabulary)
            .collect(),
        sampling: Sampling {
            temperature: 0.7,
            top_p: 0.7,
            top_k: Some(50),
            ..Sampling::greedy()
        },
        max_tokens: TokenCount(ANSWER),
        stop_tokens: Vec::new(),
        logprobs: None,
        span_limit: None,
        priority: Priority::default(),
        account: None,
    };
    let start = Instant::now();
    let mut stream = engine.generate(request)?;
    let mut prompt_done = start;
    while let Some(event) = stream.next().await {
        match event {
            GenerateEvent::Started { .. } => prompt_done = Instant::now(),
            GenerateEvent::Overloaded => return Err("the engine is too busy".into()),
            GenerateEvent::Failed(reason) => return Err(reason.into()),
            GenerateEvent::Token { .. } | GenerateEvent::Finished(_) => {}
        }
    }
    let prompt = f64::from(PROMPT) / (prompt_done - start).as_secs_f64();
    let decode = f64::from(ANSWER - 1) / prompt_done.elapsed().as_secs_f64();
    Ok((prompt, decode))
}
