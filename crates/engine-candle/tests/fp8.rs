//! Folders whose matrices are 8-bit floats with a scale for each block: the same model as its widened
//! weights, and refused where files and configuration do not fit. Parity with the reference is in
//! `parity.rs`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "test support: what fails here is a failed test"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use half::bf16;
use safetensors::tensor::TensorView;
use safetensors::{Dtype as FileDtype, SafeTensors};
use silica_engine_candle::{Decoder, Dtype, LogitsOf, Precision, Quantization, Span, inspect};
use tempfile::TempDir;

const WEIGHTS: &str = "model.safetensors";
const FIXTURES: [&str; 2] = ["qwen3-fp8", "deepseek-v3-fp8"];
const BLOCK: usize = 128;
const SCALE: &str = "_scale_inv";

/// A tensor out of a file.
#[derive(Clone)]
struct Tensor {
    dtype: FileDtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

type Tensors = BTreeMap<String, Tensor>;

impl Tensor {
    fn floats(&self) -> Vec<f32> {
        match self.dtype {
            FileDtype::F32 => {
                let chunks = self.bytes.as_chunks().0.iter();
                chunks.map(|chunk| f32::from_le_bytes(*chunk)).collect()
            }
            FileDtype::BF16 => {
                let chunks = self.bytes.as_chunks().0.iter();
                chunks.map(|chunk| bf16::from_le_bytes(*chunk).to_f32()).collect()
            }
            other => panic!("{other:?} are no floats"),
        }
    }

