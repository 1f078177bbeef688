//! Adapters on top of a model: the same logits as weights with them merged in, many in one batch as each
//! alone, and the reason when one is refused.

#![expect(
    clippy::unwrap_used,
    reason = "test support: what fails here is a failed test"
)]

#[path = "lora/engine.rs"]
mod engine;
#[path = "lora/peft.rs"]
mod peft;
#[path = "lora/refusals.rs"]
mod refusals;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor, safetensors};
use futures::StreamExt;
use futures::executor::block_on;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::{Value, json};
use silica_engine::{GenerateEvent, GenerateRequest, GenerateStream, Priority, Sampling, TokenEngine};
use silica_engine_candle::{
    AdaptedEngine, Adapter, CandleEngine, CandleOptions, Decoder, Dtype, GgufModel, LoadError, LogitsOf,
    ModelConfig, Precision, Quantization, Span, Speculation,
};
use silica_types::TokenCount;
use tempfile::TempDir;

const MODULES: [&str; 7] = [
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
];

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// The matrices of an adapter and its settings, to be changed and written.
struct Made {
    tensors: HashMap<String, Tensor>,
    settings: Value,
}

/// Pseudo-random values of about `size`.
fn values(rows: usize, columns: usize, seed: u32, size: f32) -> Tensor {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut value = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (f32::from(u16::try_from(state >> 16).unwrap()) / 32_768.0 - 1.0) * size
    };
    let values: Vec<f32> = (0..rows * columns).map(|_| value()).collect();
    Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
}

/// Outputs and inputs of a module.
fn shape(config: &ModelConfig, module: &str) -> (usize, usize) {
    let (width, inner) = (config.hidden_size, config.intermediate_size);
    match module.rsplit('.').next().unwrap() {
        "q_proj" => (config.heads * config.head_dim, width),
        "k_proj" | "v_proj" => (config.kv_heads * config.head_dim, width),
        "o_proj" => (width, config.heads * config.head_dim),
        "down_proj" => (width, inner),
        _ => (inner, width),
    }
}

fn key(layer: usize, module: &str, half: &str) -> String {
    format!("base_model.model.model.layers.{layer}.{module}.lora_{half}.weight")
}

impl Made {
    /// An adapter of some modules in all layers. `rank` says which one a module has.
    fn new(base: &str, modules: &[&str], seed: u32, rank: impl Fn(usize, &str) -> usize) -> Self {
        let config = ModelConfig::read(&fixture(base)).unwrap();
        let mut tensors = HashMap::new();
        for layer in 0..config.layers {
            for (index, module) in (0..).zip(modules) {
                let (outputs, inputs) = shape(&config, module);
                let rank = rank(layer, module);
                let seed = seed + 100 * u32::try_from(layer).unwrap() + 10 * index;
                tensors.insert(key(layer, module, "A"), values(rank, inputs, seed, 0.1));
                tensors.insert(key(layer, module, "B"), values(outputs, rank, seed + 1, 0.1));
            }
        }
        let settings = json!({
            "peft_type": "LORA",
            "base_model_name_or_path": base,
            "r": 4,
            "lora_alpha": 8,
            "bias": "none",
            "fan_in_fan_out": false,
            "target_modules": modules,
            "task_type": "CAUSAL_LM",
        });
        Self { tensors, settings }
    }

    fn all(base: &str, seed: u32) -> Self {
        Self::new(base, &MODULES, seed, |_, _| 4)
    }

    fn set(mut self, name: &str, value: Value) -> Self {
        self.settings[name] = value;
        self
    }

