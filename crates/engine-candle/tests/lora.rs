//! Adapters on top of a model: the same logits as weights with them merged in, many in one batch as each
//! alone, and the reason when one is refused.

#![expect(
    clippy::unwrap_used,
    reason = "test support: what fails here is a failed test"
)]

#[path = "lora/peft.rs"]
mod peft;

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

fn engine(name: &str, options: CandleOptions) -> Arc<CandleEngine> {
    let options = CandleOptions {
        threads: Some(2),
        kv_cache_mb: 4,
        ..options
    };
    Arc::new(CandleEngine::load(&fixture(name), options).unwrap())
}

fn request(prompt: &[u32], seed: u64) -> GenerateRequest {
    GenerateRequest {
        prompt: prompt.to_vec(),
        sampling: Sampling {
            temperature: 0.8,
            seed: Some(seed),
            ..Sampling::greedy()
        },
        max_tokens: TokenCount(40),
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
    let events = block_on(stream.collect::<Vec<_>>());
    for event in &events {
        match event {
            GenerateEvent::Started { cached } => found = cached.get(),
            GenerateEvent::Token { id, logprob } => {
                tokens.push((*id, logprob.as_ref().unwrap().logprob.to_bits()));
            }
            _ => {}
        }
    }
    assert!(
        matches!(events.last(), Some(GenerateEvent::Finished(_))),
        "{events:?}"
    );
    (tokens, found)
}

/// Sequences of eight adapters and of none, some with the same adapter, answer as each alone.
#[test]
fn many_adapters_in_a_batch_answer_as_each_alone() {
    for (format, base, dtype, quantize) in FORMATS {
        let options = CandleOptions {
            dtype,
            quantize,
            ..CandleOptions::default()
        };
        assert_format(format, base, &options);
        assert_batched_is_alone(base, &options);
    }
}

fn assert_batched_is_alone(model: &str, options: &CandleOptions) {
    let ranks = [1, 2, 3, 4, 5, 8, 16, 33];
    let folders: Vec<TempDir> = (0..)
        .zip(ranks)
        .map(|(seed, rank)| {
            let modules = &MODULES[seed as usize % 3..];
            Made::new(model, modules, 50 + seed, |_, _| rank)
                .set("r", json!(rank))
                .written()
        })
        .collect();
    let loaded = |places, speculation| {
        let options = CandleOptions {
            max_sequences: places,
            speculation,
            ..options.clone()
        };
        let base = engine(model, options);
        let adapted = folders
            .iter()
            .map(|folder| AdaptedEngine::load(Arc::clone(&base), folder.path()).unwrap());
        let mut engines: Vec<Box<dyn TokenEngine>> = adapted
            .map(|engine| -> Box<dyn TokenEngine> { Box::new(engine) })
            .collect();
        engines.push(Box::new(base));
        engines
    };
    let (together, alone) = (loaded(32, Speculation::Auto), loaded(1, Speculation::Off));
    let prompt = tokens();
    let asked: Vec<_> = (0..27)
        .map(|index| (index * 5 % 9, request(&prompt[..=index * 2], index as u64 / 9)))
        .collect();
    let streams: Vec<_> = asked
        .iter()
        .map(|(engine, request)| together[*engine].generate(request.clone()).unwrap())
        .collect();
    let mut answers = Vec::new();
    for ((engine, request), stream) in asked.iter().zip(streams) {
        let (batched, _) = answered(stream);
        let (single, _) = answered(alone[*engine].generate(request.clone()).unwrap());
        assert_eq!(batched, single, "{model}, {options:?}: adapter {engine}");
        answers.push(batched);
    }
    answers.sort();
    answers.dedup();
    assert!(answers.len() > 20, "adapters change answers");
}

/// Adapted answers of prompts that repeat themselves, and how many drafted tokens came.
fn repeated(base: &str, folders: &[TempDir], options: CandleOptions) -> (Vec<Vec<(u32, u32)>>, u64) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let base = metrics::with_local_recorder(&recorder, || engine(base, options));
    let adapted: Vec<_> = folders
        .iter()
        .map(|folder| AdaptedEngine::load(Arc::clone(&base), folder.path()).unwrap())
        .collect();
    let streams: Vec<_> = (0..9)
        .map(|index| {
            let mut request = request(&tokens()[index..index + 7].repeat(8), index as u64);
            request.sampling.temperature = [0.0, 0.1, 0.8][index % 3];
            request.max_tokens = TokenCount(80);
            adapted[index % adapted.len()].generate(request).unwrap()
        })
        .collect();
    let answers = streams.into_iter().map(|stream| answered(stream).0).collect();
    drop((adapted, base));
    let page = metrics.render();
    let line = page.lines().find(|line| line.contains("result=\"accepted\""));
    let accepted = line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok());
    (answers, accepted.unwrap_or_default())
}

