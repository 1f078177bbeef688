//! The tokenizer of a folder that has it as `tokenizer.model`: the pieces, and the tokens that stand beside
//! them in other files or in the code of a family.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::Value;
use silica_pieces::{AddedToken, Form, MAX_PIECE_BYTES, MAX_PIECES, PieceKind, PieceModel, Prefix};

use super::{CONFIG, ModelType};
use crate::{TextError, TextFiles};

/// The form of `SentencePiece`, and, under the same name, of other libraries.
pub(super) const PIECES: &str = "tokenizer.model";
const ADDED: &str = "added_tokens.json";
const SPECIAL: &str = "special_tokens_map.json";

/// What the code of `ChatGLM3` adds to its pieces, in this order (`SPTokenizer` in its
/// `tokenization_chatglm.py`).
const CHAT_GLM: [&str; 9] = [
    "[MASK]",
    "[gMASK]",
    "[sMASK]",
    "sop",
    "eop",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|observation|>",
];
/// What that code puts before each text.
const CHAT_GLM_FIRST: [&str; 2] = ["[gMASK]", "sop"];
/// The fields that name a token with a role.
const ROLES: [&str; 7] = [
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
];

/// What such a folder's tokenizer is.
pub(super) struct PieceTokenizer {
    /// `tokenizer.json`.
    pub(super) tokenizer: Value,
    /// Spellings of the symbols that are found in texts before these are cut, and of what begins and ends
    /// a text, where `tokenizer_config.json` does not say.
    pub(super) symbols: Vec<String>,
    pub(super) bos: Option<String>,
    pub(super) eos: Option<String>,
}

/// The fields of `tokenizer_config.json`, of which those with a role are looked up by name.
#[derive(Deserialize, Default)]
struct Config {
    #[serde(default)]
    added_tokens_decoder: BTreeMap<u32, AddedForm>,
    add_bos_token: Option<bool>,
    legacy: Option<bool>,
    #[serde(flatten)]
    others: serde_json::Map<String, Value>,
}

#[derive(Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the fields of the file, none of which follows from another"
)]
struct AddedForm {
    content: String,
    #[serde(default)]
    special: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    single_word: bool,
}

/// The tokens beside the pieces, by their ids; each spelling once, with its id.
#[derive(Default)]
struct Added(BTreeMap<u32, AddedToken>, HashMap<String, u32>);

/// The most spellings of special tokens that are looked for; ten times as many as any model has.
const MAX_SPECIAL: usize = 16_384;

/// Makes the tokenizer of a folder; `bytes` are its `tokenizer.model`.
///
/// # Errors
/// Names the file and what is wrong with it, or what it is instead.
pub(super) fn tokenizer(files: &TextFiles, bytes: &[u8]) -> Result<PieceTokenizer, TextError> {
    let unreadable = |source| TextError::Pieces {
        file: files.path(PIECES),
        source,
    };
    let model = PieceModel::read(bytes).map_err(unreadable)?;
    let config: Config = files.json(CONFIG)?.unwrap_or_default();
    let special: Value = files.json(SPECIAL)?.unwrap_or_default();
    let is_chat_glm = ModelType::read(files)?.is_chat_glm();
    let added = Added::of(&model, files, &config, &special, is_chat_glm)?;
    let spelled = |id: Option<u32>| Some(model.pieces.get(id? as usize)?.text.to_owned());
    let bos = role(&config.others, "bos_token").map(str::to_owned);
    let (bos, eos) = (bos.or_else(|| spelled(model.ids.bos)), spelled(model.ids.eos));
    let first = if is_chat_glm {
        added.named(&CHAT_GLM_FIRST)
    } else if config.add_bos_token.unwrap_or(true) {
        added.named(bos.as_deref().as_slice())
    } else {
        Vec::new()
    };
    let mut spacing = model.spacing;
    if config.legacy == Some(false) && spacing.prefix == Prefix::Each {
        spacing.prefix = Prefix::First;
    }
    let symbols = (0..)
        .zip(&model.pieces)
        .filter(|(id, piece)| piece.kind == PieceKind::UserDefined && !added.0.contains_key(id));
    let symbols = symbols.map(|(_, piece)| piece.text.to_owned()).collect();
    let form = Form {
        pieces: &model.pieces,
        algorithm: model.algorithm,
        byte_fallback: model.byte_fallback,
        spacing,
        added: added.0.into_values().collect(),
        first,
    };
    Ok(PieceTokenizer {
        tokenizer: form.json().map_err(unreadable)?,
        symbols,
        bos,
        eos,
    })
}