    fn written(&self) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        safetensors::save(&self.tensors, folder.path().join("adapter_model.safetensors")).unwrap();
        let settings = serde_json::to_vec(&self.settings).unwrap();
        fs::write(folder.path().join("adapter_config.json"), settings).unwrap();
        folder
    }

    /// The model with the adapter merged into its weights, by a scale for each module.
    fn merged(&self, base: &str, scale: impl Fn(usize, &str) -> f64) -> TempDir {
        self.merged_into(&fixture(base), scale)
    }

    /// As [`Made::merged`], of a folder.
    fn merged_into(&self, base: &Path, scale: impl Fn(usize, &str) -> f64) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::copy(base.join("config.json"), folder.path().join("config.json")).unwrap();
        let mut weights = safetensors::load(base.join("model.safetensors"), &Device::Cpu).unwrap();
        for layer in 0..ModelConfig::read(base).unwrap().layers {
            for module in MODULES {
                let half = |name| self.tensors.get(&key(layer, module, name));
                let (Some(a), Some(b)) = (half("A"), half("B")) else {
                    continue;
                };
                let name = format!("model.layers.{layer}.{module}.weight");
                let added = (b.matmul(a).unwrap() * scale(layer, module)).unwrap();
                let weight = weights[&name].to_dtype(DType::F32).unwrap();
                weights.insert(name, (weight + added).unwrap());
            }
        }
        safetensors::save(&weights, folder.path().join("model.safetensors")).unwrap();
        folder
    }
}

fn decoder(folder: &Path) -> Decoder {
    Decoder::load(folder, Dtype::F32, None).unwrap()
}

fn tokens() -> Vec<u32> {
    (0..60).map(|index| index * 31 % 144).collect()
}

fn logits(decoder: &Decoder, adapter: Option<&Adapter>) -> Vec<f32> {
    logits_of(decoder, adapter, &tokens())
}

/// Logits of all positions, computed in three parts.
fn logits_of(decoder: &Decoder, adapter: Option<&Adapter>, tokens: &[u32]) -> Vec<f32> {
    let mut cache = decoder.new_cache().unwrap();
    let mut all = Vec::new();
    for part in [&tokens[..41], &tokens[41..42], &tokens[42..]] {
        let span = Span {
            tokens: part,
            cache: cache.view(),
            rope_length: tokens.len(),
            logits: LogitsOf::All,
        };
        let computed = decoder.forward_adapted(&mut [span], &[adapter]).unwrap().unwrap();
        all.extend(computed.flatten_all().unwrap().to_vec1::<f32>().unwrap());
    }
    all
}

/// The length of the difference over that of the second.
fn distance(left: &[f32], right: &[f32]) -> f64 {
    let square = |value: f32| f64::from(value) * f64::from(value);
    let difference: f64 = left
        .iter()
        .zip(right)
        .map(|(left, right)| square(left - right))
        .sum();
    (difference / right.iter().copied().map(square).sum::<f64>()).sqrt()
}

fn assert_as_merged(base: &str, made: &Made, scale: impl Fn(usize, &str) -> f64) {
    let folder = made.written();
    let model = decoder(&fixture(base));
    let adapter = model.adapter(folder.path()).unwrap();
    let adapted = logits(&model, Some(&adapter));
    let merged = logits(&decoder(made.merged(base, scale).path()), None);
    let error = distance(&adapted, &merged);
    assert!(error < 1e-5, "{base}: {error:e} from the merged weights");
    let plain = distance(&logits(&model, None), &merged);
    assert!(plain > 1e-2, "{base}: only {plain:e} without the adapter");
}

#[test]
fn logits_are_those_of_merged_weights() {
    for base in ["qwen3", "qwen2", "llama"] {
        assert_as_merged(base, &Made::all(base, 1), |_, _| 2.0);
        let some = Made::new(
            base,
            &["self_attn.q_proj", "self_attn.v_proj", "mlp.down_proj"],
            2,
            |_, _| 4,
        );
        assert_as_merged(base, &some.set("use_rslora", json!(true)), |_, _| 4.0);
    }
}