#[test]
fn drafts_change_no_bit_of_an_adapted_answer() {
    for (format, base, dtype, quantize) in FORMATS {
        let folders = [21, 22, 23].map(|seed| Made::all(base, seed).written());
        let options = |speculation| CandleOptions {
            dtype,
            quantize,
            speculation,
            ..CandleOptions::default()
        };
        assert_format(format, base, &options(Speculation::Off));
        let (plain, none) = repeated(base, &folders, options(Speculation::Off));
        let (drafted, some) = repeated(base, &folders, options(Speculation::Auto));
        assert_eq!(drafted, plain, "{format}");
        assert!(none == 0 && some > 10, "{format}: {some} drafted tokens came");
    }
}

#[test]
fn what_was_computed_with_one_adapter_is_not_found_with_another() {
    for (format, base, dtype, quantize) in FORMATS {
        let options = CandleOptions {
            dtype,
            quantize,
            ..CandleOptions::default()
        };
        assert_format(format, base, &options);
        let folders = [Made::all(base, 7).written(), Made::all(base, 8).written()];
        let base = engine(base, options);
        let adapted = folders
            .each_ref()
            .map(|folder| AdaptedEngine::load(Arc::clone(&base), folder.path()).unwrap());
        let engines: [&dyn TokenEngine; 3] = [&base, &adapted[0], &adapted[1]];
        let first = engines.map(|engine| answered(engine.generate(request(&tokens(), 1)).unwrap()));
        assert!(first.iter().all(|(_, found)| *found == 0), "{format}");
        let second = engines.map(|engine| answered(engine.generate(request(&tokens(), 1)).unwrap()));
        for ((first, _), (second, found)) in first.iter().zip(&second) {
            assert_eq!(first, second, "{format}");
            assert_eq!(*found, 48, "{format}");
        }
        // Loaded again it is another adapter.
        let again = AdaptedEngine::load(Arc::clone(&base), folders[0].path()).unwrap();
        assert_eq!(
            answered(again.generate(request(&tokens(), 1)).unwrap()).1,
            0,
            "{format}"
        );
    }
}

#[test]
fn the_memory_of_adapters_is_bounded_and_free_again_when_they_are_gone() {
    // More than two MiB.
    let large = Made::new("qwen3", &MODULES, 9, |_, _| 400)
        .set("r", json!(400))
        .written();
    let options = CandleOptions {
        adapters_mb: 3,
        ..CandleOptions::default()
    };
    let base = engine("qwen3", options);
    let load = || AdaptedEngine::load(Arc::clone(&base), large.path());
    let first = load().unwrap();
    let refused = load().err().unwrap();
    assert!(matches!(refused, LoadError::Adapters { .. }), "{refused}");
    let stream = first.generate(request(&tokens(), 1)).unwrap();
    drop(first);
    answered(stream);
    // The engine lets go of a sequence a moment after its last event.
    assert!((0..1000).any(|_| {
        std::thread::yield_now();
        load().is_ok()
    }));
}

/// Why an adapter is refused.
fn refusal(made: &Made) -> String {
    let folder = made.written();
    let error = decoder(&fixture("qwen3")).adapter(folder.path()).err().unwrap();
    let text = error.to_string();
    assert!(text.starts_with(&folder.path().display().to_string()), "{text}");
    text
}

