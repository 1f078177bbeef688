//! Adapters for the demo model, and the demo model with one merged into its weights.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::shipped_models;

const RANK: usize = 2;
const ALPHA: f32 = 4.0;
const MODULES: [&str; 2] = ["self_attn.q_proj", "mlp.down_proj"];

/// The tensors of a safetensors file.
type Tensors = BTreeMap<String, Tensor>;

struct Tensor {
    /// As the file calls its number format.
    format: String,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Tensor {
    fn of(shape: [usize; 2], values: &[f32]) -> Self {
        Self {
            format: "F32".to_owned(),
            shape: shape.to_vec(),
            bytes: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    }

    fn values(&self) -> Vec<f32> {
        if self.format == "F16" {
            let (words, _) = self.bytes.as_chunks();
            return words.iter().map(|word| half(u16::from_le_bytes(*word))).collect();
        }
        assert_eq!(self.format, "F32");
        let (words, _) = self.bytes.as_chunks();
        words.iter().map(|word| f32::from_le_bytes(*word)).collect()
    }
}

/// A finite number of 16 bits.
fn half(bits: u16) -> f32 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    let size = if exponent == 0 {
        fraction * 2.0_f32.powi(-24)
    } else {
        (1024.0 + fraction) * 2.0_f32.powi(exponent - 25)
    };
    if bits >> 15 == 0 { size } else { -size }
}

fn read(path: &Path) -> Tensors {
    let file = fs::read(path).unwrap();
    let (length, rest) = file.split_first_chunk::<8>().unwrap();
    let (header, data) = rest.split_at(usize::try_from(u64::from_le_bytes(*length)).unwrap());
    let header: BTreeMap<String, Value> = serde_json::from_slice(header).unwrap();
    let number = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
    let tensors = header.into_iter().filter(|(name, _)| name != "__metadata__");
    tensors
        .map(|(name, about)| {
            let (start, end) = (
                number(&about["data_offsets"][0]),
                number(&about["data_offsets"][1]),
            );
            let tensor = Tensor {
                format: about["dtype"].as_str().unwrap().to_owned(),
                shape: about["shape"].as_array().unwrap().iter().map(number).collect(),
                bytes: data[start..end].to_vec(),
            };
            (name, tensor)
        })
        .collect()
}

fn write(path: &Path, tensors: &Tensors) {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, tensor) in tensors {
        let start = data.len();
        data.extend_from_slice(&tensor.bytes);
        let about =
            json!({ "dtype": tensor.format, "shape": tensor.shape, "data_offsets": [start, data.len()] });
        header.insert(name.clone(), about);
    }
    let header = Value::Object(header).to_string();
    let length = u64::try_from(header.len()).unwrap().to_le_bytes();
    fs::write(path, [&length[..], header.as_bytes(), &data].concat()).unwrap();
}

fn model() -> Tensors {
    read(&shipped_models().join("tiny-chat/model.safetensors"))
}

/// The weights that adapters are for: their names, without `.weight`.
fn targets(model: &Tensors) -> Vec<String> {
    let names = model.keys().filter_map(|name| name.strip_suffix(".weight"));
    let targets = names.filter(|name| MODULES.iter().any(|module| name.ends_with(module)));
    targets.map(str::to_owned).collect()
}

/// Pseudo-random numbers of either sign.
fn random(count: usize, state: &mut u32) -> Vec<f32> {
    let mut next = || {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let top = u16::try_from(*state >> 16).unwrap();
        (f32::from(top) / 32_768.0 - 1.0) * 0.6
    };
    (0..count).map(|_| next()).collect()
}

fn half_of(target: &str, half: &str) -> String {
    format!("base_model.model.{target}.lora_{half}.weight")
}

/// Writes an adapter for the demo model into a folder, another one for each seed.
pub(crate) fn write_adapter(folder: &Path, seed: u32) {
    let model = model();
    let mut state = seed.wrapping_mul(2_654_435_761);
    let mut adapter = Tensors::new();
    for target in targets(&model) {
        let shape = &model[&format!("{target}.weight")].shape;
        for (half, shape) in [("A", [RANK, shape[1]]), ("B", [shape[0], RANK])] {
            let values = random(shape[0] * shape[1], &mut state);
            adapter.insert(half_of(&target, half), Tensor::of(shape, &values));
        }
    }
    write(&folder.join("adapter_model.safetensors"), &adapter);
    let settings = json!({ "peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "bias": "none" });
    fs::write(folder.join("adapter_config.json"), settings.to_string()).unwrap();
}

/// Writes the demo model into a folder, with the adapter in another one merged into its weights.
pub(super) fn write_merged(folder: &Path, adapter: &Path) {
    let shipped = shipped_models().join("tiny-chat");
    for entry in fs::read_dir(&shipped).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end != "safetensors") {
            fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
        }
    }
    let (mut merged, adapter) = (model(), read(&adapter.join("adapter_model.safetensors")));
    for target in targets(&merged) {
        let name = format!("{target}.weight");
        let (rows, columns) = (merged[&name].shape[0], merged[&name].shape[1]);
        let mut values = merged[&name].values();
        let (a, b) = (
            adapter[&half_of(&target, "A")].values(),
            adapter[&half_of(&target, "B")].values(),
        );
        for (row, factors) in values.chunks_exact_mut(columns).zip(b.chunks_exact(RANK)) {
            for (column, value) in row.iter_mut().enumerate() {
                let product = |index: usize| factors[index] * a[index * columns + column];
                *value += ALPHA / 2.0 * (0..RANK).map(product).sum::<f32>();
            }
        }
        merged.insert(name, Tensor::of([rows, columns], &values));
    }
    write(&folder.join("model.safetensors"), &merged);
}