#[test]
fn modules_have_ranks_and_factors_of_their_own() {
    let rank = |layer: usize, module: &str| match (layer, module) {
        (_, "self_attn.k_proj") => 1,
        (1, "mlp.up_proj") => 7,
        _ => 4,
    };
    let made = Made::new("qwen3", &MODULES, 3, rank)
        .set("rank_pattern", json!({"k_proj": 1, "layers.1.mlp.up_proj": 7}))
        .set("alpha_pattern", json!({"k_proj": 3, "mlp.gate_proj": 16}));
    assert_as_merged("qwen3", &made, |layer, module| match (layer, module) {
        (_, "self_attn.k_proj") => 3.0,
        (_, "mlp.gate_proj") => 4.0,
        (1, "mlp.up_proj") => 8.0 / 7.0,
        _ => 2.0,
    });
}

/// The rows of queries and keys of a Llama lie in another order in a GGUF; they are put back as they are read, so
/// that an adapter's rows are theirs.
#[test]
fn adapters_fit_models_out_of_gguf_files() {
    for (base, file, allowed) in [
        ("gguf/llama2", "model-f16.gguf", 1e-5),
        ("gguf/llama3", "model-f16.gguf", 1e-5),
        ("gguf/qwen2", "model-f16.gguf", 1e-5),
        // Against weights that are not quantised: as near as without an adapter (`gguf_weights.rs`).
        ("gguf/llama3", "model-q8_0.gguf", 0.1),
        ("gguf/qwen3", "model-q8_0.gguf", 0.1),
    ] {
        let made = Made::all(base, 31);
        let folder = made.written();
        let model = decoder(&fixture(base).join(file));
        let adapter = model.adapter(folder.path()).unwrap();
        let merged = logits(&decoder(made.merged(base, |_, _| 2.0).path()), None);
        let error = distance(&logits(&model, Some(&adapter)), &merged);
        assert!(
            error < allowed,
            "{base}/{file}: {error:e} from the merged weights"
        );
        let plain = distance(&logits(&model, None), &merged);
        assert!(plain > 2.0 * allowed, "{base}/{file}: only {plain:e} without");
    }
}

/// A head of another model has another number of rows: of these nothing is added in the wrong place.
#[test]
fn models_whose_projections_lie_otherwise_are_refused_by_family() {
    let folder = Made::all("qwen3", 1).written();
    for name in [
        "internlm2",
        "chatglm",
        "glm",
        "glm4",
        "gemma2",
        "telechat",
        "mixtral",
        "qwen2-moe",
        "qwen3-moe",
        "deepseek-v2",
        "deepseek-v3",
    ] {
        let refused = checked(folder.path(), name).unwrap_err();
        let text = refused.to_string();
        assert!(
            matches!(refused, LoadError::AdapterFamily { .. }),
            "{name}: {text}"
        );
        assert!(text.contains("not supported for models of the family"), "{text}");
    }
    assert!(checked(folder.path(), "qwen3").is_ok());
}

/// An adapter against the model of a fixture, by its configuration.
fn checked(adapter: &Path, model: &str) -> Result<(), LoadError> {
    AdaptedEngine::check(adapter, &fixture(model), &CandleOptions::default())
}

#[test]
fn an_adapter_may_be_for_some_layers_and_in_sixteen_bits() {
    let mut made = Made::all("qwen3", 4).set("layers_to_transform", json!([1]));
    made.tensors.retain(|name, _| name.contains("layers.1."));
    for dtype in [DType::BF16, DType::F16] {
        for tensor in made.tensors.values_mut() {
            // What is merged has the same values as what is written.
            *tensor = tensor.to_dtype(dtype).unwrap().to_dtype(DType::F32).unwrap();
        }
        let mut small = Made {
            tensors: made.tensors.clone(),
            settings: made.settings.clone(),
        };
        for tensor in small.tensors.values_mut() {
            *tensor = tensor.to_dtype(dtype).unwrap();
        }
        let folder = small.written();
        let model = decoder(&fixture("qwen3"));
        let adapter = model.adapter(folder.path()).unwrap();
        let merged = logits(&decoder(made.merged("qwen3", |_, _| 2.0).path()), None);
        let error = distance(&logits(&model, Some(&adapter)), &merged);
        assert!(error < 1e-5, "{dtype:?}: {error:e}");
    }
}

