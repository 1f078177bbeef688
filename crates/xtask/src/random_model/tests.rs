use std::collections::HashSet;

use futures::StreamExt;
use futures::executor::block_on;
use silica_engine::{GenerateEvent, GenerateRequest, Priority, Sampling, StopCause, TokenEngine};
use silica_engine_candle::{CandleEngine, CandleOptions, Family, ModelConfig};
use silica_types::TokenCount;
use tempfile::TempDir;
use tokenizers::Tokenizer;

use super::*;

fn written(dtype: Dtype) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_owned();
    run(&RandomModel {
        shape: ShapeName::Tiny,
        out,
        dtype,
        seed: 1,
    })
    .unwrap();
    folder
}

#[test]
fn the_engine_serves_every_number_format() {
    for dtype in [Dtype::F32, Dtype::Bf16, Dtype::F16] {
        let folder = written(dtype);
        let options = CandleOptions {
            threads: Some(1),
            ..CandleOptions::default()
        };
        let engine = CandleEngine::load(folder.path(), options).unwrap();
        let request = GenerateRequest {
            prompt: vec![500, 104, 105],
            sampling: Sampling::greedy(),
            max_tokens: TokenCount(5),
            stop_tokens: Vec::new(),
            logprobs: None,
            span_limit: None,
            constraint: None,
            priority: Priority::default(),
            account: None,
        };
        let events: Vec<_> = block_on(engine.generate(request).unwrap().collect());
        assert_eq!(events.len(), 7, "{dtype:?}");
        assert_eq!(events.last(), Some(&GenerateEvent::Finished(StopCause::Length)));
    }
}

#[test]
fn the_same_seed_writes_the_same_weights() {
    let read = |folder: &TempDir| fs::read(folder.path().join("model.safetensors")).unwrap();
    assert!(read(&written(Dtype::Bf16)) == read(&written(Dtype::Bf16)));
}

#[test]
fn all_text_encodes_and_every_id_decodes_to_something_of_its_own() {
    let folder = written(Dtype::F16);
    let tokenizer = Tokenizer::from_file(folder.path().join("tokenizer.json")).unwrap();
    let text = "Grüße, 世界!\n\t\u{0}<|im_end|>";
    let ids = tokenizer.encode(text, false).unwrap().get_ids().to_vec();
    assert_eq!(tokenizer.decode(&ids, false).unwrap(), text);
    assert_eq!(ids.last(), Some(&502));
    let words: HashSet<String> = (256..512)
        .map(|id| tokenizer.decode(&[id], false).unwrap())
        .collect();
    assert_eq!(words.len(), 256);
    assert!(words.iter().all(|word| word.is_ascii() && word.trim().len() > 1));
}

#[test]
fn the_large_shape_has_the_published_size_and_special_ids() {
    let shape = Shape::qwen25_half();
    let parameters: usize = shape.tensors().iter().map(shape::TensorSpec::size).sum();
    assert_eq!(parameters, 494_032_768);
    let vocabulary = tokenizer::tokenizer(&shape)["model"]["vocab"].clone();
    assert_eq!(
        vocabulary.as_object().unwrap().len(),
        151_936,
        "no two ids share a token"
    );
    assert_eq!(vocabulary["<|endoftext|>"], 151_643);
    assert_eq!(vocabulary["<|im_start|>"], 151_644);
    assert_eq!(vocabulary["<|im_end|>"], 151_645);
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "config.json", &config::config(&shape, Dtype::Bf16)).unwrap();
    let config = ModelConfig::read(folder.path()).unwrap();
    assert_eq!(
        (config.family, config.head_dim, config.context_length),
        (Family::Qwen2, 64, 32_768)
    );
}
