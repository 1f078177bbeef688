//! `adapter_config.json`, as PEFT writes it.

use std::fmt;
use std::marker::PhantomData;
use std::path::Path;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::super::config::read_file;
use crate::LoadError;

/// Larger ones than any that are made; a bound for what a wrong file may ask for.
const MAX_RANK: usize = 4096;

/// What is read of the file; what else it says changes nothing in the computation.
#[derive(Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "they are the file's")]
struct Raw {
    peft_type: String,
    r: usize,
    lora_alpha: f64,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    use_dora: bool,
    #[serde(default)]
    fan_in_fan_out: bool,
    #[serde(default)]
    bias: Option<String>,
    #[serde(default)]
    lora_bias: bool,
    #[serde(default)]
    modules_to_save: Option<Vec<String>>,
    #[serde(default)]
    layer_replication: Option<Value>,
    #[serde(default)]
    trainable_token_indices: Option<Value>,
    #[serde(default)]
    layers_to_transform: Option<Layers>,
    #[serde(default)]
    rank_pattern: Patterns<usize>,
    #[serde(default)]
    alpha_pattern: Patterns<f64>,
    #[serde(default)]
    init_lora_weights: Value,
    #[serde(default)]
    target_parameters: Value,
    #[serde(default)]
    use_qalora: Value,
    #[serde(default)]
    use_bdlora: Value,
    #[serde(default)]
    alora_invocation_tokens: Value,
    #[serde(default)]
    arrow_config: Value,
    #[serde(default)]
    kasa_config: Value,
    #[serde(default)]
    monteclora_config: Value,
}

/// What is said of modules by their names, in the file's order.
struct Patterns<T>(Vec<(String, T)>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Layers {
    One(usize),
    Some(Vec<usize>),
}

/// The settings of an adapter, checked.
pub(super) struct AdapterConfig {
    raw: Raw,
}

impl AdapterConfig {
    /// Reads and checks the file in `folder`.
    pub(super) fn read(folder: &Path) -> Result<Self, LoadError> {
        let path = folder.join("adapter_config.json");
        let raw: Raw = serde_json::from_slice(&read_file(&path)?).map_err(|source| LoadError::Json {
            path: path.clone(),
            source,
        })?;
        raw.check(&path)?;
        Ok(Self { raw })
    }

    /// The rank of a module's matrices, by its name in the model.
    pub(super) fn rank(&self, module: &str) -> usize {
        *self.raw.rank_pattern.of(module).unwrap_or(&self.raw.r)
    }

    /// The factor of what a module's matrices add.
    pub(super) fn scale(&self, module: &str) -> f64 {
        let alpha = self.raw.alpha_pattern.of(module).unwrap_or(&self.raw.lora_alpha);
        #[expect(clippy::cast_precision_loss, reason = "ranks are small")]
        let rank = self.rank(module) as f64;
        alpha / if self.raw.use_rslora { rank.sqrt() } else { rank }
    }

    /// Whether the adapter is for this layer.
    pub(super) fn has_layer(&self, layer: usize) -> bool {
        match &self.raw.layers_to_transform {
            None => true,
            Some(Layers::One(one)) => *one == layer,
            Some(Layers::Some(some)) => some.contains(&layer),
        }
    }
}

impl Raw {
    fn check(&self, path: &Path) -> Result<(), LoadError> {
        let (of_ranks, of_alphas) = (self.rank_pattern.0.iter(), self.alpha_pattern.0.iter());
        let ranks = of_ranks.clone().map(|(_, rank)| rank).chain([&self.r]);
        let alphas = of_alphas
            .clone()
            .map(|(_, alpha)| alpha)
            .chain([&self.lora_alpha]);
        let patterns = of_ranks
            .map(|(name, _)| name)
            .chain(of_alphas.map(|(name, _)| name));
        let unsupported = |field, value: String, expected| {
            Err(LoadError::Unsupported {
                path: path.to_owned(),
                field,
                value,
                expected,
            })
        };
        if self.peft_type != "LORA" {
            return unsupported("peft_type", self.peft_type.clone(), "LORA");
        }
        if self.use_dora {
            return unsupported("use_dora", "true".to_owned(), "false");
        }
        if self.fan_in_fan_out {
            return unsupported("fan_in_fan_out", "true".to_owned(), "false");
        }
        if self.lora_bias {
            return unsupported("lora_bias", "true".to_owned(), "false");
        }
        if let Some(bias) = self.bias.as_ref().filter(|bias| *bias != "none") {
            return unsupported("bias", bias.clone(), "none");
        }
        if let Some(modules) = self
            .modules_to_save
            .as_ref()
            .filter(|modules| !modules.is_empty())
        {
            return unsupported("modules_to_save", modules.join(", "), "none");
        }
        if self.layer_replication.is_some() {
            return unsupported("layer_replication", "a list".to_owned(), "none");
        }
        if self.trainable_token_indices.is_some() {
            return unsupported("trainable_token_indices", "tokens".to_owned(), "none");
        }
        if let Some((field, value)) = self.variant() {
            return unsupported(field, shown(value), "absent: another computation than LoRA's");
        }
        if !leaves_the_model(&self.init_lora_weights) {
            let expected = "true, gaussian, orthogonal or eva: others change the model's weights, unless the adapter is saved converted";
            return unsupported("init_lora_weights", shown(&self.init_lora_weights), expected);
        }
        if let Some(pattern) = patterns.into_iter().find(|pattern| !is_name(pattern)) {
            let expected = "names of modules, no regular expressions";
            return unsupported("rank_pattern or alpha_pattern", pattern.clone(), expected);
        }
        if let Some(rank) = ranks.into_iter().find(|rank| !(1..=MAX_RANK).contains(rank)) {
            return unsupported("r", rank.to_string(), "1 to 4096");
        }
        if let Some(alpha) = alphas.into_iter().find(|alpha| !alpha.is_finite()) {
            return unsupported("lora_alpha", alpha.to_string(), "a number");
        }
        Ok(())
    }

    /// The first setting that says that more is computed than two products, or another thing.
    fn variant(&self) -> Option<(&'static str, &Value)> {
        let settings = [
            ("target_parameters", &self.target_parameters),
            ("use_qalora", &self.use_qalora),
            ("use_bdlora", &self.use_bdlora),
            ("alora_invocation_tokens", &self.alora_invocation_tokens),
            ("arrow_config", &self.arrow_config),
            ("kasa_config", &self.kasa_config),
            ("monteclora_config", &self.monteclora_config),
        ];
        let is_absent = |value: &Value| match value {
            Value::Null | Value::Bool(false) => true,
            Value::Array(list) => list.is_empty(),
            _ => false,
        };
        settings.into_iter().find(|(_, value)| !is_absent(value))
    }
}

/// Whether the matrices were trained on the model's own weights. PEFT's other ways to begin (`PiSSA`, `OLoRA`,
/// `CorDA`, `LoftQ`, `LoRA-GA`, `MiCA`) take something out of these first, each time that an adapter is loaded.
fn leaves_the_model(init: &Value) -> bool {
    match init {
        Value::Null | Value::Bool(_) => true,
        Value::String(name) => {
            let name = name.to_ascii_lowercase();
            ["gaussian", "orthogonal", "eva"].contains(&name.as_str())
        }
        _ => false,
    }
}

/// A setting's value for a message, not all of it.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    text.chars().take(64).collect()
}