#[test]
fn settings_that_are_not_computed_are_refused_by_name() {
    for (name, value, said) in [
        ("peft_type", json!("IA3"), "peft_type = IA3"),
        ("use_dora", json!(true), "use_dora = true"),
        ("bias", json!("all"), "bias = all"),
        ("lora_bias", json!(true), "lora_bias = true"),
        ("fan_in_fan_out", json!(true), "fan_in_fan_out = true"),
        (
            "modules_to_save",
            json!(["lm_head"]),
            "modules_to_save = [\"lm_head\"]",
        ),
        ("layer_replication", json!([[0, 1]]), "layer_replication"),
        ("trainable_token_indices", json!([1]), "trainable_token_indices"),
        (
            "rank_pattern",
            json!({"layers.[01].q": 4}),
            "layers.[01].q is not supported",
        ),
        ("rank_pattern", json!({"q_proj": 0}), "rank_pattern = 0"),
        ("r", json!(0), "r = 0"),
        ("use_qalora", json!(true), "use_qalora = true"),
        ("use_bdlora", json!({"nblocks": 2}), "use_bdlora = {"),
        (
            "alora_invocation_tokens",
            json!([1, 2]),
            "alora_invocation_tokens = [1,2]",
        ),
        ("arrow_config", json!({"top_k": 1}), "arrow_config = {"),
        ("kasa_config", json!({"beta": 1}), "kasa_config = {"),
        ("monteclora_config", json!({"n": 1}), "monteclora_config = {"),
        (
            "target_parameters",
            json!(["experts.up"]),
            "target_parameters = [\"experts.up\"]",
        ),
        (
            "init_lora_weights",
            json!("pissa_niter_4"),
            "init_lora_weights = pissa_niter_4",
        ),
        ("init_lora_weights", json!("olora"), "init_lora_weights = olora"),
        ("r", json!(100_000), "r = 100000"),
        ("r", json!("four"), "line 1"),
        ("init_lora_weights", json!("pissa"), "init_lora_weights = pissa"),
        ("init_lora_weights", json!("corda"), "init_lora_weights = corda"),
        ("init_lora_weights", json!("loftq"), "init_lora_weights = loftq"),
        ("use_what_comes_next", json!(1), "use_what_comes_next = 1"),
        (
            "target_modules",
            json!(["q_proj", "lm_head"]),
            "target_modules = lm_head",
        ),
        ("layers_to_transform", json!([0, 2]), "layers_to_transform = 2"),
        ("layers_pattern", json!("blocks"), "layers_pattern = blocks"),
        (
            "alpha_pattern",
            json!({"q_proj": 1e300}),
            "model.layers.0.self_attn.q_proj adds too large",
        ),
    ] {
        let text = refusal(&Made::all("qwen3", 1).set(name, value));
        assert!(
            text.contains("adapter_config.json") && text.contains(said),
            "{text}"
        );
    }
}

/// All that PEFT 0.21 writes for a usual adapter, and what newer versions write without meaning by it.
#[test]
fn settings_without_effect_are_taken() {
    let made = [
        ("init_lora_weights", json!("gaussian")),
        ("lora_dropout", json!(0.1)),
        ("megatron_core", json!("megatron.core")),
        ("qalora_group_size", json!(16)),
        ("runtime_config", json!({"ephemeral_gpu_offload": true})),
        ("auto_mapping", json!({"parent_library": "transformers"})),
        ("peft_version", json!("0.21.2")),
        ("inference_mode", json!(true)),
        ("revision", json!("main")),
        ("arrow_config", json!(null)),
        ("alora_invocation_tokens", json!(null)),
        ("loftq_config", json!({})),
        ("use_what_comes_next", json!(false)),
        ("what_comes_next", json!({})),
    ];
    let made = made
        .into_iter()
        .fold(Made::all("qwen3", 1), |made, (name, value)| made.set(name, value));
    decoder(&fixture("qwen3")).adapter(made.written().path()).unwrap();
}

/// A base whose file says what it is called.
fn named_base(name: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let read = fs::read(fixture("qwen3").join("config.json")).unwrap();
    let mut config: Value = serde_json::from_slice(&read).unwrap();
    config["_name_or_path"] = json!(name);
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let weights = fixture("qwen3").join("model.safetensors");
    fs::copy(weights, folder.path().join("model.safetensors")).unwrap();
    folder
}

#[test]
fn an_adapter_of_another_model_of_the_same_shape_is_refused_by_both_names() {
    let base = named_base("mistralai/Mistral-7B-v0.1");
    let model = decoder(base.path());
    let load = |name: &str| {
        let made = Made::all("qwen3", 1).set("base_model_name_or_path", json!(name));
        model.adapter(made.written().path()).err()
    };
    let text = load("meta-llama/Meta-Llama-3-8B").unwrap().to_string();
    assert!(
        text.contains("meta-llama/Meta-Llama-3-8B") && text.contains("mistralai/Mistral-7B-v0.1"),
        "{text}"
    );
    assert!(load("unsloth/mistral-7b-v0.1-bnb-4bit").is_none());
    assert!(load("/data/checkpoints/tuned").is_none());
}

