//! Reads the text side of a model: the files of a Hugging Face folder.

mod pieces;

use std::path::{Path, PathBuf};

use serde::Deserialize;
use tokenizers::Tokenizer;

use crate::{TextError, TextFiles};

/// The file that a tokenizer stands in.
pub(crate) const TOKENIZER: &str = "tokenizer.json";
/// The file with the tokens that begin and end texts, and often the chat template.
const CONFIG: &str = "tokenizer_config.json";

/// What the folder says about text.
#[derive(Debug)]
pub(crate) struct ModelFolder {
    /// The tokenizer, with truncation and padding switched off.
    pub(crate) tokenizer: Tokenizer,
    /// The file that it stands in.
    pub(crate) file: PathBuf,
    /// Spellings that it finds in texts before it cuts them, besides its added tokens.
    pub(crate) symbols: Vec<String>,
    /// The spelling of the token that begins a text, if any.
    pub(crate) bos_token: Option<String>,
    /// Whether bare texts begin with it, also when the tokenizer's own file does not say so: the
    /// transformers library adds it to some families itself.
    pub(crate) add_bos_token: bool,
    /// The spelling of the token that ends an answer, if any.
    pub(crate) eos_token: Option<String>,
    /// The chat templates; empty for a base model.
    pub(crate) templates: Vec<TemplateSource>,
    /// Ids of all tokens that end an answer, ascending.
    pub(crate) stop_tokens: Vec<u32>,
}

/// One chat template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TemplateSource {
    /// `default`, or the purpose that a list of templates names (`tool_use`, ..).
    pub(crate) name: String,
    /// Jinja.
    pub(crate) source: String,
    /// The file it stands in.
    pub(crate) file: PathBuf,
}

impl ModelFolder {
    /// Reads the files. Blocks; call it off the async threads.
    ///
    /// # Errors
    /// Names the first file that is missing or wrong. Only `tokenizer.json`, or `tokenizer.model` in its
    /// place, must be there.
    pub(crate) fn read(files: &TextFiles) -> Result<Self, TextError> {
        let FolderTokenizer {
            tokenizer,
            file,
            symbols,
            bos,
            eos,
        } = FolderTokenizer::read(files)?;
        let config: TokenizerConfig = files.json(CONFIG)?.unwrap_or_default();
        let bos_token = config.bos_token.map(TokenForm::into_text).or(bos);
        let add_bos_token = config.add_bos_token.unwrap_or(false);
        let eos_token = config.eos_token.map(TokenForm::into_text).or(eos);
        let mut stop_tokens = read_stop_ids(files)?;
        if let Some(token) = &eos_token {
            let unknown = || TextError::UnknownToken {
                file: files.path(CONFIG),
                token: token.clone(),
            };
            stop_tokens.push(tokenizer.token_to_id(token).ok_or_else(unknown)?);
        }
        stop_tokens.extend(turn_ends(files, &tokenizer)?);
        stop_tokens.sort_unstable();
        stop_tokens.dedup();
        let templates = read_templates(files, config.chat_template)?;
        Ok(Self {
            tokenizer,
            file,
            symbols,
            bos_token,
            add_bos_token,
            eos_token,
            templates,
            stop_tokens,
        })
    }
}

#[derive(Deserialize, Default)]
struct TokenizerConfig {
    bos_token: Option<TokenForm>,
    add_bos_token: Option<bool>,
    eos_token: Option<TokenForm>,
    chat_template: Option<TemplateForm>,
}

/// A token is written as its spelling, or as an object that holds it.
#[derive(Deserialize)]
#[serde(untagged)]
enum TokenForm {
    Text(String),
    Object { content: String },
}

impl TokenForm {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) | Self::Object { content: text } => text,
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TemplateForm {
    One(String),
    Named(Vec<NamedTemplate>),
}

#[derive(Deserialize)]
struct NamedTemplate {
    name: String,
    template: String,
}