impl Added {
    fn of(
        model: &PieceModel<'_>,
        files: &TextFiles,
        config: &Config,
        special: &Value,
        is_chat_glm: bool,
    ) -> Result<Self, TextError> {
        let mut added = Self::default();
        for (id, piece) in (0..).zip(&model.pieces) {
            if matches!(piece.kind, PieceKind::Control | PieceKind::Unknown) {
                added.insert(AddedToken::new(id, piece.text, true));
            }
        }
        let from_config = config.added_tokens_decoder.iter();
        let mut given: Vec<AddedToken> = from_config.map(|(id, form)| form.token(*id)).collect();
        let mut file = CONFIG;
        if given.is_empty() {
            // As files were written before that field was invented.
            let older: BTreeMap<String, u32> = files.json(ADDED)?.unwrap_or_default();
            let older = older.into_iter();
            given = older.map(|(text, id)| AddedToken::new(id, text, false)).collect();
            file = ADDED;
        }
        for token in given {
            if token.id as usize >= MAX_PIECES || token.text.is_empty() || token.text.len() > MAX_PIECE_BYTES
            {
                return Err(TextError::AddedToken {
                    file: files.path(file),
                    id: token.id,
                    bytes: token.text.len(),
                });
            }
            added.insert(token);
        }
        if is_chat_glm {
            added.insert_chat_glm(model.pieces.len());
        }
        let others = Value::Object(config.others.clone());
        let ids: HashMap<&str, u32> = model.pieces.iter().map(|piece| piece.text).zip(0..).collect();
        let spellings = [&others, special].into_iter().flat_map(special_spellings);
        for text in spellings.take(MAX_SPECIAL) {
            added.mark(text, &ids);
        }
        Ok(added)
    }

    fn insert(&mut self, token: AddedToken) {
        if let Some(before) = self.1.insert(token.text.clone(), token.id) {
            self.0.remove(&before);
        }
        let text = token.text.clone();
        if let Some(before) = self.0.insert(token.id, token)
            && before.text != text
        {
            self.1.remove(&before.text);
        }
    }

    /// Whatever the files say, clients' texts are full of `sop` as a part of words, and none may write a
    /// role.
    fn insert_chat_glm(&mut self, pieces: usize) {
        for (text, place) in CHAT_GLM.into_iter().zip(pieces..) {
            let own = self.1.get(text).copied();
            let Some(id) = own.or(u32::try_from(place).ok()) else {
                continue;
            };
            let mut token = AddedToken::new(id, text, true);
            token.single_word = text.chars().all(char::is_alphanumeric);
            self.insert(token);
        }
    }

    /// Makes the token of a spelling a special one, if there is one.
    fn mark(&mut self, text: &str, pieces: &HashMap<&str, u32>) {
        if let Some(token) = self.1.get(text).and_then(|id| self.0.get_mut(id)) {
            token.special = true;
        } else if let Some(id) = pieces.get(text).filter(|id| !self.0.contains_key(id)) {
            self.insert(AddedToken::new(*id, text, true));
        }
    }

    /// Those of the spellings that there are, with their ids.
    fn named(&self, texts: &[&str]) -> Vec<(String, u32)> {
        let id = |text: &&str| {
            let token = self.0.values().find(|token| token.text == *text)?;
            Some((token.text.clone(), token.id))
        };
        texts.iter().filter_map(id).collect()
    }
}

impl AddedForm {
    fn token(&self, id: u32) -> AddedToken {
        AddedToken {
            lstrip: self.lstrip,
            rstrip: self.rstrip,
            single_word: self.single_word,
            ..AddedToken::new(id, &*self.content, self.special)
        }
    }
}

/// The spellings that a file gives roles.
fn special_spellings(file: &Value) -> Vec<&str> {
    let more = file.get("additional_special_tokens").and_then(Value::as_array);
    let roles = ROLES.iter().filter_map(|field| file.get(*field));
    let all = roles.chain(more.into_iter().flatten());
    all.filter_map(spelling).filter(|text| !text.is_empty()).collect()
}

fn role<'config>(config: &'config serde_json::Map<String, Value>, field: &str) -> Option<&'config str> {
    config.get(field).and_then(spelling)
}

/// A token is written as its spelling, or as an object that holds it.
fn spelling(token: &Value) -> Option<&str> {
    token.as_str().or_else(|| token.get("content")?.as_str())
}

#[cfg(test)]
mod tests;
