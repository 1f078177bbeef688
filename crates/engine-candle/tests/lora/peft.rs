//! Adapters as the Python library `peft` writes them, against what it computes.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use candle_core::{Device, Tensor, safetensors};
use silica_engine::{Sampling, TokenEngine};
use silica_engine_candle::{AdaptedEngine, CandleEngine, CandleOptions};
use silica_types::TokenCount;

use super::engine::{answered, request};
use super::{decoder, fixture, logits_of};

/// What `peft` wrote and computed (`tools/parity/make_adapters.py`).
struct Peft {
    folder: PathBuf,
    base: PathBuf,
    reference: HashMap<String, Tensor>,
}

impl Peft {
    fn read(name: &str) -> Self {
        let folder = fixture("lora").join(name);
        let base = fs::read_to_string(folder.join("base.txt")).unwrap();
        Self {
            base: fixture(base.trim()),
            reference: safetensors::load(folder.join("reference.safetensors"), &Device::Cpu).unwrap(),
            folder,
        }
    }

    fn ids(&self, name: &str) -> Vec<u32> {
        let ids = self.reference[name].to_vec1::<i32>().unwrap();
        ids.into_iter().map(|id| u32::try_from(id).unwrap()).collect()
    }

    fn logits(&self) -> Vec<f32> {
        self.reference["logits"].flatten_all().unwrap().to_vec1().unwrap()
    }
}

/// The greatest difference, as a share of the largest number of the second.
fn difference(left: &[f32], right: &[f32]) -> f32 {
    assert_eq!(left.len(), right.len());
    assert!(left.iter().all(|value| value.is_finite()));
    let largest = right.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    let pairs = left.iter().zip(right);
    pairs.fold(0.0_f32, |most, (left, right)| most.max((left - right).abs())) / largest
}

/// As `parity.rs`: what is seen is a few millionths.
#[test]
fn adapters_that_peft_wrote_give_the_logits_of_peft() {
    for name in ["qwen3-patterns", "llama-rslora"] {
        let peft = Peft::read(name);
        let model = decoder(&peft.base);
        let adapter = model.adapter(&peft.folder).unwrap();
        let (tokens, expected) = (peft.ids("tokens"), peft.logits());
        let error = difference(&logits_of(&model, Some(&adapter), &tokens), &expected);
        assert!(error < 1e-3, "{name}: {error:e}");
        let alone = difference(&logits_of(&model, None, &tokens), &expected);
        assert!(alone > 0.1, "{name}: only {alone:e} without the adapter");
    }
}

#[test]
fn adapters_that_peft_wrote_answer_greedily_as_peft_does() {
    for name in ["qwen3-patterns", "llama-rslora"] {
        let peft = Peft::read(name);
        let options = CandleOptions {
            threads: Some(2),
            ..CandleOptions::default()
        };
        let base = Arc::new(CandleEngine::load(&peft.base, options).unwrap());
        let adapted = AdaptedEngine::load(base, &peft.folder).unwrap();
        let expected = peft.ids("greedy");
        let mut greedy = request(&peft.ids("prompt"), 0);
        greedy.sampling = Sampling::greedy();
        greedy.max_tokens = TokenCount::of(&expected);
        let (answer, _) = answered(adapted.generate(greedy).unwrap());
        let answer: Vec<u32> = answer.into_iter().map(|(id, _)| id).collect();
        assert_eq!(answer, expected, "{name}");
    }
}