/// `generation_config.json`, and the fields that stand for it in `config.json`.
#[derive(Deserialize, Default)]
struct StopConfig {
    eos_token_id: Option<StopIds>,
    text_config: Option<Box<StopConfig>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum StopIds {
    One(u32),
    Several(Vec<u32>),
}

impl StopConfig {
    fn ids(self) -> Option<Vec<u32>> {
        match self.eos_token_id {
            Some(StopIds::One(id)) => Some(vec![id]),
            Some(StopIds::Several(ids)) => Some(ids),
            None => self.text_config?.ids(),
        }
    }
}

/// A tokenizer, and what its own file says besides.
struct FolderTokenizer {
    tokenizer: Tokenizer,
    file: PathBuf,
    symbols: Vec<String>,
    /// What begins and what ends a text, where only this file may say so.
    bos: Option<String>,
    eos: Option<String>,
}

impl FolderTokenizer {
    fn read(files: &TextFiles) -> Result<Self, TextError> {
        let file = files.path(TOKENIZER);
        if let Some(form) = files.bytes(TOKENIZER)? {
            return Ok(Self {
                tokenizer: plain_tokenizer(&file, &form)?,
                file,
                symbols: Vec::new(),
                bos: None,
                eos: None,
            });
        }
        let model = files.bytes(pieces::PIECES)?.ok_or(TextError::Missing { file })?;
        let made = pieces::tokenizer(files, &model)?;
        let file = files.path(pieces::PIECES);
        Ok(Self {
            tokenizer: plain_tokenizer(&file, made.tokenizer.to_string().as_bytes())?,
            file,
            symbols: made.symbols,
            bos: made.bos,
            eos: made.eos,
        })
    }
}

/// Reads `tokenizer.json`, with truncation and padding switched off.
///
/// # Errors
/// When it is missing or wrong.
pub(crate) fn read_tokenizer(files: &TextFiles) -> Result<Tokenizer, TextError> {
    let file = files.path(TOKENIZER);
    match files.bytes(TOKENIZER)? {
        Some(form) => plain_tokenizer(&file, &form),
        None => Err(TextError::Missing { file }),
    }
}

fn plain_tokenizer(file: &Path, form: &[u8]) -> Result<Tokenizer, TextError> {
    let invalid = |source| TextError::Tokenizer {
        file: file.to_owned(),
        source,
    };
    let mut tokenizer = Tokenizer::from_bytes(form).map_err(invalid)?;
    // Left over from training in some files; they would silently cut or lengthen prompts.
    tokenizer.with_truncation(None).map_err(invalid)?;
    tokenizer.with_padding(None);
    Ok(tokenizer)
}

/// The field of `config.json` that says whose code knows the tokens.
#[derive(Deserialize, Default)]
struct ModelType {
    model_type: Option<String>,
}

impl ModelType {
    fn read(files: &TextFiles) -> Result<Self, TextError> {
        Ok(files.json("config.json")?.unwrap_or_default())
    }

    fn is_chat_glm(&self) -> bool {
        self.model_type.as_deref() == Some("chatglm")
    }
}

/// The tokens that end a turn in families whose own code knows them and whose files do not name them:
/// `ChatGLM3`'s name the end of a text alone.
fn turn_ends(files: &TextFiles, tokenizer: &Tokenizer) -> Result<Vec<u32>, TextError> {
    if !ModelType::read(files)?.is_chat_glm() {
        return Ok(Vec::new());
    }
    let added = tokenizer.get_added_tokens_decoder();
    let ends = added
        .iter()
        .filter(|(_, token)| matches!(token.content.as_str(), "<|user|>" | "<|observation|>"));
    Ok(ends.map(|(id, _)| *id).collect())
}

fn read_stop_ids(files: &TextFiles) -> Result<Vec<u32>, TextError> {
    let generation: StopConfig = files.json("generation_config.json")?.unwrap_or_default();
    if let Some(ids) = generation.ids() {
        return Ok(ids);
    }
    let model: StopConfig = files.json("config.json")?.unwrap_or_default();
    Ok(model.ids().unwrap_or_default())
}

/// `chat_template.jinja` goes before the field of `tokenizer_config.json`, and that before
/// `chat_template.json`, as in the transformers library.
fn read_templates(
    files: &TextFiles,
    configured: Option<TemplateForm>,
) -> Result<Vec<TemplateSource>, TextError> {
    #[derive(Deserialize)]
    struct TemplateFile {
        chat_template: TemplateForm,
    }
    let name = "chat_template.jinja";
    if let Some(source) = files.text(name)? {
        return Ok(vec![TemplateSource {
            name: "default".to_owned(),
            source,
            file: files.path(name),
        }]);
    }
    if let Some(form) = configured {
        return Ok(template_sources(form, &files.path(CONFIG)));
    }
    let name = "chat_template.json";
    let form: Option<TemplateFile> = files.json(name)?;
    Ok(form
        .map(|form| template_sources(form.chat_template, &files.path(name)))
        .unwrap_or_default())
}

fn template_sources(form: TemplateForm, file: &Path) -> Vec<TemplateSource> {
    let source = |name: String, source| TemplateSource {
        name,
        source,
        file: file.to_owned(),
    };
    match form {
        TemplateForm::One(text) => vec![source("default".to_owned(), text)],
        TemplateForm::Named(list) => list
            .into_iter()
            .map(|entry| source(entry.name, entry.template))
            .collect(),
    }
}
