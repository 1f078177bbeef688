//! The tokens with a role: first, last, unknown, padding.

use serde_json::{Map, Value, json};

use super::{Kind, Tokens};
use crate::gguf::GgufError;
use crate::gguf::config::missing;
use crate::gguf::file::GgufFile;

const EOS: &str = "tokenizer.ggml.eos_token_id";
const TEMPLATE: &str = "tokenizer.chat_template";

/// Control tokens that end a turn whether or not a setting says so, as llama.cpp has them.
const ENDINGS: [&str; 11] = [
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|end|>",
    "<end_of_turn>",
    "<_end>",
    "<|user|>",
    "<|observation|>",
    "<\u{ff5c}end\u{2581}of\u{2581}sentence\u{ff5c}>",
];

/// A token with a role.
struct Role {
    key: &'static str,
    /// Its name in `tokenizer_config.json`; none for tokens that only end answers.
    field: Option<&'static str>,
    ends: bool,
    id: u32,
    text: String,
}

/// All of them.
pub(super) struct SpecialTokens {
    roles: Vec<Role>,
    endings: Vec<u32>,
    add_bos: Option<bool>,
}

impl SpecialTokens {
    /// Reads the ids; their spellings follow once the tokens are known.
    pub(super) fn read(file: &GgufFile) -> Result<Self, GgufError> {
        let keys = [
            (EOS, Some("eos_token"), true),
            ("tokenizer.ggml.bos_token_id", Some("bos_token"), false),
            ("tokenizer.ggml.unknown_token_id", Some("unk_token"), false),
            ("tokenizer.ggml.padding_token_id", Some("pad_token"), false),
            ("tokenizer.ggml.eot_token_id", None, true),
            ("tokenizer.ggml.eom_token_id", None, true),
        ];
        let mut roles = Vec::new();
        for (key, field, ends) in keys {
            let Some(id) = file.unsigned(key)? else {
                continue;
            };
            // Some writers say "none" in this way.
            if id == u64::from(u32::MAX) {
                continue;
            }
            let id = u32::try_from(id).map_err(|_| GgufError::Invalid {
                key: key.to_owned(),
                problem: format!("({id}) is no token id"),
            })?;
            let text = String::new();
            roles.push(Role {
                key,
                field,
                ends,
                id,
                text,
            });
        }
        if !roles.iter().any(|role| role.key == EOS) {
            return Err(missing(EOS));
        }
        Ok(Self {
            roles,
            endings: Vec::new(),
            add_bos: file.bool("tokenizer.ggml.add_bos_token")?,
        })
    }

    /// Looks the ids up, and marks their tokens as control tokens, which some files forget.
    pub(super) fn find_in_tokens(&mut self, tokens: &mut Tokens<'_>) -> Result<(), GgufError> {
        for role in &mut self.roles {
            let text = tokens.text(role.id).filter(|text| !text.is_empty());
            let text = text.ok_or_else(|| out_of_range(role, tokens.texts.len()))?;
            role.text = text.to_owned();
            if let Some(kind) = tokens.kinds.get_mut(role.id as usize)
                && matches!(kind, Kind::Normal | Kind::Unused)
            {
                *kind = Kind::Control;
            }
            tokens.ids.entry(text).or_insert(role.id);
        }
        let ends = |text: &&str| {
            let id = tokens.ids.get(*text).copied()?;
            (tokens.kinds.get(id as usize) == Some(&Kind::Control)).then_some(id)
        };
        self.endings = ENDINGS.iter().filter_map(ends).collect();
        Ok(())
    }

