//! Measures the matrix products of the embedded engine: how fast weights are read and values are
//! multiplied, for each number format and some batch sizes, beside candle's own in f32; and attention
//! over sequences of some lengths. `FORMAT` may also be `attention`, or `limits`, which says as JSON how fast
//! this machine reads memory and multiplies in registers.
//!
//! `cargo run --release -p silica-engine-candle --example kernels -- [THREADS] [FORMAT] [INSTRUCTIONS]`

use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use silica_engine_candle::bench::{Attention, Instructions, Limits, Weights, formats};

/// Outputs and inputs of the largest layers of Qwen2.5-0.5B.
const SHAPES: [(usize, usize); 2] = [(4864, 896), (896, 4864)];
const BATCHES: [usize; 4] = [1, 8, 64, 256];
/// Time for each figure; the best of the runs in it counts, because the machine may be busy.
const TIME: Duration = Duration::from_millis(300);
/// Copies of the weights that take turns, so that they come from memory as in a model.
const MEMORY: usize = 256 << 20;

#[expect(clippy::print_stdout, reason = "printing is what this program does")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let threads = arguments
        .next()
        .map(|count| count.parse())
        .transpose()?
        .unwrap_or(2);
    let only = arguments.next();
    let wanted = arguments.next();
    let wanted = |known: &Instructions| wanted.as_ref().is_none_or(|name| *name == known.name());
    let instructions = Instructions::all()
        .find(wanted)
        .ok_or("this processor has no such instructions")?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    if only.as_deref() == Some("limits") {
        limits(&pool);
        return Ok(());
    }
    println!(
        "{threads} threads, {}; weights read in GB/s, and multiplications and additions in G/s",
        instructions.name()
    );
    if only.as_deref().is_none_or(|only| only == "attention") {
        attention(&pool)?;
    }
    println!(
        "{:8} {:>12} {:>5} {:>10} {:>8} {:>8}",
        "format", "shape", "rows", "ms", "GB/s", "Gop/s"
    );
    for (outputs, inputs) in SHAPES {
        for format in formats().filter(|name| only.as_deref().is_none_or(|only| only == *name)) {
            let Some(weights) = Weights::random(format, outputs, inputs) else {
                // Blocks of 256 do not fit 896 columns.
                continue;
            };
            let copies: Vec<Weights> = (1..MEMORY.div_ceil(weights.bytes()))
                .filter_map(|_| Weights::random(format, outputs, inputs))
                .collect();
            for rows in BATCHES {
                let input = activations(rows * inputs);
                let mut output = vec![0.0; rows * outputs];
                let mut turn = copies.iter().cycle();
                let time = best(&pool, || {
                    turn.next()
                        .unwrap_or(&weights)
                        .multiply(instructions, &input, rows, &mut output);
                });
                print(format, (outputs, inputs), rows, time, weights.bytes());
            }
        }
        if only.is_none() {
            for rows in BATCHES {
                let time = candle_time(&pool, (outputs, inputs), rows)?;
                print("candle", (outputs, inputs), rows, time, outputs * inputs * 4);
            }
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "figures of three digits")]
#[expect(clippy::print_stdout, reason = "printing is what this program does")]
fn print(format: &str, (outputs, inputs): (usize, usize), rows: usize, time: Duration, bytes: usize) {
    let seconds = time.as_secs_f64();
    let operations = 2 * rows * outputs * inputs;
    println!(
        "{format:8} {:>12} {rows:5} {:10.3} {:8.1} {:8.1}",
        format!("{outputs}x{inputs}"),
        seconds * 1e3,
        bytes as f64 / seconds / 1e9,
        operations as f64 / seconds / 1e9,
    );
}

/// The shortest run within [`TIME`].
fn best(pool: &rayon::ThreadPool, mut work: impl FnMut() + Send) -> Duration {
    pool.install(|| {
        work();
        let begin = Instant::now();
        let mut best = Duration::MAX;
        while begin.elapsed() < TIME {
            let start = Instant::now();
            work();
            best = best.min(start.elapsed());
        }
        best
    })
}

/// The machine's limits, in 1e9 per second.
#[expect(clippy::print_stdout, reason = "printing is what this program does")]
fn limits(pool: &rayon::ThreadPool) {
    let limits = pool.install(Limits::measure);
    let integers = limits
        .integers
        .map_or("null".to_owned(), |rate| format!("{:.1}", rate / 1e9));
    println!(
        r#"{{"threads": {}, "bytes": {:.2}, "floats": {:.1}, "integers": {integers}}}"#,
        pool.current_num_threads(),
        limits.bytes / 1e9,
        limits.floats / 1e9,
    );
}

/// Attention with the heads of Qwen2.5-0.5B.
#[expect(clippy::cast_precision_loss, reason = "figures of three digits")]
#[expect(clippy::print_stdout, reason = "printing is what this program does")]
fn attention(pool: &rayon::ThreadPool) -> candle_core::Result<()> {
    const HEADS: (usize, usize, usize) = (14, 2, 64);
    let (heads, kv_heads, width) = HEADS;
    let attention = Attention::new(heads, kv_heads, width);
    for length in [128, 512, 2048] {
        let queries = activations(length * heads * width);
        let keys = activations(length * kv_heads * width);
        let mut output = vec![0.0; queries.len()];
        let mut result = Ok(());
        let time = best(pool, || {
            if let Err(error) = attention.attend(length, [&queries, &keys, &keys], &mut output) {
                result = Err(error);
            }
        });
        result?;
        println!(
            "attention of {length:5} positions: {:8.3} ms, {:6.1} Gop/s",
            time.as_secs_f64() * 1e3,
            (4 * length * length * heads * width) as f64 / time.as_secs_f64() / 1e9,
        );
    }
    Ok(())
}

/// Values around 0.
fn activations(count: usize) -> Vec<f32> {
    let value = |index: usize| {
        let mixed = index.wrapping_mul(0x9e37_79b9) >> 9;
        f32::from(mixed.to_le_bytes()[0]) / 128.0 - 1.0
    };
    (0..count).map(value).collect()
}

/// candle's product in f32, which takes the threads of the pool too.
fn candle_time(
    pool: &rayon::ThreadPool,
    (outputs, inputs): (usize, usize),
    rows: usize,
) -> candle_core::Result<Duration> {
    let weights = Tensor::from_vec(activations(outputs * inputs), (outputs, inputs), &Device::Cpu)?;
    let input = Tensor::from_vec(activations(rows * inputs), (rows, inputs), &Device::Cpu)?;
    let weights = weights.t()?;
    let mut result = Ok(());
    let time = best(pool, || {
        if let Err(error) = input.matmul(&weights) {
            result = Err(error);
        }
    });
    result.map(|()| time)
}
