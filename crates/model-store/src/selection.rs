//! Which files of a repository or a folder make a model.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

use crate::{WeightFormat, file_name};

/// Pickled weights, which run code when they are read.
const PICKLES: [&str; 5] = [".bin", ".pt", ".pth", ".ckpt", ".pkl"];
/// The most GGUF files that are named for a choice.
const MOST_NAMED: usize = 20;
/// Weights in one file.
const SINGLE: &str = "model.safetensors";
/// The tokenizer, and the form of it that is read where there is no other.
const TOKENIZER: &str = "tokenizer.json";
const PIECES: &str = "tokenizer.model";
/// The index of weights in several files.
const INDEX: &str = "model.safetensors.index.json";

/// The files that are taken, by their names in the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selection {
    pub(crate) format: WeightFormat,
    /// Configuration, tokenizer, templates, and the index of weights in several files. Small; fetched
    /// and checked before the weights.
    pub(crate) texts: Vec<String>,
    /// Empty while they stand in an index that is not read yet: see [`Selection::take_index`].
    pub(crate) weights: Vec<String>,
}

/// The part of an index that tells where tensors are.
#[derive(Deserialize)]
struct ShardIndex {
    /// A file's name for each tensor's.
    weight_map: BTreeMap<String, String>,
}

impl Selection {
    /// The name of the index that tells which files the weights are, while that is not known.
    pub(crate) fn index(&self) -> Option<&'static str> {
        self.weights.is_empty().then_some(INDEX)
    }

    /// Takes the files that the index names, which are those that the engine reads: others beside
    /// them (a second copy, adapters) are not the model.
    ///
    /// # Errors
    /// What is wrong, as the rest of a sentence that begins with the source's name.
    pub(crate) fn take_index(&mut self, index: &[u8], names: &[&str]) -> Result<(), String> {
        let index: ShardIndex =
            serde_json::from_slice(index).map_err(|error| format!("has an {INDEX} that is none: {error}"))?;
        let files: BTreeSet<String> = index.weight_map.into_values().collect();
        for file in &files {
            let is_safe =
                !file.contains('/') && file.ends_with(".safetensors") && file_name::check(file).is_ok();
            if !is_safe {
                let shown: String = file.chars().take(80).collect();
                return Err(format!(
                    "has an {INDEX} that names {shown:?}, which is no file of weights"
                ));
            }
            if !names.contains(&file.as_str()) {
                return Err(format!("has no {file}, which its {INDEX} names"));
            }
        }
        if files.is_empty() {
            return Err(format!("has an {INDEX} that names no files"));
        }
        self.weights = files.into_iter().collect();
        Ok(())
    }
}

/// Chooses among names. `wanted` is the one GGUF file that a person asked for.
///
/// # Errors
/// What is wrong, as the rest of a sentence that begins with the source's name.
pub(crate) fn select(names: &[&str], wanted: Option<&str>) -> Result<Selection, String> {
    if let Some(wanted) = wanted {
        return select_named(names, wanted);
    }
    let has = |name: &str| names.contains(&name);
    if !has(SINGLE) && !has(INDEX) {
        return select_only_gguf(names);
    }
    if !has("config.json") {
        return Err("has no config.json".to_owned());
    }
    if !has(TOKENIZER) && !has(PIECES) {
        return Err(format!("has no {TOKENIZER}, and no {PIECES} either"));
    }
    let is_spare = |name: &str| name == PIECES && has(TOKENIZER);
    let texts = names.iter().filter(|name| is_text(name) && !is_spare(name));
    let mut texts: Vec<String> = texts.map(|name| (*name).to_owned()).collect();
    // As the engine does, the one file goes before those of the index.
    let weights = if has(SINGLE) {
        vec![SINGLE.to_owned()]
    } else {
        texts.push(INDEX.to_owned());
        Vec::new()
    };
    Ok(Selection {
        format: WeightFormat::Safetensors,
        texts,
        weights,
    })
}

fn select_named(names: &[&str], wanted: &str) -> Result<Selection, String> {
    if !is_gguf(wanted) {
        return Err(format!(
            "is not read for {wanted}: --file names a .gguf file; without it all safetensors are taken"
        ));
    }
    if !names.contains(&wanted) {
        return Err(format!("has no file {wanted}; {}", choice(names)));
    }
    gguf(wanted)
}