    /// As [`SpecialTokens::find_in_tokens`] for a whole `tokenizer.json`, where roles are played by
    /// added tokens.
    pub(super) fn find_in_tokenizer(&mut self, tokenizer: &Value, rows: usize) -> Result<(), GgufError> {
        let added = tokenizer.get("added_tokens").and_then(Value::as_array);
        let added: Vec<(u64, &str, bool)> = added
            .into_iter()
            .flatten()
            .filter_map(|token| {
                let id = token.get("id")?.as_u64()?;
                let special = token.get("special").and_then(Value::as_bool).unwrap_or(false);
                Some((id, token.get("content")?.as_str()?, special))
            })
            .collect();
        for role in &mut self.roles {
            let found = added.iter().find(|(id, ..)| *id == u64::from(role.id));
            let (_, text, _) = found.ok_or_else(|| out_of_range(role, rows))?;
            role.text = (*text).to_owned();
        }
        let endings = added
            .iter()
            .filter(|(_, text, special)| *special && ENDINGS.contains(text));
        self.endings = endings.filter_map(|(id, ..)| u32::try_from(*id).ok()).collect();
        Ok(())
    }

    /// The token that a text begins with, where the model wants one. `default` is the tokenizer's
    /// habit where the file does not say.
    pub(super) fn leading(&self, default: bool) -> Option<(String, u32)> {
        let bos = self.with_field("bos_token")?;
        self.add_bos
            .unwrap_or(default)
            .then(|| (bos.text.clone(), bos.id))
    }

    pub(super) fn bos_id(&self) -> Option<u32> {
        self.with_field("bos_token").map(|role| role.id)
    }

    /// The ids that end an answer, the file's own first, none twice.
    pub(super) fn stop_ids(&self) -> Vec<u32> {
        let own = self.roles.iter().filter(|role| role.ends).map(|role| role.id);
        let mut ids: Vec<u32> = Vec::new();
        for id in own.chain(self.endings.iter().copied()) {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        ids
    }

    pub(super) fn tokenizer_config(&self, file: &GgufFile) -> Result<Value, GgufError> {
        let mut config = Map::new();
        config.insert("tokenizer_class".to_owned(), json!("PreTrainedTokenizerFast"));
        config.insert("clean_up_tokenization_spaces".to_owned(), json!(false));
        for field in ["bos_token", "eos_token", "unk_token", "pad_token"] {
            let text = self.with_field(field).map(|role| role.text.as_str());
            config.insert(field.to_owned(), json!(text));
        }
        if let Some(add) = self.add_bos {
            config.insert("add_bos_token".to_owned(), json!(add));
        }
        if let Some(template) = chat_template(file)? {
            config.insert("chat_template".to_owned(), template);
        }
        Ok(Value::Object(config))
    }

    fn with_field(&self, field: &str) -> Option<&Role> {
        self.roles.iter().find(|role| role.field == Some(field))
    }
}

/// Reads the `tokenizer.json` that a file brings along.
pub(super) fn embedded_tokenizer(text: &str) -> Result<Value, GgufError> {
    let invalid = |problem: String| GgufError::Invalid {
        key: "tokenizer.huggingface.json".to_owned(),
        problem,
    };
    let tokenizer: Value =
        serde_json::from_str(text).map_err(|error| invalid(format!("is not valid JSON: {error}")))?;
    if tokenizer.get("model").is_some_and(Value::is_object) {
        Ok(tokenizer)
    } else {
        Err(invalid("has no `model`".to_owned()))
    }
}

/// One template, or a list where the file has several by name.
fn chat_template(file: &GgufFile) -> Result<Option<Value>, GgufError> {
    let default = file.text(TEMPLATE)?;
    let names = file.texts("tokenizer.chat_templates")?.unwrap_or_default();
    let mut templates = Vec::new();
    for name in names {
        if let Some(template) = file.text(&format!("{TEMPLATE}.{name}"))? {
            templates.push(json!({ "name": name, "template": template }));
        }
    }
    if templates.is_empty() {
        return Ok(default.map(Value::from));
    }
    if let Some(template) = default {
        templates.push(json!({ "name": "default", "template": template }));
    }
    Ok(Some(Value::Array(templates)))
}

fn out_of_range(role: &Role, count: usize) -> GgufError {
    GgufError::Invalid {
        key: role.key.to_owned(),
        problem: format!("({}) is none of the tokenizer's {count} tokens", role.id),
    }
}
