//! Measures one engine without a server: prompt and decode speed of a model folder or GGUF file, and
//! on Linux its memory.
//!
//! `cargo run --release -p silica-engine-candle --example speed -- MODEL [f32|bf16|q8_0|q4_0] [THREADS]`

use std::path::Path;
use std::time::Instant;

use futures::StreamExt;
use futures::executor::block_on;
use silica_engine::{GenerateEvent, GenerateRequest, Priority, Sampling, TokenEngine};
use silica_engine_candle::{CandleEngine, CandleOptions, Dtype, Quantization};
use silica_types::TokenCount;

const PROMPT: u32 = 256;
const ANSWER: u32 = 64;
const RUNS: usize = 3;

#[expect(clippy::print_stdout, reason = "printing is what this program does")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().ok_or("name a model folder or a GGUF file")?;
    let (dtype, quantize) = match arguments.next().as_deref() {
        None | Some("f32") => (Dtype::F32, None),
        Some("bf16") => (Dtype::Bf16, None),
        Some("q8_0") => (Dtype::F32, Some(Quantization::Q8_0)),
        Some("q4_0") => (Dtype::F32, Some(Quantization::Q4_0)),
        Some(other) => return Err(format!("{other} is none of f32, bf16, q8_0 and q4_0").into()),
    };
    let threads = arguments.next().map(|count| count.parse()).transpose()?;
    let start = Instant::now();
    let engine = CandleEngine::load(
        Path::new(&model),
        CandleOptions {
            dtype,
            quantize,
            threads,
            ..CandleOptions::default()
        },
    )?;
    println!("loaded in {:.2} s", start.elapsed().as_secs_f64());
    // Resident now, and at most while it was loaded.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let memory = status
        .lines()
        .filter(|line| line.starts_with("VmRSS") || line.starts_with("VmHWM"));
    memory.for_each(|line| println!("{line}"));
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
