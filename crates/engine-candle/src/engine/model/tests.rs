use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::Dtype;
use crate::text::cache::KvCache;
use crate::text::cache::blocks::BlockPool;

const CONTEXT: usize = 256;
const VOCABULARY: u32 = 144;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn decoder(name: &str) -> Decoder {
    Decoder::load(&fixture(name), Dtype::F32, None).unwrap()
}

fn paged(name: &str, blocks: usize) -> PagedDecoder {
    let decoder = decoder(name);
    let bytes = (decoder.block_bytes() * blocks) as u64;
    PagedDecoder::new(decoder, bytes, None).unwrap()
}

/// Computes what is left of `tokens` in parts of at most `part`, and returns the last logits.
fn computed(model: &PagedDecoder, table: &mut BlockTable, tokens: &[u32], part: usize) -> Vec<f32> {
    let mut logits = Vec::new();
    while table.len() < tokens.len() {
        let first = table.len();
        let end = (first + part).min(tokens.len());
        assert!(table.reserve(end - first));
        let mut steps = [Step {
            tokens: &tokens[first..end],
            table,
            adapter: None,
            rope_length: tokens.len(),
            logits: if end == tokens.len() {
                LogitsOf::Last
            } else {
                LogitsOf::Nothing
            },
        }];
        model.compute(&mut steps, &mut logits).unwrap();
    }
    table.name(tokens);
    logits
}

#[test]
fn a_cache_too_small_for_the_context_shortens_it() {
    assert_eq!(paged("qwen3", 5).context_length(), 80);
    assert_eq!(paged("qwen3", 16).context_length(), 256);
    assert_eq!(paged("qwen3", 100).context_length(), 256);
    assert_eq!(
        paged("qwen3", 0).context_length(),
        16,
        "there is always one block"
    );
}

