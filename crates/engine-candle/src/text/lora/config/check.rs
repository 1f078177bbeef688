//! Which settings are computed. What is not known here could change the computation, and is refused.

use std::path::Path;

use serde_json::Value;

use super::{Layers, Modules, Raw};
use crate::LoadError;

/// Larger ones than any that are made; a bound for what a wrong file may ask for.
const MAX_RANK: usize = 4096;

/// Settings that change nothing once an adapter is trained, whatever they say: PEFT's (`LoraConfig` of 0.21), and the
/// last three of trainers that extend it.
const WITHOUT_EFFECT: [&str; 17] = [
    "auto_mapping",
    "corda_config",
    "ensure_weight_tying",
    "eva_config",
    "inference_mode",
    "loftq_config",
    "lora_dropout",
    "lora_ga_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "task_type",
    "lora_dtype",
    "lorap_emb_lr",
    "lorap_lr_ratio",
];

/// First values that leave the model's weights as they are. After the others (`pissa`, `olora`, `corda`, `loftq`,
/// `lora_ga`) the adapter is one of changed weights.
const KEEPING: [&str; 4] = ["eva", "gaussian", "mica", "orthogonal"];

/// Checks the settings of an adapter for a model of so many layers.
pub(super) fn check(raw: &Raw, path: &Path, layers: usize) -> Result<(), LoadError> {
    let unsupported = |field: &str, value: String, expected| {
        Err(LoadError::AdapterSetting {
            path: path.to_owned(),
            field: field.to_owned(),
            value,
            expected,
        })
    };
    if raw.peft_type != "LORA" {
        return unsupported("peft_type", raw.peft_type.clone(), "LORA");
    }
    if let Some((field, value)) = raw.others.iter().find(|(field, value)| has_effect(field, value)) {
        return unsupported(field, shortened(value), "not set");
    }
    if let Some(value) = raw
        .init_lora_weights
        .as_ref()
        .filter(|value| !keeps_weights(value))
    {
        let expected = "weights that the training has left as they are";
        return unsupported("init_lora_weights", shortened(value), expected);
    }
    if let Some(bias) = raw.bias.as_ref().filter(|bias| *bias != "none") {
        return unsupported("bias", bias.clone(), "none");
    }
    if let Some((field, value, expected)) = raw.unknown_place(layers) {
        return unsupported(field, value, expected);
    }
    if let Some((field, value, expected)) = raw.wrong_number() {
        return unsupported(field, value, expected);
    }
    Ok(())
}

fn has_effect(field: &str, value: &Value) -> bool {
    let is_nothing = match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(values) => values.is_empty(),
        Value::Object(values) => values.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    };
    !is_nothing && !WITHOUT_EFFECT.contains(&field)
}

fn keeps_weights(value: &Value) -> bool {
    match value {
        Value::Bool(_) => true,
        Value::String(name) => KEEPING.contains(&name.to_ascii_lowercase().as_str()),
        _ => false,
    }
}

/// A value for a message: its beginning, when it is long.
fn shortened(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// A setting, its value, and what would be right.
type Wrong = (&'static str, String, &'static str);

impl Raw {
    /// What is said of modules and layers that are not adapted here.
    fn unknown_place(&self, layers: usize) -> Option<Wrong> {
        if let Some(Modules::Names(names)) = &self.target_modules {
            let is_outside =
                |name: &&String| matches!(name.rsplit('.').next(), Some("lm_head" | "embed_tokens"));
            if let Some(name) = names.iter().find(is_outside) {
                return Some(("target_modules", name.clone(), "projections inside the layers"));
            }
        }
        let is_usual = |name: &str| name.is_empty() || name == "layers";
        let other = match &self.layers_pattern {
            Some(Modules::Expression(name)) => Some(&name.text).filter(|name| !is_usual(name)),
            Some(Modules::Names(names)) => names.iter().find(|name| !is_usual(name)),
            None => None,
        };
        if let Some(name) = other {
            return Some(("layers_pattern", name.clone(), "layers"));
        }
        let beyond = match &self.layers_to_transform {
            Some(Layers::One(layer)) => Some(layer).filter(|layer| **layer >= layers),
            Some(Layers::Some(some)) => some.iter().find(|layer| **layer >= layers),
            None => None,
        };
        let expected = "layers that the model has; is the adapter for another one?";
        beyond.map(|layer| ("layers_to_transform", layer.to_string(), expected))
    }

    /// A rank or factor that is none.
    fn wrong_number(&self) -> Option<Wrong> {
        let expressions = [self.rank_pattern.expression(), self.alpha_pattern.expression()];
        if let Some(pattern) = expressions.into_iter().flatten().next() {
            let expected = "names of modules, no regular expressions";
            return Some(("rank_pattern or alpha_pattern", pattern.to_owned(), expected));
        }
        let patterns = self.rank_pattern.values().map(|rank| ("rank_pattern", rank));
        let mut ranks = patterns.chain([("r", &self.r)]);
        if let Some((field, rank)) = ranks.find(|(_, rank)| !(1..=MAX_RANK).contains(*rank)) {
            return Some((field, rank.to_string(), "1 to 4096"));
        }
        let patterns = self.alpha_pattern.values().map(|alpha| ("alpha_pattern", alpha));
        let mut alphas = patterns.chain([("lora_alpha", &self.lora_alpha)]);
        let (field, alpha) = alphas.find(|(_, alpha)| !alpha.is_finite())?;
        Some((field, alpha.to_string(), "a number"))
    }
}
