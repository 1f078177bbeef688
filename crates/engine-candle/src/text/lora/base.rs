//! The model that adapters are loaded for, and whether one was made for it.
//!
//! Models of the same shapes are many, and an adapter of one computes nonsense on another: all projections of
//! Mistral-7B have the shapes of Llama-3-8B's. So names are compared, where both are known: the adapter's is that of a
//! repository (`organisation/model`; a path of whoever trained it says nothing). The model's is the one that its own
//! file states, or that the hub's cache has it under; most published models state none, and of these the name of the
//! folder or file counts, as far as it says which model it is. Organisations, upper case, separators and what is said
//! of a format do not count, since the same weights are published by several and in many formats.

mod name;

use std::path::Path;

use serde_json::Value;

use self::name::{are_clearly_other, has_size, is_repository, plain};
use super::super::config::read_file;
use super::numbers::AdapterFormat;
use crate::ModelConfig;

/// What the hub's cache puts before the name of a repository, whose parts it joins with `--`.
const CACHED: &str = "models--";

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
    /// By its own file, as the name of a repository or with its size, and by the hub's cache.
    stated: Vec<String>,
    /// By its folder or file, which anybody may call as they like: as it was given and where links lead.
    places: Vec<String>,
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
        Self::of(folder, stated)
    }

    /// Of a GGUF file with this `general.name`.
    pub(crate) fn of_gguf(path: &Path, name: Option<&str>) -> Self {
        Self::of(path, name.filter(|name| has_size(name)))
    }

    fn of(path: &Path, stated: Option<&str>) -> Self {
        let whole = path.canonicalize().ok();
        let paths = || [Some(path), whole.as_deref()].into_iter().flatten();
        let stated = stated.map(str::to_owned);
        Self {
            stated: stated.into_iter().chain(paths().find_map(cached_name)).collect(),
            places: paths().filter_map(file_name).collect(),
        }
    }

    /// The model's own name, where it is clearly another model than the one that an adapter was made for.
    pub(super) fn other_than(&self, adapted: &str) -> Option<&str> {
        if !is_repository(adapted) {
            return None;
        }
        let words = plain(adapted);
        let mut names = self.stated.iter().chain(&self.places);
        if names.any(|name| plain(name) == words) {
            return None;
        }
        let is_other = |name: &&String| are_clearly_other(&plain(name), &words);
        let name = self.stated.first().or_else(|| self.places.iter().find(is_other));
        name.map(String::as_str)
    }
}

/// The name of the repository in whose folder of the hub's cache a path is.
fn cached_name(path: &Path) -> Option<String> {
    let mut parts = path.iter().filter_map(|part| part.to_str());
    let (organisation, model) = parts.find_map(|part| part.strip_prefix(CACHED)?.split_once("--"))?;
    Some(format!("{organisation}/{model}"))
}

fn file_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    Some(name.strip_suffix(".gguf").unwrap_or(name).to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn names(stated: Option<&str>, place: &str) -> BaseNames {
        BaseNames {
            stated: stated.map(str::to_owned).into_iter().collect(),
            places: vec![place.to_owned()],
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
        for file in [
            "mistral-7b-instruct-v0.2.Q4_K_M",
            "mistralai_Mistral-7B-Instruct-v0.2-Q8_0",
            "Mistral-7B-Instruct-v0.2.i1-IQ4_XS",
            "Mistral-7B-Instruct-v0.2-UD-Q4_K_XL",
        ] {
            let of_file = names(Some("Some Other 7B"), file);
            assert_eq!(
                of_file.other_than("mistralai/Mistral-7B-Instruct-v0.2"),
                None,
                "{file}"
            );
            assert!(of_file.other_than("mistralai/Mistral-7B-Instruct-v0.3").is_some());
        }
        let of_file = names(Some("mistralai_mistral-7b-instruct-v0.2"), "model");
        assert_eq!(of_file.other_than("mistralai/Mistral-7B-Instruct-v0.2"), None);
        assert_eq!(
            of_file.other_than("unsloth/mistral-7b-instruct-v0.2-bnb-4bit"),
            None
        );
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
            "output/merged",
            "outputs/llama-3-8b",
            "checkpoints/sft-v1",
            "models/Meta-Llama-3-8B",
            "saves/llama3",
            "results/run2",
            "sft/checkpoint-500",
        ] {
            assert_eq!(base.other_than(path), None, "{path}");
        }
        assert_eq!(
            names(None, "model").other_than("meta-llama/Meta-Llama-3-8B"),
            None
        );
    }

    /// Most published models state no name.
    #[test]
    fn folders_and_files_that_say_which_model_they_are_count() {
        for (place, other) in [
            ("Meta-Llama-3-8B", "mistralai/Mistral-7B-v0.1"),
            ("llama-chat", "mistralai/Mistral-7B-v0.1"),
            ("my-8b", "mistralai/Mistral-7B-v0.1"),
            ("qwen2.5-7b-instruct-q4_k_m", "Qwen/Qwen2.5-14B-Instruct"),
            ("Mixtral-8x7B-v0.1", "mistralai/Mistral-7B-v0.1"),
        ] {
            assert_eq!(names(None, place).other_than(other), Some(place), "{other}");
        }
        let adapted = "Qwen/Qwen2.5-7B-Instruct";
        for place in [
            "qwen2.5-7b",
            "qwen-7b-legal-v2",
            "my-model",
            "production",
            "a09a35458c702b33eeacc393d103063234e8bc28",
            "Qwen2___5-7B-Instruct",
            "Qwen2.5-7B-Instruct-1M",
            "model-Q4_K_M",
            "7b",
        ] {
            assert_eq!(names(None, place).other_than(adapted), None, "{place}");
        }
        let distilled = "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B";
        assert_eq!(names(None, "qwen-7b-r1").other_than(distilled), None);
        assert_eq!(names(None, "smollm-0.5b").other_than("someone/SmolLM-500M"), None);
    }

    #[test]
    fn the_hub_s_cache_states_a_name() {
        let cache = tempfile::tempdir().unwrap();
        let folder = cache
            .path()
            .join("models--mistralai--Mistral-7B-v0.1/snapshots/0123abcd");
        fs::create_dir_all(&folder).unwrap();
        for base in [BaseNames::of_folder(&folder), BaseNames::of_gguf(&folder, None)] {
            assert_eq!(base.other_than("mistralai/Mistral-7B-v0.1"), None);
            assert_eq!(base.other_than("unsloth/mistral-7b-v0.1-bnb-4bit"), None);
            for other in ["mistralai/Mistral-7B-v0.3", "meta-llama/Meta-Llama-3-8B"] {
                assert_eq!(base.other_than(other), Some("mistralai/Mistral-7B-v0.1"));
            }
        }
    }
}