/// Whether a pattern stands for itself.
fn is_name(pattern: &str) -> bool {
    let pattern = pattern.strip_prefix('^').unwrap_or(pattern);
    pattern
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.')
}

impl<T> Patterns<T> {
    /// What is said of a module: by the first pattern that is its name or the end of it. PEFT goes by the order in
    /// the file, too, which it writes sorted.
    fn of(&self, module: &str) -> Option<&T> {
        let fits = |pattern: &str| match pattern.strip_prefix('^') {
            Some(whole) => whole == module,
            None => module
                .strip_suffix(pattern)
                .is_some_and(|before| before.is_empty() || before.ends_with('.')),
        };
        let (_, value) = self.0.iter().find(|(pattern, _)| fits(pattern))?;
        Some(value)
    }
}

impl<T> Default for Patterns<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patterns<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for InOrder<T> {
            type Value = Patterns<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object of names and numbers")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut patterns = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    patterns.push(entry);
                }
                Ok(Patterns(patterns))
            }
        }

        deserializer.deserialize_map(InOrder(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_module_s_name_or_its_end_and_the_first_in_the_file_counts() {
        let text = r#"{"q_proj": 1, "layers.1.self_attn.q_proj": 2, "proj": 3, "layers.1.mlp.up_proj": 4,
            "up_proj": 5, "^v_proj": 6}"#;
        let patterns: Patterns<u32> = serde_json::from_str(text).unwrap();
        let of = |module| patterns.of(module).copied();
        assert_eq!(of("model.layers.0.self_attn.q_proj"), Some(1));
        assert_eq!(of("model.layers.1.self_attn.q_proj"), Some(1));
        assert_eq!(of("model.layers.1.mlp.up_proj"), Some(4));
        assert_eq!(of("model.layers.0.mlp.up_proj"), Some(5));
        assert_eq!(of("model.layers.1.self_attn.v_proj"), None);
        assert_eq!(of("v_proj"), Some(6));
        assert!(is_name("^model.layers.0.mlp") && !is_name("layers.[01].mlp"));
    }
}
