//! `adapter_config.json`, as PEFT writes it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::super::config::read_file;
use crate::LoadError;

/// The file's name.
pub(super) const CONFIG_FILE: &str = "adapter_config.json";
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
    rank_pattern: BTreeMap<String, usize>,
    #[serde(default)]
    alpha_pattern: BTreeMap<String, f64>,
}

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
        let path = folder.join(CONFIG_FILE);
        let raw: Raw = serde_json::from_slice(&read_file(&path)?).map_err(|source| LoadError::Json {
            path: path.clone(),
            source,
        })?;
        raw.check(&path)?;
        Ok(Self { raw })
    }

    /// The rank of a module's matrices, by its name in the model.
    pub(super) fn rank(&self, module: &str) -> usize {
        *of_pattern(&self.raw.rank_pattern, module).unwrap_or(&self.raw.r)
    }

    /// The factor of what a module's matrices add.
    pub(super) fn scale(&self, module: &str) -> f64 {
        let alpha = of_pattern(&self.raw.alpha_pattern, module).unwrap_or(&self.raw.lora_alpha);
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
        let ranks = self.rank_pattern.values().chain([&self.r]);
        let alphas = self.alpha_pattern.values().chain([&self.lora_alpha]);
        let patterns = self.rank_pattern.keys().chain(self.alpha_pattern.keys());
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
}

/// Whether a pattern stands for itself.
fn is_name(pattern: &str) -> bool {
    let pattern = pattern.strip_prefix('^').unwrap_or(pattern);
    pattern
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.')
}

/// What a pattern says of a module: the pattern is its name or the end of it, as for PEFT, where the first one
/// counts; here the longest, since an object has no order.
fn of_pattern<'map, T>(patterns: &'map BTreeMap<String, T>, module: &str) -> Option<&'map T> {
    let fits = |pattern: &str| match pattern.strip_prefix('^') {
        Some(whole) => whole == module,
        None => module
            .strip_suffix(pattern)
            .is_some_and(|before| before.is_empty() || before.ends_with('.')),
    };
    let fitting = patterns.iter().filter(|(pattern, _)| fits(pattern));
    fitting
        .max_by_key(|(pattern, _)| pattern.len())
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_module_s_name_or_its_end_and_the_longest_counts() {
        let patterns = [
            ("q_proj", 1),
            ("layers.1.self_attn.q_proj", 2),
            ("proj", 3),
            ("^v_proj", 4),
        ];
        let patterns = patterns.map(|(pattern, value)| (pattern.to_owned(), value));
        let patterns = BTreeMap::from(patterns);
        let of = |module| of_pattern(&patterns, module).copied();
        assert_eq!(of("model.layers.0.self_attn.q_proj"), Some(1));
        assert_eq!(of("model.layers.1.self_attn.q_proj"), Some(2));
        assert_eq!(of("model.layers.1.self_attn.v_proj"), None);
        assert_eq!(of("v_proj"), Some(4));
        assert!(is_name("^model.layers.0.mlp") && !is_name("layers.[01].mlp"));
    }
}