/// Who chooses a context wants all of it.
#[test]
fn a_cache_too_small_for_a_chosen_context_is_refused_by_both_settings() {
    let large = || Decoder::load(&fixture("qwen3"), Dtype::F32, Some(200)).unwrap();
    let block = large().block_bytes() as u64;
    let refused = PagedDecoder::new(large(), 12 * block, Some(200)).err().unwrap();
    let text = refused.to_string();
    for part in ["context_length", "200 tokens", "engine.kv_cache_mb", "192"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(
        PagedDecoder::new(large(), 13 * block, Some(200))
            .unwrap()
            .context_length(),
        200
    );
    assert_eq!(cache_mb(1 << 20, 200), 13);
    assert_eq!(cache_mb(1, 17), 1);
}

/// What a pass reads, and what a row of it computes.
#[test]
fn costs_are_those_of_the_model_s_weights() {
    let model = paged("qwen3", 4);
    let costs = model.costs(2);
    // Two layers of queries, keys, values, output and three matrices, and the head.
    let layer = 48 * (64 + 32 + 32) + 64 * 48 + 3 * 48 * 64;
    assert_eq!(
        costs,
        Costs {
            dense: real(2 * layer + 144 * 48),
            experts: 0.0,
            chosen: 0.0,
            position: real(2 * 2 * 4 * 16),
            product: costs.product,
        }
    );
    assert!(
        (0.005..=0.05).contains(&costs.product),
        "four bytes a weight: {}",
        costs.product
    );
    let costs = paged("mixtral", 4).costs(2);
    let decoder = decoder("mixtral");
    let moe = decoder.config().moe.as_ref().unwrap();
    assert!(costs.experts > 0.0 && costs.dense > 0.0);
    assert!((costs.chosen - real(moe.chosen) / real(moe.experts)).abs() < 1e-6);
}

#[test]
fn the_memory_asked_for_is_that_of_the_blocks() {
    let decoder = decoder("qwen3");
    // Layers, keys and values, positions, key heads, width, bytes.
    assert_eq!(decoder.block_bytes(), 2 * 2 * 16 * 2 * 16 * 4);
    assert_eq!(decoder.new_store(7).unwrap().capacity(), 7);
}

/// Of a position latent attention keeps its latent and the rotated part of its key, whatever the
/// number of heads, and nothing twice.
#[test]
fn the_memory_of_latents_is_that_of_one_row_for_each_position() {
    for (name, layers) in [("deepseek-v2-lite", 3), ("deepseek-v3", 3)] {
        let decoder = decoder(name);
        let config = decoder.config();
        let mla = config.mla.as_ref().unwrap();
        assert_eq!((config.heads, mla.rank, mla.rope_width), (4, 24, 8));
        assert_eq!(decoder.block_bytes() / BLOCK, layers * (24 + 8) * 4, "{name}");
        assert_eq!(decoder.new_store(7).unwrap().capacity(), 7);
    }
}

/// What no machine has, and what the system would promise and not keep.
#[test]
fn a_cache_that_cannot_be_had_is_refused_by_the_setting_s_name() {
    for bytes in [u64::from(u32::MAX) << 20, u64::MAX] {
        let Err(error) = PagedDecoder::new(decoder("qwen3"), bytes, None) else {
            panic!("{bytes} bytes were taken")
        };
        let LoadError::Cache { bytes: told, .. } = error else {
            panic!("{error} is about something else")
        };
        assert!(told > bytes / 2 && told <= bytes);
        let said = format!("engine.kv_cache_mb: {told} bytes ");
        assert!(error.to_string().starts_with(&said), "{error}");
    }
    let refused = decoder("qwen3").new_store(usize::MAX / 2).err().unwrap();
    assert!(refused.to_string().contains("does not give"), "{refused}");
}

/// The tensors' way, which other devices take, against the CPU's own.
#[test]
fn blocks_of_tensors_compute_the_same() {
    for name in ["qwen3", "qwen2-window", "deepseek-v2", "deepseek-v3-halves"] {
        let decoder = decoder(name);
        let tokens: Vec<u32> = (0..90).map(|index| index * 31 % VOCABULARY).collect();
        let all = |mut cache: KvCache| {
            let mut logits = Vec::new();
            for part in [&tokens[..50], &tokens[50..51], &tokens[51..]] {
                let spans = &mut [Span {
                    tokens: part,
                    cache: cache.view(),
                    rope_length: 0,
                    logits: LogitsOf::All,
                }];
                let computed = decoder.forward(spans).unwrap().unwrap();
                logits.extend(computed.flatten_all().unwrap().to_vec1::<f32>().unwrap());
            }
            logits
        };
        let own = all(decoder.new_cache().unwrap());
        let tensors = all(decoder.new_cache_of_tensors().unwrap());
        let largest = own
            .iter()
            .fold(0.0_f32, |largest, logit| largest.max(logit.abs()));
        for (own, tensors) in own.iter().zip(&tensors) {
            assert!(
                (own - tensors).abs() < 1e-4 * largest,
                "{name}: {own} is not {tensors}"
            );
        }
    }
}

/// A beginning that two sequences share, what follows in each, and where prompts are cut.
fn sequences() -> impl Strategy<Value = (Vec<u32>, Vec<u32>, Vec<u32>, usize, usize)> {
    let tokens = |most| prop::collection::vec(0..VOCABULARY, 1..most);
    (tokens(150), tokens(50), tokens(50), 1_usize..100, 1_usize..100)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn logits_are_the_same_with_and_without_reuse(
        (shared, first, second, first_part, second_part) in sequences(),
    ) {
        for name in ["qwen3", "qwen2-window", "deepseek-v2"] {
            let model = paged(name, 2 * CONTEXT / BLOCK);
            let pool = BlockPool::new(model.blocks());
            let first: Vec<u32> = shared.iter().chain(&first).copied().collect();
            let second: Vec<u32> = shared.iter().chain(&second).copied().collect();
            let without = computed(&model, &mut pool.table(0), &second, second_part);
            // Another pool over the same memory: what stands there is overwritten.
            let pool = BlockPool::new(model.blocks());
            computed(&model, &mut pool.table(0), &first, first_part);
            let mut table = pool.table(0);
            prop_assert!(table.adopt(&second) >= (shared.len() - 1) / BLOCK * BLOCK);
            let with = computed(&model, &mut table, &second, first_part);
            for (with, without) in with.iter().zip(&without) {
                prop_assert_eq!(with.to_bits(), without.to_bits(), "{} is not {}", with, without);
            }
        }
    }
}