/// Models in fewer bits have adapters in sixteen, on top of what is left of their own weights.
#[test]
fn models_in_bf16_are_adapted_as_in_f32() {
    let mut made = Made::all("qwen3", 11);
    let round = |tensor: &Tensor| tensor.to_dtype(DType::BF16).unwrap();
    for tensor in made.tensors.values_mut() {
        *tensor = round(tensor);
    }
    let adapter = made.written();
    for tensor in made.tensors.values_mut() {
        *tensor = tensor.to_dtype(DType::F32).unwrap();
    }
    // The fixture in bf16, and in f32 with the same values and what the adapter says merged in.
    let base = tempfile::tempdir().unwrap();
    let config = fixture("qwen3").join("config.json");
    fs::copy(config, base.path().join("config.json")).unwrap();
    let mut weights = safetensors::load(fixture("qwen3").join("model.safetensors"), &Device::Cpu).unwrap();
    for tensor in weights.values_mut() {
        *tensor = round(tensor);
    }
    safetensors::save(&weights, base.path().join("model.safetensors")).unwrap();
    let merged = made.merged_into(base.path(), |_, _| 2.0);
    let model = Decoder::load(base.path(), Dtype::Bf16, None).unwrap();
    let adapter = model.adapter(adapter.path()).unwrap();
    assert!(model.weight_formats().contains("BF16"));
    let error = distance(
        &logits(&model, Some(&adapter)),
        &logits(&decoder(merged.path()), None),
    );
    assert!(error < 1e-5, "{error:e}");
    let effect = distance(&logits(&model, None), &logits(&model, Some(&adapter)));
    assert!(effect > 1e-2, "{effect:e}");
}

/// On top of rounded weights an adapter changes the logits as it does on top of exact ones.
#[test]
fn quantised_models_are_adapted_as_well_as_they_are() {
    let base = "gguf/qwen3";
    let made = Made::all(base, 12);
    let folder = made.written();
    let merged = logits(&decoder(made.merged(base, |_, _| 2.0).path()), None);
    let exact = logits(&decoder(&fixture(base)), None);
    let effect = distance(&exact, &merged);
    let precision = Precision {
        dtype: Dtype::F32,
        quantize: Some(Quantization::Q8_0),
    };
    let loaded = Decoder::load(&fixture(base), precision, None).unwrap();
    let file = Decoder::load(&fixture(base).join("model-q8_0.gguf"), Dtype::F32, None).unwrap();
    for model in [loaded, file] {
        let adapter = model.adapter(folder.path()).unwrap();
        assert!(model.weight_formats().contains("Q8_0"));
        let rounded = distance(&logits(&model, None), &exact);
        let error = distance(&logits(&model, Some(&adapter)), &merged);
        assert!(
            error < 1.3 * rounded && 5.0 * rounded < effect,
            "{error}, without an adapter {rounded}, of {effect}"
        );
    }
}

/// The models whose adapters are in f32, f16 and eight bits, and how they are loaded. The second has rows of whole
/// blocks, so that it can be quantised.
const FORMATS: [(&str, &str, Dtype, Option<Quantization>); 3] = [
    ("F32", "qwen3", Dtype::F32, None),
    ("BF16", "qwen3", Dtype::Bf16, None),
    ("Q8_0", "gguf/qwen3", Dtype::F32, Some(Quantization::Q8_0)),
];

fn assert_format(format: &str, base: &str, options: &CandleOptions) {
    let model = Decoder::load(&fixture(base), options.precision(), None).unwrap();
    assert!(model.weight_formats().contains(format), "{base}");
}
