//! Our vectors and scores against those of sentence-transformers and transformers, for tiny models of every
//! family. `tools/parity` says how the fixtures were written. How texts become the token ids that are used
//! here is tested in `silica-text`.

#![expect(
    clippy::unwrap_used,
    reason = "test support: what fails here is a failed test"
)]

use std::path::PathBuf;

use futures::executor::block_on;
use safetensors::SafeTensors;
use silica_engine::{Choice, EncodeEngine, EncodeRequest, Says, TokenSequence};
use silica_engine_candle::{
    CandleEncoder, CandleOptions, Dtype, ModelKind, ModelShape, Quantization, inspect,
};

/// Largest difference allowed, as a share of the largest number of the reference. What is seen is about
/// 2e-6: other orders of summation in f32.
const TOLERANCE: f32 = 1e-3;
/// With weights rounded to bf16 or to 8 bits in blocks although the file has f32.
const ROUNDED_TOLERANCE: f32 = 0.1;

const EMBEDDING: [&str; 4] = ["bert-cls", "bert-mean", "xlmr-cls", "qwen3-embed"];
const RANKING: [&str; 3] = ["bert-rerank", "xlmr-rerank", "qwen3-rerank"];

struct Fixture {
    folder: PathBuf,
    sequences: Vec<TokenSequence>,
    /// A vector for each sequence, or its score.
    expected: Vec<Vec<f32>>,
    choice: Option<Choice>,
}

impl Fixture {
    fn read(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures/encode")
            .join(name);
        let bytes = std::fs::read(folder.join("reference.safetensors")).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let words = |name: &str| -> Vec<[u8; 4]> {
            let view = tensors.tensor(name).unwrap();
            view.data().as_chunks().0.to_vec()
        };
        let ids = |name: &str| -> Vec<u32> { words(name).into_iter().map(u32::from_le_bytes).collect() };
        let said = if RANKING.contains(&name) {
            "scores"
        } else {
            "vectors"
        };
        let shape = tensors.tensor(said).unwrap().shape().to_vec();
        let numbers: Vec<f32> = words(said).into_iter().map(f32::from_le_bytes).collect();
        let width = shape.get(1).copied().unwrap_or(1);
        let sequence = |index: usize| TokenSequence {
            tokens: ids(&format!("tokens.{index}")),
            second: ids(&format!("types.{index}")).iter().position(|kind| *kind == 1),
        };
        let tokenizer = tokenizers::Tokenizer::from_file(folder.join("tokenizer.json")).unwrap();
        let judged = |word: &str| tokenizer.token_to_id(word).unwrap();
        Self {
            sequences: (0..shape[0]).map(sequence).collect(),
            expected: numbers.chunks(width).map(<[f32]>::to_vec).collect(),
            choice: (name == "qwen3-rerank").then(|| Choice {
                favourable: judged("yes"),
                unfavourable: judged("no"),
            }),
            folder,
        }
    }

    fn kind(&self) -> ModelKind {
        if self.expected[0].len() == 1 {
            ModelKind::Reranker
        } else {
            ModelKind::Embedding
        }
    }

    fn engine(&self, change: impl FnOnce(&mut CandleOptions)) -> CandleEncoder {
        let mut options = CandleOptions {
            threads: Some(2),
            ..CandleOptions::default()
        };
        change(&mut options);
        CandleEncoder::load(&self.folder, self.kind(), options).unwrap()
    }

    fn answers(&self, engine: &CandleEncoder, sequences: Vec<TokenSequence>) -> Vec<Vec<f32>> {
        let request = EncodeRequest {
            sequences,
            choice: self.choice,
        };
        block_on(engine.encode(request).unwrap()).unwrap()
    }

    /// The greatest difference to the reference, as a share of its largest number. Scores are compared as
    /// the reference gives them, after the logistic function.
    fn difference(&self, answers: &[Vec<f32>]) -> f32 {
        assert_eq!(answers.len(), self.expected.len());
        let squeeze = |number: &f32| match self.kind() {
            ModelKind::Reranker => 1.0 / (1.0 + (-number).exp()),
            _ => *number,
        };
        let expected: Vec<f32> = self.expected.concat();
        let answers: Vec<f32> = answers.concat().iter().map(squeeze).collect();
        assert_eq!(answers.len(), expected.len());
        let largest = expected
            .iter()
            .fold(0.0_f32, |most, number| most.max(number.abs()));
        let pairs = answers.iter().zip(&expected);
        pairs
            .map(|(ours, theirs)| (ours - theirs).abs())
            .fold(0.0, f32::max)
            / largest
    }
}

#[test]
fn vectors_and_scores_are_the_reference_s() {
    for name in EMBEDDING.into_iter().chain(RANKING) {
        let fixture = Fixture::read(name);
        let engine = fixture.engine(|_| {});
        let answers = fixture.answers(&engine, fixture.sequences.clone());
        let difference = fixture.difference(&answers);
        assert!(difference < TOLERANCE, "{name}: {difference}");
        println!("{name}: relative difference {difference:.1e}");
    }
}

