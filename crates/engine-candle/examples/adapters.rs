//! Measures what adapters cost: eight sequences at once without an adapter, and with an adapter of each's own,
//! in turn.
//!
//! `cargo run --release -p silica-engine-candle --example adapters -- MODEL [RANK [ROUNDS]]`
//!
//! `MODEL` is a folder with `config.json`. The adapters are of random weights, for all seven projections of every layer.
//! `THREADS` and `QUANTIZE` (`q8_0`, `q4_0`) are read from the environment.

use std::collections::HashMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor, safetensors};
use futures::StreamExt;
use futures::executor::block_on;
use futures::stream::select_all;
use silica_engine::{GenerateEvent, GenerateRequest, Priority, Sampling, TokenEngine};
use silica_engine_candle::{
    AdaptedEngine, CandleEngine, CandleOptions, ModelConfig, Quantization, Speculation,
};
use silica_types::TokenCount;

type Failure = Box<dyn Error + Send + Sync>;

const SEQUENCES: u32 = 8;
const PROMPT: u32 = 16;
const ANSWER: u32 = 17;

#[expect(clippy::print_stdout, reason = "printing is what this program does")]
fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let model = Path::new(arguments.first().ok_or("usage: adapters MODEL [RANK [ROUNDS]]")?);
    let number = |index: usize, usual: usize| arguments.get(index).map_or(Ok(usual), |text| text.parse());
    let (rank, rounds) = (number(1, 16)?, number(2, 5)?);
    let engine = Arc::new(CandleEngine::load(model, options())?);
    let config = ModelConfig::read(model)?;
    let mut adapted = Vec::new();
    for seed in 0..SEQUENCES {
        let folder = tempfile::tempdir()?;
        write(folder.path(), &config, rank, seed)?;
        adapted.push(AdaptedEngine::load(Arc::clone(&engine), folder.path())?);
    }
    let plain: Vec<&dyn TokenEngine> = adapted.iter().map(|_| -> &dyn TokenEngine { &engine }).collect();
    let adapted: Vec<&dyn TokenEngine> = adapted
        .iter()
        .map(|engine| -> &dyn TokenEngine { engine })
        .collect();
    time(&plain, 0)?;
    time(&adapted, 0)?;
    let mut ratios = Vec::new();
    for round in 0..rounds {
        let number = u32::try_from(round)? + 1;
        // The order is turned round each time.
        let (without, with) = if round % 2 == 0 {
            (time(&plain, number)?, time(&adapted, number)?)
        } else {
            let with = time(&adapted, number)?;
            (time(&plain, number)?, with)
        };
        println!("without {without:.1?}, with {with:.1?}");
        ratios.push(with.as_secs_f64() / without.as_secs_f64());
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "{SEQUENCES} sequences with {SEQUENCES} adapters of rank {rank} take {:.2} times as long as without ({:.2} to {:.2})",
        ratios[ratios.len() / 2],
        ratios[0],
        ratios[ratios.len() - 1]
    );
    Ok(())
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
        // What is measured is the time of a step.
        speculation: Speculation::Off,
        ..CandleOptions::default()
    }
}

/// From the moment when all sequences have their first token until the last one ends.
fn time(engines: &[&dyn TokenEngine], round: u32) -> Result<Duration, Failure> {
    let mut streams = Vec::new();
    for (index, engine) in (0..).zip(engines) {
        // No prompt is found computed.
        let first = round * 1000 + index * 100;
        streams.push(engine.generate(GenerateRequest {
            prompt: (first..first + PROMPT).collect(),
            sampling: Sampling::greedy(),
            max_tokens: TokenCount(ANSWER),
            stop_tokens: Vec::new(),
            logprobs: None,
            span_limit: None,
            constraint: None,
            priority: Priority::default(),
            account: None,
        })?);
    }
    let mut waiting = streams.len();
    let mut begin = None;
    let mut events = select_all(streams);
    let mut seen = 0;
    while let Some(event) = block_on(events.next()) {
        match event {
            GenerateEvent::Started { .. } => waiting -= 1,
            GenerateEvent::Token { .. } => {
                if waiting == 0 {
                    begin.get_or_insert_with(Instant::now);
                }
                seen += 1;
            }
            GenerateEvent::Finished(_) => {}
            other => return Err(format!("{other:?}").into()),
        }
    }
    if seen != engines.len() * ANSWER as usize {
        return Err("an answer is not whole".into());
    }
    begin
        .map(|begin| begin.elapsed())
        .ok_or_else(|| "no token came".into())
}

/// Writes an adapter of small pseudo-random values.
fn write(folder: &Path, config: &ModelConfig, rank: usize, seed: u32) -> Result<(), Failure> {
    let (width, inner) = (config.hidden_size, config.intermediate_size);
    let (queries, keys) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
    let modules = [
        ("self_attn.q_proj", queries, width),
        ("self_attn.k_proj", keys, width),
        ("self_attn.v_proj", keys, width),
        ("self_attn.o_proj", width, queries),
        ("mlp.gate_proj", inner, width),
        ("mlp.up_proj", inner, width),
        ("mlp.down_proj", width, inner),
    ];
    let mut state = seed;
    let mut matrix = |rows: usize, columns: usize| {
        let mut value = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from(state.to_be_bytes()[0]) / 12_800.0 - 0.01
        };
        let values: Vec<f32> = (0..rows * columns).map(|_| value()).collect();
        Tensor::from_vec(values, (rows, columns), &Device::Cpu)
    };
    let mut tensors = HashMap::new();
    for layer in 0..config.layers {
        for (module, outputs, inputs) in modules {
            let name = format!("base_model.model.model.layers.{layer}.{module}");
            tensors.insert(format!("{name}.lora_A.weight"), matrix(rank, inputs)?);
            tensors.insert(format!("{name}.lora_B.weight"), matrix(outputs, rank)?);
        }
    }
    safetensors::save(&tensors, folder.join("adapter_model.safetensors"))?;
    let settings = serde_json::json!({ "peft_type": "LORA", "r": rank, "lora_alpha": rank });
    std::fs::write(folder.join("adapter_config.json"), settings.to_string())?;
    Ok(())
}
