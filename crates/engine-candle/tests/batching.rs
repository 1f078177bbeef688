//! Many requests at once answer as each would alone, bit for bit, with blocks that are shared, run
//! out and are computed again.

#![expect(
    clippy::unwrap_used,
    reason = "test support: what fails here is a failed test"
)]

use std::path::PathBuf;

use futures::StreamExt;
use futures::executor::block_on;
use metrics_exporter_prometheus::PrometheusBuilder;
use silica_engine::{GenerateEvent, GenerateRequest, GenerateStream, Priority, Sampling, TokenEngine};
use silica_engine_candle::{
    CandleEngine, CandleOptions, Decoder, LogitsOf, Precision, Quantization, Span, Speculation,
};
use silica_types::TokenCount;

/// Tokens that are in the vocabulary of every fixture.
const VOCABULARY: usize = 144;

/// A model folder or GGUF file.
fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// A prompt and how many tokens to generate.
#[derive(Debug, Clone)]
struct Asked {
    prompt: Vec<u32>,
    max_tokens: usize,
}

/// Requests of all lengths; every third begins like another one.
fn mixed(count: usize, longest: usize) -> Vec<Asked> {
    let mut state = 12_345_u32;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    let token = |random: &mut dyn FnMut(usize) -> usize| u32::try_from(random(VOCABULARY)).unwrap();
    let shared: Vec<u32> = (0..longest).map(|_| token(&mut random)).collect();
    let asked = (0..count).map(|index| {
        let length = 1 + random(longest);
        let mut prompt: Vec<u32> = (0..length).map(|_| token(&mut random)).collect();
        if index % 3 == 0 {
            let same = length * 3 / 4;
            prompt[..same].copy_from_slice(&shared[..same]);
        }
        Asked {
            prompt,
            max_tokens: 1 + random(24),
        }
    });
    asked.collect()
}

/// The most likely token, the lowest of several.
fn greatest(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (index, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = index;
        }
    }
    u32::try_from(best).unwrap()
}

/// What a sequence answers when the model computes nothing else: its prompt in one pass, then
/// token by token, in a cache of its own.
fn alone(decoder: &Decoder, asked: &Asked) -> Vec<u32> {
    let mut cache = decoder.new_cache().unwrap();
    let mut answer = Vec::new();
    let mut tokens = asked.prompt.clone();
    let mut length = tokens.len();
    while answer.len() < asked.max_tokens {
        let span = Span {
            tokens: &tokens,
            cache: cache.view(),
            rope_length: length,
            logits: LogitsOf::Last,
        };
        let logits = decoder.forward(&mut [span]).unwrap().unwrap();
        let token = greatest(&logits.flatten_all().unwrap().to_vec1::<f32>().unwrap());
        answer.push(token);
        tokens = vec![token];
        length += 1;
    }
    answer
}

fn request(asked: &Asked) -> GenerateRequest {
    GenerateRequest {
        prompt: asked.prompt.clone(),
        sampling: Sampling::greedy(),
        max_tokens: TokenCount::of(&vec![(); asked.max_tokens]),
        stop_tokens: Vec::new(),
        logprobs: Some(0),
        span_limit: None,
        constraint: None,
        priority: Priority::default(),
        account: None,
    }
}

/// The tokens with their log-probabilities, bit by bit, and how much of the prompt was found.
fn answered(stream: GenerateStream) -> (Vec<(u32, u32)>, u32) {
    let mut found = 0;
    let mut tokens = Vec::new();
    let mut last = None;
    for event in block_on(stream.collect::<Vec<_>>()) {
        match &event {
            GenerateEvent::Started { cached } => found = cached.get(),
            GenerateEvent::Token { id, logprob } => {
                tokens.push((*id, logprob.as_ref().unwrap().logprob.to_bits()));
            }
            _ => {}
        }
        last = Some(event);
    }
    assert!(matches!(last, Some(GenerateEvent::Finished(_))), "{last:?}");
    (tokens, found)
}

