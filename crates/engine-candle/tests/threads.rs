//! The engine computes on its own threads only. A test binary of its own, since it looks at all
//! threads of the process.

#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    reason = "test support: what fails here is a failed test"
)]

use std::fs;
use std::path::Path;

use silica_engine_candle::{Decoder, Dtype, KvCache, LogitsOf, Precision, Quantization, Span};

/// candle keeps a pool over all cores, which spins, for operations on large tensors; nothing that
/// we compute may start it.
#[test]
fn large_batches_stay_off_the_pool_of_the_tensor_library() {
    let quantised = Precision {
        dtype: Dtype::Bf16,
        quantize: Some(Quantization::Q8_0),
    };
    for precision in [Dtype::F32.into(), Dtype::Bf16.into(), quantised] {
        compute("llama-sharded-bf16", precision);
    }
    for name in [
        "qwen2-moe",
        "mixtral",
        "deepseek-v2",
        "deepseek-v3",
        "gemma2",
        "glm4",
        "internlm2",
        "chatglm",
        "telechat",
    ] {
        compute(name, Dtype::F32.into());
    }
}

/// Computes 25 sequences of 110 positions at once: of a width of 32, well above the 65,536 elements at which
/// candle would.
#[track_caller]
fn compute(name: &str, precision: Precision) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name);
    let decoder = Decoder::load(&folder, precision, None).unwrap();
    let vocabulary = u32::try_from(decoder.config().vocab_size).unwrap();
    let tokens: Vec<u32> = (0..110).map(|index| index * 7 % vocabulary).collect();
    let mut caches: Vec<_> = (0..25).map(|_| decoder.new_cache().unwrap()).collect();
    let span = |cache| Span {
        tokens: &tokens,
        cache,
        rope_length: 110,
        logits: LogitsOf::All,
    };
    let mut spans: Vec<_> = caches.iter_mut().map(KvCache::view).map(span).collect();
    assert!(decoder.forward(&mut spans).unwrap().is_some());
    let threads = fs::read_dir("/proc/self/task").unwrap();
    let names: Vec<_> = threads
        .map(|thread| fs::read_to_string(thread.unwrap().path().join("comm")).unwrap())
        .collect();
    assert!(
        names.iter().all(|name| !name.starts_with("candle-bp")),
        "{name}: {names:?}"
    );
}