fn select_only_gguf(names: &[&str]) -> Result<Selection, String> {
    let mut found = names.iter().filter(|name| is_gguf(name));
    match (found.next(), found.next()) {
        (Some(only), None) => gguf(only),
        (Some(_), Some(_)) => Err(format!("has several GGUF files; {}", choice(names))),
        (None, _) if names.iter().any(|name| PICKLES.iter().any(|end| name.ends_with(end))) => Err(
            "has pickled weights only (.bin, .pt, ...), which run code when they are read; find its safetensors or GGUF"
                .to_owned(),
        ),
        (None, _) => Err("has neither safetensors nor a GGUF file".to_owned()),
    }
}

fn gguf(name: &str) -> Result<Selection, String> {
    if is_split(name) {
        return Err(format!(
            "has {name} in several parts; only GGUF files in one part are read"
        ));
    }
    Ok(Selection {
        format: WeightFormat::Gguf,
        texts: Vec::new(),
        weights: vec![name.to_owned()],
    })
}

/// Ends like `-00001-of-00003.gguf`.
fn is_split(name: &str) -> bool {
    let stem = name
        .get(..name.len().saturating_sub(".gguf".len()))
        .unwrap_or_default();
    stem.rsplit_once("-of-").is_some_and(|(head, total)| {
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number(total) && head.rsplit('-').next().is_some_and(is_number)
    })
}

fn choice(names: &[&str]) -> String {
    let found: Vec<&str> = names.iter().copied().filter(|name| is_gguf(name)).collect();
    if found.is_empty() {
        return "it has no GGUF file at all".to_owned();
    }
    let more = found.len().saturating_sub(MOST_NAMED);
    let named = found[..found.len() - more].join(", ");
    let rest = if more == 0 {
        String::new()
    } else {
        format!(" and {more} more")
    };
    format!("choose one with --file: {named}{rest}")
}

/// Whether a file is one of the small ones that make a model folder: configuration, tokenizer, templates.
pub(crate) fn is_text(name: &str) -> bool {
    let is = |wanted: &str| {
        Path::new(name)
            .extension()
            .is_some_and(|extension| extension == wanted)
    };
    // How sentence-transformers makes a vector of the rows, in the folder that its list names.
    let is_pooling = name.split_once('/').is_some_and(|(folder, file)| {
        file == "config.json"
            && folder
                .split_once('_')
                .is_some_and(|(number, module)| module == "Pooling" && number.parse::<u8>().is_ok())
    });
    is_pooling || is_top_text(name, is)
}

fn is_top_text(name: &str, is: impl Fn(&str) -> bool) -> bool {
    !name.contains('/')
        && (matches!(
            name,
            "config.json"
                | "generation_config.json"
                | "special_tokens_map.json"
                | "added_tokens.json"
                | PIECES
                | "modules.json"
                | "sentence_bert_config.json"
                | "config_sentence_transformers.json"
        ) || (name.starts_with("tokenizer") && is("json"))
            || (name.starts_with("chat_template") && (is("json") || is("jinja"))))
}

