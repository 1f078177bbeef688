//! Byte-level BPE (`gpt2`), with the splitting that the family's models were trained with.

use serde_json::{Value, json};
use silica_pieces::{AddedToken, first_tokens};

use super::Tokens;
use super::special::SpecialTokens;
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
/// The splitting of Mistral Nemo's tokenizer.json (Tekken); words end where capitals begin.
const TEKKEN: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|",
    r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);
/// The splittings of DeepSeek-V3's tokenizer.json, one after the other.
const DEEPSEEK3: [&str; 3] = [
    r"\p{N}{1,3}",
    "[\u{4e00}-\u{9fa5}\u{3040}-\u{309f}\u{30a0}-\u{30ff}]+",
    r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##,
];
/// Those of DeepSeek-V2's. The original lists the letters that have a case, without those of
/// mathematics, range by range.
const DEEPSEEK2: [&str; 6] = [
    r"[\r\n]",
    r"\s?(?:(?![\x{1d400}-\x{1d7ff}])[\p{Lu}\p{Ll}\p{Lt}])+",
    "\\s?[!-/:-~\u{ff01}-\u{ff0f}\u{ff1a}-\u{ff5e}\u{2018}-\u{201f}\u{3000}-\u{3002}]+",
    r"\s+$",
    "[\u{4e00}-\u{9fa5}\u{0800}-\u{4e00}\u{ac00}-\u{d7ff}]+",
    r"\p{N}+",
];

/// How texts are split before merging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Splitting {
    Qwen2,
    Llama3,
    /// As Llama 3 splits, but for what follows.
    Glm4,
    Tekken,
    Gpt2,
    DeepSeek2,
    DeepSeek3,
}

impl Splitting {
    fn of(file: &GgufFile, architecture: Architecture) -> Result<Self, GgufError> {
        match file.text(PRE)? {
            Some("qwen2" | "deepseek-r1-qwen") => Ok(Self::Qwen2),
            Some("llama-bpe" | "llama3" | "llama-v3") => Ok(Self::Llama3),
            Some("chatglm-bpe" | "glm4") => Ok(Self::Glm4),
            Some("tekken") => Ok(Self::Tekken),
            Some("gpt-2") => Ok(Self::Gpt2),
            Some("deepseek-llm") => Ok(Self::DeepSeek2),
            Some("deepseek-v3") => Ok(Self::DeepSeek3),
            // Not named, as in files from before 2024: the family's own.
            None | Some("default" | "") => Ok(match architecture {
                Architecture::Qwen2
                | Architecture::Qwen3
                | Architecture::Qwen2Moe
                | Architecture::Qwen3Moe => Self::Qwen2,
                Architecture::DeepSeekV2 => Self::DeepSeek2,
                Architecture::DeepSeekV3 => Self::DeepSeek3,
                Architecture::ChatGlm | Architecture::Glm4 => Self::Glm4,
                Architecture::Llama
                | Architecture::Mixtral
                | Architecture::InternLm2
                | Architecture::Gemma2 => Self::Llama3,
            }),
            Some(other) => Err(GgufError::Unsupported {
                key: PRE.to_owned(),
                value: format!("`{}`", shortened(other)),
                expected: "supported are qwen2, llama-bpe, glm4, tekken, gpt-2, deepseek-llm and deepseek-v3",
            }),
        }
    }

    /// Patterns that split one after the other; none for the library's own.
    fn patterns(self) -> &'static [&'static str] {
        match self {
            Self::Qwen2 => &[QWEN2],
            Self::Llama3 | Self::Glm4 => &[LLAMA3],
            Self::Tekken => &[TEKKEN],
            Self::Gpt2 => &[],
            Self::DeepSeek2 => &DEEPSEEK2,
            Self::DeepSeek3 => &DEEPSEEK3,
        }
    }

    /// Whether a piece that is in the vocabulary is taken as it is, whatever the merges say; texts of
    /// such models begin with a token, too (llama.cpp's `ignore_merges` and `add_bos`).
    fn takes_whole_pieces(self) -> bool {
        matches!(self, Self::Llama3 | Self::Tekken)
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
    let patterns = splitting.patterns();
    let splits = patterns.iter().map(|pattern| {
        json!({ "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated",
                "invert": false })
    });
    let pre_tokenizer = if patterns.is_empty() {
        byte_level(true)
    } else {
        let splits: Vec<Value> = splits.chain([byte_level(false)]).collect();
        json!({ "type": "Sequence", "pretokenizers": splits })
    };
    let normalizer = match splitting {
        Splitting::Qwen2 => json!({ "type": "NFC" }),
        _ => Value::Null,
    };
    let bos = special.leading(splitting.takes_whole_pieces());
    let added: Vec<Value> = tokens.added().iter().map(AddedToken::json).collect();
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": added,
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": first_tokens(bos.as_slice()),
        "decoder": byte_level(true),
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": splitting.takes_whole_pieces(),
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
