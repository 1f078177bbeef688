//! Byte-level BPE (`gpt2`), with the splitting that the family's models were trained with.

use serde_json::{Value, json};

use super::special::SpecialTokens;
use super::{Tokens, bos_processor};
use crate::gguf::GgufError;
use crate::gguf::config::{Architecture, missing};
use crate::gguf::file::GgufFile;
use crate::gguf::value::shortened;

const PRE: &str = "tokenizer.ggml.pre";
const MERGES: &str = "tokenizer.ggml.merges";

/// The splitting of Qwen2's tokenizer.json, and of the later ones in its line.
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// The splitting of Llama 3's tokenizer.json; it keeps up to three digits together.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// How texts are split before merging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Splitting {
    Qwen2,
    Llama3,
    /// As Llama 3 splits, but for what follows.
    Glm4,
    Gpt2,
}

impl Splitting {
    fn of(file: &GgufFile, architecture: Architecture) -> Result<Self, GgufError> {
        match file.text(PRE)? {
            Some("qwen2" | "deepseek-r1-qwen") => Ok(Self::Qwen2),
            Some("llama-bpe" | "llama3" | "llama-v3") => Ok(Self::Llama3),
            Some("chatglm-bpe" | "glm4") => Ok(Self::Glm4),
            Some("gpt-2") => Ok(Self::Gpt2),
            // Not named, as in files from before 2024: the family's own.
            None | Some("default" | "") => Ok(match architecture {
                Architecture::Qwen2 | Architecture::Qwen3 => Self::Qwen2,
                Architecture::ChatGlm | Architecture::Glm4 => Self::Glm4,
                Architecture::Llama | Architecture::InternLm2 | Architecture::Gemma2 => Self::Llama3,
            }),
            Some(other) => Err(GgufError::Unsupported {
                key: PRE.to_owned(),
                value: format!("`{}`", shortened(other)),
                expected: "supported are qwen2, llama-bpe, glm4 and gpt-2",
            }),
        }
    }

    fn pattern(self) -> Option<&'static str> {
        match self {
            Self::Qwen2 => Some(QWEN2),
            Self::Llama3 | Self::Glm4 => Some(LLAMA3),
            Self::Gpt2 => None,
        }
    }
}

pub(super) fn tokenizer(
    file: &GgufFile,
    architecture: Architecture,
    tokens: &Tokens<'_>,
    special: &SpecialTokens,
) -> Result<Value, GgufError> {
    let splitting = Splitting::of(file, architecture)?;
    let merges = merges(file, tokens)?;
    let byte_level = |regex: bool| {
        json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
                "use_regex": regex })
    };
    let pre_tokenizer = match splitting.pattern() {
        None => byte_level(true),
        Some(pattern) => json!({ "type": "Sequence", "pretokenizers": [
            { "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated",
              "invert": false },
            byte_level(false),
        ] }),
    };
    let normalizer = match splitting {
        Splitting::Qwen2 => json!({ "type": "NFC" }),
        Splitting::Llama3 | Splitting::Glm4 | Splitting::Gpt2 => Value::Null,
    };
    let bos = special.leading(splitting == Splitting::Llama3);
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": tokens.added(),
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": bos_processor(bos),
        "decoder": byte_level(true),
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            // Llama 3 takes a piece that is in the vocabulary as it is, whatever the merges say.
            "ignore_merges": splitting == Splitting::Llama3,
            "vocab": tokens.vocabulary(),
            "merges": merges,
        },
    }))
}

/// The merges as pairs. The library would refuse one whose parts are no tokens, but could not name
/// the file.
fn merges(file: &GgufFile, tokens: &Tokens<'_>) -> Result<Vec<[String; 2]>, GgufError> {
    let texts = file.texts(MERGES)?.ok_or_else(|| missing(MERGES))?;
    let pair = |(index, text): (usize, &String)| {
        let invalid = |problem: &str| GgufError::Invalid {
            key: MERGES.to_owned(),
            problem: format!("has the entry {index} `{}`, {problem}", shortened(text)),
        };
        let space = text.char_indices().skip(1).find(|(_, letter)| *letter == ' ');
        let (space, _) = space.ok_or_else(|| invalid("which is no pair"))?;
        let (left, right) = (&text[..space], &text[space + 1..]);
        let merged = format!("{left}{right}");
        if [left, right, &merged]
            .iter()
            .all(|part| tokens.ids.contains_key(part))
        {
            Ok([left.to_owned(), right.to_owned()])
        } else {
            Err(invalid("whose parts or whole are no tokens"))
        }
    };
    texts.iter().enumerate().map(pair).collect()
}
