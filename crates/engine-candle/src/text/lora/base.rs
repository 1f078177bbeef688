//! The model that adapters are loaded for, and whether one was made for it.
//!
//! Models of the same shapes are many, and an adapter of one computes nonsense on another: all projections of
//! Mistral-7B have the shapes of Llama-3-8B's. So names are compared, where both are known: the adapter's is that of a
//! repository (`organisation/model`; a path of whoever trained it says nothing), and the model's file names its
//! own. Organisations, upper case, separators and what is said of a format do not count, since the same weights are
//! published by several and in many formats.

use std::path::Path;

use serde_json::Value;

use super::super::config::read_file;
use super::numbers::AdapterFormat;
use crate::ModelConfig;

/// Words behind a model's name that are of its format.
const FORMATS: [&str; 17] = [
    "4bit", "8bit", "awq", "bf16", "bnb", "dynamic", "f16", "f32", "fp16", "fp8", "gguf", "gptq", "hf",
    "int4", "int8", "mlx", "unsloth",
];

/// What adapters must fit.
pub(crate) struct Base {
    pub(crate) config: ModelConfig,
    /// How their matrices are kept.
    pub(crate) format: AdapterFormat,
    pub(crate) names: BaseNames,
}

/// What a model is called.
#[derive(Debug, Clone, Default)]
pub(crate) struct BaseNames {
    /// By its own file, as the name of a repository or with its size.
    stated: Option<String>,
    /// By its folder or file, which anybody may call as they like.
    place: Option<String>,
}

impl BaseNames {
    /// Of a folder with `config.json`.
    pub(crate) fn of_folder(folder: &Path) -> Self {
        // The file has been read and checked before.
        let content: Option<Value> = read_file(&folder.join("config.json"))
            .ok()
            .and_then(|content| serde_json::from_slice(&content).ok());
        let stated = content
            .as_ref()
            .and_then(|content| content.get("_name_or_path")?.as_str())
            .filter(|name| is_repository(name));
        Self {
            stated: stated.map(str::to_owned),
            place: file_name(folder),
        }
    }

    /// Of a GGUF file with this `general.name`.
    pub(crate) fn of_gguf(path: &Path, name: Option<&str>) -> Self {
        let stated = name.filter(|name| has_size(name));
        Self {
            stated: stated.map(str::to_owned),
            place: file_name(path),
        }
    }

    /// The model's own name, where it is clearly another model than the one that an adapter was made for.
    pub(super) fn other_than(&self, adapted: &str) -> Option<&str> {
        if !is_repository(adapted) {
            return None;
        }
        let adapted = plain(adapted);
        let mut names = self.stated.iter().chain(&self.place);
        if names.any(|name| plain(name) == adapted) {
            return None;
        }
        self.stated.as_deref()
    }
}

fn file_name(path: &Path) -> Option<String> {
    let path = path.canonicalize().ok()?;
    let name = path.file_name()?.to_str()?;
    Some(name.strip_suffix(".gguf").unwrap_or(name).to_owned())
}

/// Whether a name is that of a repository of a hub: `organisation/model`.
fn is_repository(name: &str) -> bool {
    let is_part = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_alphanumeric())
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    name.split_once('/')
        .is_some_and(|(organisation, model)| is_part(organisation) && is_part(model))
}

/// Whether a name says how large the model is, such as `7B` or `0.5b`: one that does not may be any word.
fn has_size(name: &str) -> bool {
    words(name).any(|word| {
        let number = word.strip_suffix(['b', 'm']).unwrap_or_default();
        number.starts_with(|first: char| first.is_ascii_digit())
            && number
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b'x')
    })
}

fn words(name: &str) -> impl DoubleEndedIterator<Item = String> {
    name.split(['-', '_', ' '])
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
}

/// A name without its organisation and what is said of the format.
fn plain(name: &str) -> Vec<String> {
    let model = name.rsplit('/').next().unwrap_or(name);
    let mut words: Vec<String> = words(model).collect();
    while words.len() > 1 && words.last().is_some_and(|word| FORMATS.contains(&word.as_str())) {
        words.pop();
    }
    if words.first().is_some_and(|word| word == "meta") {
        words.remove(0);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(stated: Option<&str>, place: &str) -> BaseNames {
        BaseNames {
            stated: stated.map(str::to_owned),
            place: Some(place.to_owned()),
        }
    }

    #[test]
    fn another_model_s_adapter_is_known_by_its_name() {
        let base = names(Some("mistralai/Mistral-7B-v0.1"), "mistral");
        for other in [
            "meta-llama/Meta-Llama-3-8B",
            "mistralai/Mistral-7B-v0.3",
            "Qwen/Qwen2.5-7B",
        ] {
            assert_eq!(
                base.other_than(other),
                Some("mistralai/Mistral-7B-v0.1"),
                "{other}"
            );
        }
        let of_file = names(Some("Qwen2.5 32B Instruct"), "model-q4_k_m");
        assert!(of_file.other_than("Qwen/Qwen2.5-14B-Instruct").is_some());
        assert!(of_file.other_than("Qwen/Qwen2.5-32B").is_some());
    }

    #[test]
    fn the_same_model_has_many_names() {
        let base = names(Some("meta-llama/Meta-Llama-3-8B-Instruct"), "llama");
        for same in [
            "meta-llama/Llama-3-8B-Instruct",
            "NousResearch/Meta-Llama-3-8B-Instruct",
            "unsloth/llama-3-8b-Instruct-bnb-4bit",
            "someone/Llama_3_8B_Instruct-GPTQ-Int4",
        ] {
            assert_eq!(base.other_than(same), None, "{same}");
        }
        // What the model is made from stands in its file too; its folder says what it is.
        let tuned = names(Some("Qwen/Qwen2.5-0.5B"), "Qwen2.5-0.5B-Instruct");
        assert_eq!(tuned.other_than("Qwen/Qwen2.5-0.5B-Instruct"), None);
        let of_file = names(Some("Qwen2.5 0.5B Instruct"), "model");
        assert_eq!(of_file.other_than("Qwen/Qwen2.5-0.5B-Instruct"), None);
    }

    #[test]
    fn paths_and_models_without_a_name_say_nothing() {
        let base = names(Some("mistralai/Mistral-7B-v0.1"), "mistral");
        for path in [
            "/home/me/llama",
            "./llama",
            "../models/llama",
            "llama",
            "C:\\models\\llama",
            "a/b/c",
            "~/llama",
            "",
        ] {
            assert_eq!(base.other_than(path), None, "{path}");
        }
        assert_eq!(
            names(None, "mistral").other_than("meta-llama/Meta-Llama-3-8B"),
            None
        );
    }

    #[test]
    fn a_size_is_a_number_of_billions_or_millions() {
        assert!(
            ["Qwen2.5 0.5B", "mixtral-8x7b", "SmolLM 135M"]
                .into_iter()
                .all(has_size)
        );
        assert!(!["models", "LLaMA v2", "b", "Base m"].into_iter().any(has_size));
    }
}