fn engine(
    name: &str,
    quantize: Option<Quantization>,
    max_sequences: usize,
    kv_cache_mb: u32,
) -> CandleEngine {
    let options = CandleOptions {
        threads: Some(2),
        quantize,
        max_sequences,
        max_waiting: 64,
        kv_cache_mb,
        ..CandleOptions::default()
    };
    CandleEngine::load(&folder(name), options).unwrap()
}

fn assert_batched_is_alone(name: &str, quantize: Option<Quantization>, longest: usize) {
    let asked = mixed(64, longest);
    let precision = Precision {
        quantize,
        ..Precision::default()
    };
    let decoder = Decoder::load(&folder(name), precision, None).unwrap();
    let one_by_one = engine(name, quantize, 1, 64);
    // A cache for less than all sequences need at once.
    let batched = engine(name, quantize, 64, 1);
    let streams: Vec<_> = asked
        .iter()
        .map(|asked| batched.generate(request(asked)).unwrap())
        .collect();
    for (index, (asked, stream)) in asked.iter().zip(streams).enumerate() {
        let (together, _) = answered(stream);
        let (single, _) = answered(one_by_one.generate(request(asked)).unwrap());
        assert_eq!(together, single, "{name}: request {index}");
        let tokens: Vec<u32> = together.into_iter().map(|(token, _)| token).collect();
        assert_eq!(
            tokens,
            alone(&decoder, asked),
            "{name}: request {index}, no engine"
        );
    }
}

#[test]
fn mixed_requests_at_once_equal_one_by_one() {
    assert_batched_is_alone("qwen3", None, 200);
}

#[test]
fn mixed_requests_at_once_equal_one_by_one_in_q8_0() {
    assert_batched_is_alone("gguf/qwen3", Some(Quantization::Q8_0), 200);
}

#[test]
fn mixed_requests_at_once_equal_one_by_one_in_q4_0() {
    assert_batched_is_alone("gguf/llama2", Some(Quantization::Q4_0), 200);
}

#[test]
fn mixed_requests_at_once_equal_one_by_one_in_a_mix_of_formats() {
    assert_batched_is_alone("gguf/llama-q4_k_m.gguf", None, 200);
}

#[test]
fn mixed_requests_at_once_equal_one_by_one_within_windows() {
    assert_batched_is_alone("qwen2-window", None, 200);
}

#[test]
fn mixed_requests_at_once_equal_one_by_one_with_all_biases() {
    assert_batched_is_alone("llama", None, 200);
}

#[test]
fn mixed_requests_at_once_equal_one_by_one_with_experts() {
    assert_batched_is_alone("mixtral", None, 60);
}

#[test]
fn mixed_requests_at_once_equal_one_by_one_with_a_shared_expert_in_q8_0() {
    assert_batched_is_alone("qwen2-moe", Some(Quantization::Q8_0), 60);
}

#[test]
fn mixed_requests_at_once_equal_one_by_one_over_latents() {
    assert_batched_is_alone("deepseek-v2", None, 60);
}

#[test]
fn mixed_requests_at_once_equal_one_by_one_over_latents_in_q8_0() {
    assert_batched_is_alone("deepseek-v3", Some(Quantization::Q8_0), 60);
}

/// The keys of a sequence depend on its length here, so nothing may be shared, and what is computed
/// again has to be computed as it was.
#[test]
fn mixed_requests_at_once_equal_one_by_one_with_dynamic_scaling() {
    assert_batched_is_alone("llama-dynamic", None, 100);
}