fn is_gguf(name: &str) -> bool {
    name.len() > ".gguf".len()
        && name
            .get(name.len() - ".gguf".len()..)
            .is_some_and(|end| end.eq_ignore_ascii_case(".gguf"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 2] = ["config.json", "tokenizer.json"];

    fn chosen(more: &[&str], wanted: Option<&str>) -> Result<(Vec<String>, Vec<String>), String> {
        let names: Vec<&str> = TEXTS.iter().chain(more).copied().collect();
        select(&names, wanted).map(|selection| (selection.texts, selection.weights))
    }

    #[test]
    fn a_whole_model_is_its_texts_and_safetensors_and_nothing_else() {
        let (texts, weights) = chosen(
            &[
                ".gitattributes",
                "LICENSE",
                "README.md",
                "generation_config.json",
                "tokenizer_config.json",
                "chat_template.jinja",
                "merges.txt",
                "model.safetensors",
                "model-00001-of-00002.safetensors",
                "adapter_model.safetensors",
                "onnx/model.safetensors",
                "pytorch_model.bin",
                "onnx/tokenizer.json",
                "modules.json",
                "sentence_bert_config.json",
                "1_Pooling/config.json",
                "2_Dense/config.json",
                "x_Pooling/config.json",
                "a/1_Pooling/config.json",
                "q8.gguf",
            ],
            None,
        )
        .unwrap();
        assert_eq!(
            texts,
            [
                "config.json",
                "tokenizer.json",
                "generation_config.json",
                "tokenizer_config.json",
                "chat_template.jinja",
                "modules.json",
                "sentence_bert_config.json",
                "1_Pooling/config.json"
            ]
        );
        assert_eq!(weights, ["model.safetensors"]);
    }

    #[test]
    fn shards_are_those_that_the_index_names_whatever_they_are_called() {
        let names = [
            "config.json",
            "tokenizer.json",
            "model.safetensors.index.json",
            "model-00001-of-00002.safetensors",
            "pytorch_model-2.safetensors",
            "model-00001-of-00001.safetensors",
        ];
        let mut selection = select(&names, None).unwrap();
        assert_eq!(selection.index(), Some("model.safetensors.index.json"));
        assert_eq!(selection.texts.last().unwrap(), "model.safetensors.index.json");
        let mut take = |first: &str| {
            let index = serde_json::json!({ "metadata": {}, "weight_map": {
                "b": first, "a": "model-00001-of-00002.safetensors", "c": "pytorch_model-2.safetensors",
            }});
            let taken = selection.take_index(index.to_string().as_bytes(), &names);
            taken.map(|()| selection.weights.clone())
        };
        for (bad, told) in [
            (
                "../x.safetensors",
                "names \"../x.safetensors\", which is no file of weights",
            ),
            ("a/x.safetensors", "is no file of weights"),
            ("config.json", "is no file of weights"),
            ("x.safetensors", "has no x.safetensors, which its"),
        ] {
            let refused = take(bad).unwrap_err();
            assert!(refused.contains(told), "{refused}");
        }
        let weights = take("pytorch_model-2.safetensors").unwrap();
        assert_eq!(
            weights,
            ["model-00001-of-00002.safetensors", "pytorch_model-2.safetensors"]
        );
        assert_eq!(selection.index(), None);
        for none in ["{", "{}", r#"{"weight_map": {}}"#] {
            assert!(selection.take_index(none.as_bytes(), &names).is_err(), "{none}");
        }
    }

    #[test]
    fn one_gguf_is_taken_and_of_several_the_one_that_was_asked_for() {
        let (texts, weights) = select(&["README.md", "m-q8_0.gguf"], None)
            .map(|selection| (selection.texts, selection.weights))
            .unwrap();
        assert_eq!(
            (texts.len(), weights.as_slice()),
            (0, ["m-q8_0.gguf".to_owned()].as_slice())
        );
        let several = ["a.gguf", "b/c.GGUF"];
        let refused = select(&several, None).unwrap_err();
        assert_eq!(
            refused,
            "has several GGUF files; choose one with --file: a.gguf, b/c.GGUF"
        );
        assert_eq!(select(&several, Some("b/c.GGUF")).unwrap().weights, ["b/c.GGUF"]);
        assert!(
            select(&several, Some("d.gguf"))
                .unwrap_err()
                .starts_with("has no file d.gguf; ")
        );
        assert!(select(&several, Some("config.json")).is_err());
    }

    #[test]
    fn what_cannot_be_served_is_told_before_anything_is_fetched() {
        for (more, told) in [
            (&["pytorch_model.bin"][..], "pickled"),
            (&["README.md"], "neither safetensors nor"),
            (&["m-00001-of-00003.gguf"], "several parts"),
        ] {
            let refused = chosen(more, None).unwrap_err();
            assert!(refused.contains(told), "{refused}");
        }
        let refused = select(&["model.safetensors", "config.json"], None).unwrap_err();
        assert_eq!(refused, "has no tokenizer.json, and no tokenizer.model either");
    }

    #[test]
    fn a_tokenizer_model_is_taken_where_there_is_no_other() {
        let mut names = vec![
            "model.safetensors",
            "config.json",
            "tokenizer.model",
            "tokenizer.model.v3",
            "special_tokens_map.json",
            "added_tokens.json",
        ];
        let texts = |names: &[&str]| select(names, None).unwrap().texts;
        assert_eq!(
            texts(&names),
            [
                "config.json",
                "tokenizer.model",
                "special_tokens_map.json",
                "added_tokens.json"
            ]
        );
        names.push("tokenizer.json");
        assert!(!texts(&names).iter().any(|name| name == "tokenizer.model"));
    }
}