    fn of_floats(shape: &[usize], values: &[f32]) -> Self {
        Self {
            dtype: FileDtype::F32,
            shape: shape.to_vec(),
            bytes: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn tensors(path: &Path) -> Tensors {
    let bytes = fs::read(path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let tensors = tensors.iter().map(|(name, view)| {
        let tensor = Tensor {
            dtype: view.dtype(),
            shape: view.shape().to_vec(),
            bytes: view.data().to_vec(),
        };
        (name.to_owned(), tensor)
    });
    tensors.collect()
}

/// The folder of a fixture with changes to its weights and its configuration.
fn changed(
    name: &str,
    tensors_of: impl FnOnce(&mut Tensors),
    config_of: impl FnOnce(&mut serde_json::Value),
) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut tensors = tensors(&fixture(name).join(WEIGHTS));
    tensors_of(&mut tensors);
    let views = tensors.iter().map(|(name, tensor)| {
        let view = TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes);
        (name, view.unwrap())
    });
    safetensors::serialize_to_file(views, None, &folder.path().join(WEIGHTS)).unwrap();
    let config = fs::read(fixture(name).join("config.json")).unwrap();
    let mut config = serde_json::from_slice(&config).unwrap();
    config_of(&mut config);
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    folder
}

/// The same model with its matrices in f32, by the definition of the form and torch's table of values.
fn widened(name: &str) -> TempDir {
    let table = tensors(&fixture(name).join("reference.safetensors"))["e4m3"].floats();
    let widen = |tensors: &mut Tensors| {
        let (scales, mut plain): (Tensors, Tensors) = std::mem::take(tensors)
            .into_iter()
            .partition(|(name, _)| name.ends_with(SCALE));
        assert!(scales.len() > 10, "{name} has few quantised matrices");
        for (name, scales) in scales {
            let matrix = plain.get_mut(name.trim_end_matches(SCALE)).unwrap();
            assert_eq!(matrix.dtype, FileDtype::F8_E4M3);
            let (columns, across) = (matrix.shape[1], scales.shape[1]);
            let factors = scales.floats();
            let values = matrix.bytes.iter().enumerate().map(|(index, code)| {
                let (row, column) = (index / columns, index % columns);
                table[usize::from(*code)] * factors[row / BLOCK * across + column / BLOCK]
            });
            *matrix = Tensor::of_floats(&matrix.shape, &values.collect::<Vec<_>>());
        }
        *tensors = plain;
    };
    changed(name, widen, |config| {
        config["quantization_config"] = serde_json::Value::Null;
    })
}

fn logits(folder: &Path, tokens: &[u32], precision: Precision) -> Vec<u32> {
    let decoder = Decoder::load(folder, precision, None).unwrap();
    let mut cache = decoder.new_cache().unwrap();
    let span = Span {
        tokens,
        cache: cache.view(),
        rope_length: tokens.len(),
        logits: LogitsOf::All,
    };
    let logits = decoder.forward(&mut [span]).unwrap().unwrap();
    let logits: Vec<f32> = logits.flatten_all().unwrap().to_vec1().unwrap();
    logits.into_iter().map(f32::to_bits).collect()
}

#[test]
fn an_fp8_folder_computes_every_bit_of_what_its_widened_weights_compute() {
    let tokens: Vec<u32> = (0..40).map(|index| index * 31 % 144).collect();
    for name in FIXTURES {
        let plain = widened(name);
        for (dtype, quantize) in [
            (Dtype::F32, None),
            (Dtype::Bf16, None),
            (Dtype::F32, Some(Quantization::Q8_0)),
            (Dtype::Bf16, Some(Quantization::Q4_0)),
        ] {
            let precision = Precision { dtype, quantize };
            let own = logits(&fixture(name), &tokens, precision);
            assert_eq!(own.len(), 40 * 144);
            assert!(
                own == logits(plain.path(), &tokens, precision),
                "{name} in {precision:?} differs from its widened weights"
            );
        }
    }
}

#[test]
fn a_look_at_an_fp8_folder_counts_its_weights_and_not_the_scales() {
    for name in FIXTURES {
        let (own, plain) = (
            inspect(&fixture(name)).unwrap(),
            inspect(widened(name).path()).unwrap(),
        );
        assert_eq!(own.number_format, "F8_E4M3");
        assert_eq!((own.parameters, own.shape), (plain.parameters, plain.shape));
    }
}

/// Checks that loading is refused with these words, and the look at the headers too if `at_once`.
fn refused(folder: &TempDir, at_once: bool, words: &[&str]) {
    let Err(error) = Decoder::load(folder.path(), Dtype::F32, None) else {
        panic!("accepted, whereas {words:?}")
    };
    let text = error.to_string();
    assert!(
        words.iter().all(|word| text.contains(word)),
        "{text} lacks one of {words:?}"
    );
    match inspect(folder.path()) {
        Err(error) => assert!(at_once && error.to_string() == text, "{error}"),
        Ok(_) => assert!(!at_once, "the look at the headers passes: {text}"),
    }
}

const MATRIX: &str = "model.layers.1.self_attn.o_proj.weight";
const SCALES: &str = "model.layers.1.self_attn.o_proj.weight_scale_inv";

fn with_scales(name: &str, change: impl FnOnce(&mut Tensor)) -> TempDir {
    changed(name, |tensors| change(tensors.get_mut(SCALES).unwrap()), |_| ())
}

#[test]
fn scales_that_are_missing_or_of_another_shape_are_refused_by_their_name() {
    for name in FIXTURES {
        let missing = changed(name, |tensors| drop(tensors.remove(SCALES).unwrap()), |_| ());
        refused(&missing, true, &[WEIGHTS, SCALES, "is missing"]);
        let turned = with_scales(name, |scales| {
            scales.shape = vec![1, scales.shape[0] * scales.shape[1]];
        });
        refused(&turned, true, &[WEIGHTS, SCALES, "has shape [1, "]);
        let own = with_scales(name, |scales| {
            scales.dtype = FileDtype::F8_E8M0;
            scales.bytes.truncate(scales.shape.iter().product());
        });
        refused(&own, true, &[WEIGHTS, SCALES, "F8_E8M0"]);
    }
    // The configuration's blocks decide, whatever the file's scales would fit.
    let blocks = |config: &mut serde_json::Value| {
        config["quantization_config"]["weight_block_size"] = vec![128, 64].into();
    };
    let folder = changed("qwen3-fp8", |_| (), blocks);
    refused(
        &folder,
        true,
        &[WEIGHTS, SCALE, "has shape [2, 2]", "asks for [2, 3]"],
    );
}

#[test]
fn values_and_scales_that_are_no_numbers_are_refused_by_their_place() {
    let infinite = with_scales("deepseek-v3-fp8", |scales| {
        scales.bytes[..4].copy_from_slice(&f32::INFINITY.to_le_bytes());
    });
    refused(&infinite, false, &[WEIGHTS, SCALES, "has inf in row 0, column 0"]);
    let nan = with_scales("qwen3-fp8", |scales| {
        scales.bytes[6..8].copy_from_slice(&bf16::NAN.to_le_bytes());
    });
    refused(&nan, false, &[WEIGHTS, SCALES, "has NaN in row 1, column 1"]);
    for name in FIXTURES {
        let value = |tensors: &mut Tensors| {
            let matrix = tensors.get_mut(MATRIX).unwrap();
            let columns = matrix.shape[1];
            matrix.bytes[130 * columns + 3] = 0xff;
        };
        let folder = changed(name, value, |_| ());
        refused(&folder, false, &[WEIGHTS, MATRIX, "has NaN in row 130, column 3"]);
    }
}

#[test]
fn eight_bit_floats_without_a_word_in_the_configuration_are_refused() {
    let silent = |config: &mut serde_json::Value| {
        config["quantization_config"] = serde_json::Value::Null;
    };
    let folder = changed("qwen3-fp8", |_| (), silent);
    refused(&folder, true, &[WEIGHTS, "F8_E4M3", "quantization_config"]);
    let other = |tensors: &mut Tensors| tensors.get_mut(MATRIX).unwrap().dtype = FileDtype::F8_E5M2;
    let folder = changed("qwen3-fp8", other, |_| ());
    refused(&folder, true, &[WEIGHTS, MATRIX, "F8_E5M2"]);
    let norm = "model.norm.weight";
    let vector = |tensors: &mut Tensors| {
        let norm = tensors.get_mut(norm).unwrap();
        norm.dtype = FileDtype::F8_E4M3;
        norm.bytes.truncate(norm.shape[0]);
    };
    let folder = changed("qwen3-fp8", vector, |_| ());
    refused(&folder, true, &[WEIGHTS, norm, "F8_E4M3"]);
}