/// Answers of repeated prompts, drawn in many ways, and how many drafted tokens came and did not.
fn repeated(
    name: &str,
    quantize: Option<Quantization>,
    speculation: Speculation,
    places: usize,
) -> (Vec<Vec<(u32, u32)>>, [u64; 2]) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let engine = metrics::with_local_recorder(&recorder, || {
        let options = CandleOptions {
            threads: Some(2),
            quantize,
            max_sequences: places,
            kv_cache_mb: 1,
            speculation,
            ..CandleOptions::default()
        };
        CandleEngine::load(&folder(name), options).unwrap()
    });
    let asked = mixed(12, 30);
    let streams: Vec<_> = (0..)
        .zip(&asked)
        .map(|(index, asked)| {
            let asked = Asked {
                prompt: asked.prompt.repeat(3),
                max_tokens: 100,
            };
            let mut request = request(&asked);
            request.sampling.seed = Some(index);
            request.sampling.temperature = [0.0, 0.1, 1.0][asked.prompt.len() % 3];
            request.sampling.top_p = [1.0, 0.5][asked.prompt.len() % 2];
            if index % 4 == 0 {
                request.sampling.frequency_penalty = 0.05;
            }
            // So much that an answer repeats a token, as the weights of some models alone never do.
            let bias = if index == 5 { 20.0 } else { 2.0 };
            if index % 5 == 0 {
                request.sampling.logit_bias = vec![(asked.prompt[0], bias), (7, -100.0)];
            }
            engine.generate(request).unwrap()
        })
        .collect();
    let answers = streams.into_iter().map(|stream| answered(stream).0).collect();
    drop(engine);
    let page = metrics.render();
    let drafted = ["accepted", "rejected"].map(|result| {
        let label = format!("result=\"{result}\"");
        let line = page.lines().find(|line| line.contains(&label));
        let count = line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok());
        count.unwrap_or_default()
    });
    (answers, drafted)
}

#[test]
fn drafts_change_no_bit_of_an_answer() {
    for (name, quantize) in [
        ("qwen3", None),
        ("qwen2-window", None),
        ("llama", None),
        ("gguf/qwen3", Some(Quantization::Q8_0)),
        ("gguf/llama2", Some(Quantization::Q4_0)),
        ("gguf/llama-q4_k_m.gguf", None),
        ("mixtral", None),
        ("qwen2-moe", Some(Quantization::Q8_0)),
        ("deepseek-v2", None),
        ("deepseek-v3", Some(Quantization::Q8_0)),
    ] {
        let (plain, none) = repeated(name, quantize, Speculation::Off, 5);
        let (together, some) = repeated(name, quantize, Speculation::Auto, 5);
        let (alone, more) = repeated(name, quantize, Speculation::Auto, 1);
        assert_eq!(together, plain, "{name}");
        assert_eq!(alone, plain, "{name}");
        assert_eq!(none, [0; 2], "{name}");
        for came in [some[0], more[0]] {
            assert!(
                came > 20,
                "{name}: {some:?} of several sequences, {more:?} of one"
            );
        }
    }
}

/// What a drafted token computes would depend on how many are drafted, so none are.
#[test]
fn sequences_whose_keys_depend_on_their_length_draft_nothing() {
    let (plain, _) = repeated("llama-dynamic", None, Speculation::Off, 5);
    assert_eq!(
        repeated("llama-dynamic", None, Speculation::Auto, 5),
        (plain, [0; 2])
    );
}

#[test]
fn a_beginning_computed_earlier_changes_no_bit_of_the_answer() {
    let asked = Asked {
        prompt: mixed(1, 1)[0].prompt.repeat(200),
        max_tokens: 20,
    };
    for name in ["qwen3", "deepseek-v2"] {
        let engine = engine(name, None, 4, 4);
        let (first, found) = answered(engine.generate(request(&asked)).unwrap());
        assert_eq!(found, 0);
        let (second, found) = answered(engine.generate(request(&asked)).unwrap());
        assert_eq!((second, found), (first, 192));
    }
}

#[test]
fn sequences_whose_keys_depend_on_their_length_share_nothing() {
    let asked = &mixed(3, 100)[0];
    let engine = engine("llama-dynamic", None, 4, 4);
    for _ in 0..2 {
        assert_eq!(answered(engine.generate(request(asked)).unwrap()).1, 0);
    }
}