/// Most published models state no name; their folders may say which they are.
#[test]
fn an_adapter_of_another_model_than_the_folder_says_is_refused_by_both_names() {
    let load = |folder: &str, adapted: &str| {
        let place = tempfile::tempdir().unwrap();
        let base = place.path().join(folder);
        fs::create_dir(&base).unwrap();
        for file in ["config.json", "model.safetensors"] {
            fs::copy(fixture("qwen3").join(file), base.join(file)).unwrap();
        }
        let made = Made::all("qwen3", 1).set("base_model_name_or_path", json!(adapted));
        decoder(&base)
            .adapter(made.written().path())
            .err()
            .map(|refused| refused.to_string())
    };
    let text = load("Meta-Llama-3-8B", "mistralai/Mistral-7B-v0.1").unwrap();
    assert!(
        text.contains("mistralai/Mistral-7B-v0.1") && text.contains("Meta-Llama-3-8B"),
        "{text}"
    );
    for folder in [
        "qwen2.5-7b",
        "my-model",
        "a09a35458c702b33eeacc393d103063234e8bc28",
    ] {
        assert_eq!(load(folder, "Qwen/Qwen2.5-7B-Instruct"), None, "{folder}");
    }
}

/// A file that is not loaded is compared by the name that it was given, too.
#[test]
fn an_adapter_of_another_model_is_refused_before_a_gguf_s_weights_are_read() {
    let place = tempfile::tempdir().unwrap();
    let check = |file: &str, adapted: &str| {
        let path = place.path().join(file);
        fs::copy(fixture("gguf/qwen3/model-q8_0.gguf"), &path).unwrap();
        let model = GgufModel::open(&path).unwrap();
        let made = Made::all("gguf/qwen3", 1).set("base_model_name_or_path", json!(adapted));
        let checked = AdaptedEngine::check_gguf(made.written().path(), &model, &CandleOptions::default());
        checked.err().map(|refused| refused.to_string())
    };
    let text = check("Qwen3-8B-Q8_0.gguf", "Qwen/Qwen3-14B").unwrap();
    assert!(
        text.contains("Qwen/Qwen3-14B") && text.contains("Qwen3-8B-Q8_0"),
        "{text}"
    );
    assert_eq!(check("Qwen3-8B-Q8_0.gguf", "Qwen/Qwen3-8B"), None);
    assert_eq!(check("model.gguf", "Qwen/Qwen3-8B"), None);
}

/// Modules that the settings name and the file lacks.
#[test]
fn half_an_adapter_is_refused_by_what_is_missing() {
    let refused = |targets: Value, keep: &dyn Fn(&str) -> bool| {
        let mut made = Made::all("qwen3", 1).set("target_modules", targets);
        made.tensors.retain(|name, _| keep(name));
        refusal(&made)
    };
    let all = json!(MODULES);
    let short = json!(MODULES.map(|module| module.rsplit('.').next().unwrap()));
    let expression = json!(".*_proj");
    for targets in [&all, &short, &expression, &json!("all-linear"), &json!(null)] {
        let text = refused(targets.clone(), &|name| !name.contains("layers.1."));
        assert!(
            text.contains("layers.1.self_attn.q_proj.lora_A") && text.contains("2 layers"),
            "{text}"
        );
        let text = refused(targets.clone(), &|name| !name.contains("layers.0.mlp.up_proj"));
        assert!(text.contains("layers.0.mlp.up_proj.lora_A"), "{text}");
    }
    for targets in [all, short] {
        let text = refused(targets, &|name| !name.contains("v_proj"));
        assert!(text.contains("layers.0.self_attn.v_proj.lora_A"), "{text}");
    }
    // What is not named is not missed.
    let model = decoder(&fixture("qwen3"));
    let taken = |targets: Value, excluded: Value| {
        let mut made = Made::all("qwen3", 1)
            .set("target_modules", targets)
            .set("exclude_modules", excluded);
        made.tensors.retain(|name, _| !name.contains("v_proj"));
        model.adapter(made.written().path()).unwrap();
    };
    taken(json!(MODULES), json!(["v_proj"]));
    taken(json!(MODULES), json!(".*v_proj"));
    taken(json!(".*(q|k|o|gate|up|down)_proj"), json!(null));
    // An expression may name other modules in each layer.
    let expression = r"model\.layers\.(0\.mlp\..*|1\.self_attn\.[qk]_proj)";
    let mut made = Made::all("qwen3", 1).set("target_modules", json!(expression));
    made.tensors.retain(|name, _| {
        let attends = name.contains("q_proj") || name.contains("k_proj");
        name.contains("layers.0.mlp") || attends && name.contains("layers.1.")
    });
    model.adapter(made.written().path()).unwrap();
    made.tensors.remove(&key(1, "self_attn.k_proj", "A"));
    made.tensors.remove(&key(1, "self_attn.k_proj", "B"));
    assert!(refusal(&made).contains("layers.1.self_attn.k_proj.lora_A"));
    taken(json!(["q_proj", "k_proj"]), json!(null));
}