#[test]
fn a_sequence_is_the_same_alone_and_in_any_batch_bit_for_bit() {
    for name in EMBEDDING.into_iter().chain(RANKING) {
        let fixture = Fixture::read(name);
        for quantize in [None, Some(Quantization::Q8_0)] {
            let engine = fixture.engine(|options| options.quantize = quantize);
            let together = fixture.answers(&engine, fixture.sequences.clone());
            let mut reversed = fixture.sequences.clone();
            reversed.reverse();
            let mut again = fixture.answers(&engine, reversed);
            again.reverse();
            assert_eq!(
                bits(&together),
                bits(&again),
                "{name}, {quantize:?}: in another order"
            );
            for (sequence, expected) in fixture.sequences.iter().zip(&together) {
                let alone = fixture.answers(&engine, vec![sequence.clone()]);
                assert_eq!(
                    bits(&alone),
                    bits(std::slice::from_ref(expected)),
                    "{name}, {quantize:?}: alone"
                );
            }
            // More than a pass takes, so that sequences are cut into parts and passes.
            let many: Vec<_> = std::iter::repeat_n(fixture.sequences.clone(), 9)
                .flatten()
                .collect();
            let many = fixture.answers(&engine, many);
            for part in many.chunks(together.len()) {
                assert_eq!(bits(part), bits(&together), "{name}, {quantize:?}: among many");
            }
        }
    }
}

fn bits(numbers: &[Vec<f32>]) -> Vec<u32> {
    numbers.concat().into_iter().map(f32::to_bits).collect()
}

#[test]
fn rounded_weights_stay_near() {
    for name in ["bert-cls", "xlmr-cls", "qwen3-embed"] {
        let fixture = Fixture::read(name);
        let engine = fixture.engine(|options| options.dtype = Dtype::Bf16);
        let difference = fixture.difference(&fixture.answers(&engine, fixture.sequences.clone()));
        assert!(
            difference > 0.0 && difference < ROUNDED_TOLERANCE,
            "{name}: {difference}"
        );
    }
}

#[test]
fn a_folder_tells_what_it_is_for() {
    for (name, kind, family, context) in [
        ("bert-cls", ModelKind::Embedding, "bert", 128),
        ("bert-mean", ModelKind::Embedding, "bert", 128),
        ("xlmr-cls", ModelKind::Embedding, "xlm-roberta", 128),
        ("qwen3-embed", ModelKind::Embedding, "qwen3", 256),
        ("bert-rerank", ModelKind::Reranker, "bert", 128),
        ("xlmr-rerank", ModelKind::Reranker, "xlm-roberta", 128),
        // As published: only who serves it knows that it is no chat model.
        ("qwen3-rerank", ModelKind::Chat, "qwen3", 256),
    ] {
        let fixture = Fixture::read(name);
        let shape = ModelShape::read(&fixture.folder).unwrap();
        assert_eq!((shape.kind, shape.family), (kind, family), "{name}");
        let summary = inspect(&fixture.folder).unwrap();
        assert_eq!(summary.shape, shape);
        assert!(summary.parameters > 10_000, "{name}: {}", summary.parameters);
        assert_eq!(shape.context_length, context, "{name}");
        let engine = fixture.engine(|_| {});
        assert_eq!(engine.context_length().get(), context, "{name}");
        assert_eq!(engine.vocabulary_size(), shape.vocabulary, "{name}");
    }
}

#[test]
fn a_model_is_refused_for_what_it_is_not_for() {
    let refused = |name: &str, kind| {
        let folder = Fixture::read(name).folder;
        CandleEncoder::load(&folder, kind, CandleOptions::default())
            .err()
            .unwrap()
            .to_string()
    };
    assert!(refused("bert-cls", ModelKind::Reranker).contains("this model embeds"));
    assert!(refused("xlmr-rerank", ModelKind::Embedding).contains("this model ranks"));
    assert!(refused("bert-cls", ModelKind::Chat).contains("embeds or ranks"));
}

#[test]
fn only_a_decoder_s_vectors_are_nested() {
    let says = |name: &str| Fixture::read(name).engine(|_| {}).says();
    let Says::Vector(bert) = says("bert-mean") else {
        panic!("a vector")
    };
    assert_eq!((bert.width, bert.normalised, bert.nested), (48, false, false));
    let Says::Vector(qwen3) = says("qwen3-embed") else {
        panic!("a vector")
    };
    assert_eq!((qwen3.width, qwen3.normalised, qwen3.nested), (128, true, true));
    assert_eq!(says("bert-rerank"), Says::Score);
    assert_eq!(says("qwen3-rerank"), Says::Choice);
}
