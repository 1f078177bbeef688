//! `adapter_config.json`, as PEFT writes it.

mod check;
mod patterns;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use regex::{Regex, RegexBuilder};
use serde::Deserialize;
use serde_json::Value;

use self::patterns::Patterns;
use super::read::read_at_most;
use crate::LoadError;

/// The most memory for a compiled regular expression, in bytes: ten times that of a usual one.
const MAX_EXPRESSION_BYTES: usize = 1 << 20;
/// The file's name.
pub(super) const CONFIG_FILE: &str = "adapter_config.json";
/// The most bytes that the file may have: a hundred times those of one with a pattern for every module.
const MAX_BYTES: u64 = 4 << 20;

/// What is read of the file.
#[derive(Deserialize)]
struct Raw {
    peft_type: String,
    base_model_name_or_path: Option<String>,
    r: usize,
    lora_alpha: f64,
    #[serde(default)]
    use_rslora: bool,
    bias: Option<String>,
    init_lora_weights: Option<Value>,
    target_modules: Option<Modules>,
    exclude_modules: Option<Modules>,
    layers_to_transform: Option<Layers>,
    layers_pattern: Option<Modules>,
    #[serde(default)]
    rank_pattern: Patterns<usize>,
    #[serde(default)]
    alpha_pattern: Patterns<f64>,
    /// All other settings.
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Layers {
    One(usize),
    Some(Vec<usize>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Modules {
    Expression(Expression),
    Names(Vec<String>),
}

/// A regular expression over the whole names of modules, or `all-linear`.
#[derive(Deserialize)]
#[serde(from = "String")]
struct Expression {
    text: String,
    /// `None` of `all-linear`, and of what only Python's expressions have, such as a look ahead.
    compiled: Option<Regex>,
}

impl From<String> for Expression {
    fn from(text: String) -> Self {
        // As for PEFT, whose `re.fullmatch` this is.
        let compiled = RegexBuilder::new(&format!(r"\A(?:{text})\z"))
            .size_limit(MAX_EXPRESSION_BYTES)
            .build()
            .ok();
        let compiled = compiled.filter(|_| text != "all-linear");
        Self { text, compiled }
    }
}

/// Which modules an adapter says that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// It names this one.
    Named,
    /// It does not.
    Not,
    /// It says so in a way that is not understood here.
    Unknown,
}

/// The settings of an adapter, checked.
pub(super) struct AdapterConfig {
    path: PathBuf,
    raw: Raw,
}

impl AdapterConfig {
    /// Reads the file in `folder` and checks it for a model of so many layers.
    pub(super) fn read(folder: &Path, layers: usize) -> Result<Self, LoadError> {
        let path = folder.join(CONFIG_FILE);
        let raw: Raw =
            serde_json::from_slice(&read_at_most(&path, MAX_BYTES)?).map_err(|source| LoadError::Json {
                path: path.clone(),
                source,
            })?;
        check::check(&raw, &path, layers)?;
        Ok(Self { path, raw })
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The model that the adapter was made for, as whoever made it called it.
    pub(super) fn base(&self) -> Option<&str> {
        self.raw.base_model_name_or_path.as_deref()
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
            // As for PEFT.
            Some(Layers::Some(some)) => some.is_empty() || some.contains(&layer),
        }
    }

    /// Whether the adapter has matrices for a module, by its name in the model.
    pub(super) fn target(&self, module: &str) -> Target {
        let named = |is| if is { Target::Named } else { Target::Not };
        let names = |modules: &Option<Modules>| match modules {
            None => None,
            Some(Modules::Expression(expression)) => Some(match &expression.compiled {
                None => Target::Unknown,
                Some(compiled) => named(compiled.is_match(module)),
            }),
            Some(Modules::Names(names)) => Some(named(names.iter().any(|name| is_end(name, module)))),
        };
        match (names(&self.raw.target_modules), names(&self.raw.exclude_modules)) {
            (_, Some(Target::Named)) | (Some(Target::Not), _) => Target::Not,
            (None | Some(Target::Unknown), _) | (_, Some(Target::Unknown)) => Target::Unknown,
            (Some(Target::Named), None | Some(Target::Not)) => Target::Named,
        }
    }
}

/// Whether a module has this name, or one that ends with it.
fn is_end(name: &str, module: &str) -> bool {
    module
        .strip_suffix(name)
        .is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(settings: &Value) -> AdapterConfig {
        let mut all = json!({"peft_type": "LORA", "r": 4, "lora_alpha": 8});
        all.as_object_mut()
            .unwrap()
            .extend(settings.as_object().unwrap().clone());
        AdapterConfig {
            path: PathBuf::new(),
            raw: serde_json::from_value(all).unwrap(),
        }
    }

    #[test]
    fn modules_are_named_whole_or_by_their_end() {
        let of = |settings: &Value, module: &str| config(settings).target(module);
        let (query, other) = (
            "model.layers.1.self_attn.q_proj",
            "model.layers.2.self_attn.q_proj",
        );
        for name in ["q_proj", "self_attn.q_proj", "model.layers.1.self_attn.q_proj"] {
            assert_eq!(
                of(&json!({"target_modules": [name]}), query),
                Target::Named,
                "{name}"
            );
        }
        let one = json!({"target_modules": [query]});
        assert_eq!(of(&one, other), Target::Not);
        assert_eq!(
            of(&json!({"target_modules": ["proj", "v_proj"]}), query),
            Target::Not
        );
        let but = |excluded: Value| json!({"target_modules": ["q_proj"], "exclude_modules": excluded});
        assert_eq!(of(&but(json!(["layers.1.self_attn.q_proj"])), query), Target::Not);
        assert_eq!(
            of(&but(json!(["layers.1.self_attn.q_proj"])), other),
            Target::Named
        );
        assert_eq!(of(&but(json!(".*")), other), Target::Not);
        assert_eq!(of(&but(json!("(?!x).*")), other), Target::Unknown);
        assert_eq!(
            of(&json!({"target_modules": "all-linear"}), query),
            Target::Unknown
        );
        assert_eq!(of(&json!({}), query), Target::Unknown);
    }

    #[test]
    fn an_expression_is_for_whole_names() {
        let of = |expression: &str, module| config(&json!({ "target_modules": expression })).target(module);
        let query = "model.layers.1.self_attn.q_proj";
        for fits in [
            r".*\.q_proj",
            r"model\.layers\.[01]\.self_attn\.(q|v)_proj",
            "x|.*j",
        ] {
            assert_eq!(of(fits, query), Target::Named, "{fits}");
        }
        for other in ["q_proj", r".*layers\.1", ".*v_proj", "model|x", r".*\.0\..*"] {
            assert_eq!(of(other, query), Target::Not, "{other}");
        }
        for unknown in [
            "(?=m).*",
            "(",
            "all-linear",
            r"(\w+)\.\1",
            &"(a{99}){99}".repeat(99),
        ] {
            assert_eq!(of(unknown, query), Target::Unknown, "{unknown}");
        }
    }

    #[test]
    fn layers_are_one_or_some_or_all() {
        let has = |layers: Value| {
            let config = config(&json!({ "layers_to_transform": layers }));
            [0, 1, 2].map(|layer| config.has_layer(layer))
        };
        assert_eq!(has(json!(1)), [false, true, false]);
        assert_eq!(has(json!([0, 2])), [true, false, true]);
        assert_eq!(has(json!([])), [true; 3]);
        assert_eq!(has(json!(null)), [true; 3]);
    }
}