#[test]
fn matrices_that_do_not_fit_are_refused_by_name() {
    let changed = |change: &dyn Fn(&mut Made)| {
        let mut made = Made::all("qwen3", 1);
        change(&mut made);
        let text = refusal(&made);
        assert!(text.contains("adapter_model.safetensors"), "{text}");
        text
    };
    let query = key(0, "self_attn.q_proj", "A");
    let text = changed(&|made| drop(made.tensors.insert(query.clone(), values(5, 48, 1, 0.1))));
    assert!(
        text.contains(&query) && text.contains("[5, 48]") && text.contains("[4, 48]"),
        "{text}"
    );
    let text = changed(&|made| *made = Made::all("llama", 1));
    assert!(text.contains("another model"), "{text}");
    let down = key(1, "mlp.down_proj", "B");
    let text = changed(&|made| drop(made.tensors.remove(&down)));
    assert!(text.contains(&down) && text.contains("missing"), "{text}");
    let text = changed(&|made| made.tensors.clear());
    assert!(text.contains("missing"), "{text}");
    let text = changed(&|made| {
        let numbers = made.tensors[&query].to_dtype(DType::F64).unwrap();
        made.tensors.insert(query.clone(), numbers);
    });
    assert!(text.contains(&query) && text.contains("F64"), "{text}");
    let text = changed(&|made| {
        let infinite = (values(4, 48, 1, 0.1) / 0.0).unwrap();
        made.tensors.insert(query.clone(), infinite);
    });
    assert!(text.contains(&query) && text.contains("not numbers"), "{text}");
    for unknown in [
        "base_model.model.model.embed_tokens.lora_embedding_A",
        "base_model.model.model.layers.0.mlp.experts.0.up_proj.lora_A.weight",
        "base_model.model.model.layers.2.mlp.up_proj.lora_A.weight",
        "base_model.model.model.layers.01.mlp.up_proj.lora_A.weight",
        "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector",
        "base_model.model.lm_head.lora_A.weight",
    ] {
        let text = changed(&|made| drop(made.tensors.insert(unknown.to_owned(), values(4, 48, 1, 0.1))));
        assert!(text.contains(unknown), "{text}");
    }
    let text = changed(&|made| {
        let name = key(2, "mlp.up_proj", "A");
        made.tensors.insert(name, values(4, 48, 1, 0.1));
    });
    assert!(
        text.contains("it has 2; is the adapter for another model?"),
        "{text}"
    );
    let made = Made::all("qwen3", 1).set("layers_to_transform", json!(1));
    assert!(refusal(&made).contains("layers.0."));
}

#[test]
fn files_that_are_not_there_or_damaged_are_refused() {
    let model = decoder(&fixture("qwen3"));
    let folder = Made::all("qwen3", 1).written();
    let weights = folder.path().join("adapter_model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    fs::write(&weights, &bytes[..bytes.len() - 3]).unwrap();
    assert!(matches!(model.adapter(folder.path()), Err(LoadError::Adapter { path, .. }) if path == weights));
    fs::remove_file(&weights).unwrap();
    assert!(matches!(model.adapter(folder.path()), Err(LoadError::Missing { path }) if path == weights));
    let pickled = folder.path().join("adapter_model.bin");
    fs::write(&pickled, bytes).unwrap();
    let refused = model.adapter(folder.path()).err().unwrap().to_string();
    assert!(refused.starts_with(&pickled.display().to_string()), "{refused}");
    assert!(refused.contains("safe_serialization"), "{refused}");
    let settings = folder.path().join("adapter_config.json");
    fs::write(&settings, " ".repeat(5 << 20)).unwrap();
    assert!(matches!(model.adapter(folder.path()), Err(LoadError::Read { path, .. }) if path == settings));
    fs::remove_file(&settings).unwrap();
    assert!(matches!(model.adapter(folder.path()), Err(LoadError::Missing { path }) if path == settings));
}
