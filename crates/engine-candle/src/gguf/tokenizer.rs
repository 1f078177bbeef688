//! `tokenizer.json` and `tokenizer_config.json` from the metadata of a GGUF file.

mod byte_level;
mod pieces;
mod special;

use std::collections::HashMap;

use serde_json::{Map, Value};
use silica_pieces::{AddedToken, MAX_PIECE_BYTES, MAX_PIECES, PieceKind as Kind};

use self::special::SpecialTokens;
use super::GgufError;
use super::config::{Architecture, missing};
use super::file::GgufFile;
use super::value::shortened;

const TOKENS: &str = "tokenizer.ggml.tokens";
const MODEL: &str = "tokenizer.ggml.model";

/// The tokens of the file, by their ids.
struct Tokens<'file> {
    texts: &'file [String],
    kinds: Vec<Kind>,
    ids: HashMap<&'file str, u32>,
}

/// The text side of a model.
pub(super) struct TokenizerFiles {
    /// `tokenizer.json`.
    pub(super) tokenizer: Value,
    /// `tokenizer_config.json`.
    pub(super) config: Value,
    /// The ids that end an answer; the first is the file's own.
    pub(super) stop_ids: Vec<u32>,
    /// The id that begins a text.
    pub(super) bos_id: Option<u32>,
}

/// Converts the tokenizer.
///
/// # Errors
/// Names the setting that is missing, of an unknown kind, or inconsistent.
pub(super) fn tokenizer_files(
    file: &GgufFile,
    architecture: Architecture,
    rows: usize,
) -> Result<TokenizerFiles, GgufError> {
    let mut special = SpecialTokens::read(file)?;
    // The specification's place for the original, which says more than the settings do.
    let embedded = file.text("tokenizer.huggingface.json")?;
    let tokenizer = match embedded {
        Some(text) => {
            let tokenizer = special::embedded_tokenizer(text)?;
            special.find_in_tokenizer(&tokenizer, rows)?;
            tokenizer
        }
        None => convert(file, architecture, rows, &mut special)?,
    };
    Ok(TokenizerFiles {
        tokenizer,
        config: special.tokenizer_config(file)?,
        stop_ids: special.stop_ids(),
        bos_id: special.bos_id(),
    })
}

fn convert(
    file: &GgufFile,
    architecture: Architecture,
    rows: usize,
    special: &mut SpecialTokens,
) -> Result<Value, GgufError> {
    let model = file.text(MODEL)?.ok_or_else(|| missing(MODEL))?;
    if !matches!(model, "gpt2" | "llama") {
        return Err(GgufError::Unsupported {
            key: MODEL.to_owned(),
            value: format!("`{}`", shortened(model)),
            expected: "supported tokenizers are gpt2 and llama",
        });
    }
    let mut tokens = Tokens::read(file, rows)?;
    special.find_in_tokens(&mut tokens)?;
    if model == "gpt2" {
        byte_level::tokenizer(file, architecture, &tokens, special)
    } else {
        pieces::tokenizer(file, &tokens, special)
    }
}

impl<'file> Tokens<'file> {
    fn read(file: &'file GgufFile, rows: usize) -> Result<Self, GgufError> {
        let texts = file.texts(TOKENS)?.ok_or_else(|| missing(TOKENS))?;
        let invalid = |problem: String| GgufError::Invalid {
            key: TOKENS.to_owned(),
            problem,
        };
        if texts.is_empty() || texts.len() > MAX_PIECES.min(rows) {
            let count = texts.len();
            return Err(invalid(format!(
                "has {count} entries, but the model has logits for {rows}"
            )));
        }
        let kinds = kinds(file, texts.len())?;
        let mut ids = HashMap::with_capacity(texts.len());
        for ((id, text), kind) in (0..).zip(texts).zip(&kinds) {
            if text.len() > MAX_PIECE_BYTES {
                return Err(invalid(format!("has token {id} of {} bytes", text.len())));
            }
            // Fillers up to a round size; no text becomes one of them.
            if *kind == Kind::Unused {
                continue;
            }
            if let Some(first) = ids.insert(text.as_str(), id) {
                let text = shortened(text);
                return Err(invalid(format!("has `{text}` twice, as {first} and {id}")));
            }
        }
        Ok(Self { texts, kinds, ids })
    }

    fn text(&self, id: u32) -> Option<&'file str> {
        self.texts.get(id as usize).map(String::as_str)
    }

    /// All tokens that occur, with their ids, ascending.
    fn used(&self) -> impl Iterator<Item = (u32, &'file str, Kind)> {
        let all = (0..).zip(self.texts).zip(&self.kinds);
        all.map(|((id, text), kind)| (id, text.as_str(), *kind))
            .filter(|(_, _, kind)| *kind != Kind::Unused)
    }

    /// `model.vocab`. Added tokens stand in it too: the tokenizer library numbers those that do
    /// not by itself, which goes wrong where ids are left out.
    fn vocabulary(&self) -> Map<String, Value> {
        self.used()
            .map(|(id, text, _)| (text.to_owned(), id.into()))
            .collect()
    }

    /// `added_tokens`: those that are found in a text before it is split.
    fn added(&self) -> Vec<AddedToken> {
        let added = self.used().filter_map(|(id, text, kind)| {
            let special = match kind {
                Kind::Control | Kind::Unknown => true,
                Kind::UserDefined => false,
                Kind::Normal | Kind::Byte | Kind::Unused => return None,
            };
            (!text.is_empty()).then(|| AddedToken::new(id, text, special))
        });
        added.collect()
    }
}

fn kinds(file: &GgufFile, count: usize) -> Result<Vec<Kind>, GgufError> {
    let key = "tokenizer.ggml.token_type";
    let invalid = |problem: String| GgufError::Invalid {
        key: key.to_owned(),
        problem,
    };
    let Some(numbers) = file.integers(key)? else {
        return Ok(vec![Kind::Normal; count]);
    };
    if numbers.len() != count {
        let problem = format!("has {} entries for {count} tokens", numbers.len());
        return Err(invalid(problem));
    }
    let kind = |number: &i64| match number {
        // "Undefined", which llama.cpp treats like a normal token.
        0 => Ok(Kind::Normal),
        other => u64::try_from(*other)
            .ok()
            .and_then(Kind::of)
            .ok_or_else(|| invalid(format!("has the unknown type {other}"))),
    };
    numbers.iter().map(kind).collect()
}
