//! The files by which sentence-transformers knows how a model is used: `modules.json` and what it names.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::LoadError;
use crate::text::config::read_file;

/// The list of a model's modules.
const MODULES: &str = "modules.json";
/// The file that names the longest text, beside the model's own limit.
const LIMITS: &str = "sentence_bert_config.json";

/// What becomes of the last layer's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pooling {
    /// The first token's row.
    First,
    /// The mean of all rows.
    Mean,
    /// The last token's row.
    Last,
}

/// How vectors are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Modules {
    pub(super) pooling: Pooling,
    /// Whether vectors are made to have length 1.
    pub(super) normalises: bool,
    /// Whether the model's next token is the answer, and not its last layer.
    pub(super) judges: bool,
}

#[derive(Deserialize)]
struct Module {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

/// `1_Pooling/config.json`, in its older and its newer spelling.
#[expect(
    clippy::struct_excessive_bools,
    clippy::struct_field_names,
    reason = "the fields are the file's"
)]
#[derive(Deserialize, Default)]
#[serde(default)]
struct PoolingFile {
    pooling_mode: Option<String>,
    pooling_mode_cls_token: bool,
    pooling_mode_mean_tokens: bool,
    pooling_mode_max_tokens: bool,
    pooling_mode_mean_sqrt_len_tokens: bool,
    pooling_mode_weightedmean_tokens: bool,
    pooling_mode_lasttoken: bool,
}

impl Modules {
    /// Reads a folder's; `None` when it has none.
    ///
    /// # Errors
    /// Names the file that is missing or malformed, or the module that this engine does not compute.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, LoadError> {
        let path = folder.join(MODULES);
        if !path.is_file() {
            return Ok(None);
        }
        let listed: Vec<Module> = json(path.clone())?;
        let mut modules = Self {
            pooling: Pooling::Mean,
            normalises: false,
            judges: false,
        };
        for module in listed {
            match module.kind.rsplit('.').next().unwrap_or_default() {
                "Transformer" => {}
                "Pooling" => modules.pooling = pooling(folder, &path, &module.path)?,
                "Normalize" => modules.normalises = true,
                "LogitScore" => modules.judges = true,
                _ => {
                    return Err(LoadError::Unsupported {
                        path,
                        field: "type",
                        value: module.kind,
                        expected: "Transformer, Pooling, Normalize or LogitScore",
                    });
                }
            }
        }
        Ok(Some(modules))
    }
}

/// The longest text that a folder names for its model, in tokens; `None` when it names none.
///
/// # Errors
/// Names the file when it is malformed.
pub(crate) fn longest_text(folder: &Path) -> Result<Option<u32>, LoadError> {
    #[derive(Deserialize)]
    struct Limits {
        max_seq_length: Option<u32>,
    }
    let path = folder.join(LIMITS);
    if !path.is_file() {
        return Ok(None);
    }
    Ok(json::<Limits>(path)?.max_seq_length)
}

fn pooling(folder: &Path, modules: &Path, place: &str) -> Result<Pooling, LoadError> {
    // The name comes from outside, and must not lead out of the folder.
    let is_plain = Path::new(place).file_name().is_some_and(|name| name == place);
    if !is_plain {
        return Err(LoadError::InvalidConfig {
            path: modules.to_owned(),
            field: "path",
            problem: format!("({place:?}) must be the name of a folder beside the file"),
        });
    }
    let path = folder.join(place).join("config.json");
    let file: PoolingFile = json(path.clone())?;
    let listed = [
        ("cls", file.pooling_mode_cls_token),
        ("mean", file.pooling_mode_mean_tokens),
        ("lasttoken", file.pooling_mode_lasttoken),
        ("max", file.pooling_mode_max_tokens),
        ("mean_sqrt_len_tokens", file.pooling_mode_mean_sqrt_len_tokens),
        ("weightedmean", file.pooling_mode_weightedmean_tokens),
    ];
    let listed: Vec<&str> = listed
        .iter()
        .filter(|(_, is_on)| *is_on)
        .map(|(mode, _)| *mode)
        .collect();
    let mode = file.pooling_mode.unwrap_or_else(|| listed.join("+"));
    match mode.as_str() {
        "cls" => Ok(Pooling::First),
        "mean" => Ok(Pooling::Mean),
        "lasttoken" => Ok(Pooling::Last),
        _ => Err(LoadError::Unsupported {
            path,
            field: "pooling_mode",
            value: mode,
            expected: "cls, mean or lasttoken",
        }),
    }
}

fn json<T: DeserializeOwned>(path: PathBuf) -> Result<T, LoadError> {
    serde_json::from_slice(&read_file(&path)?).map_err(|source| LoadError::Json { path, source })
}
