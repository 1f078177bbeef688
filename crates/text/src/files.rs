//! Where the text files of a model come from.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::TextError;

/// The text files of a model: those of a folder, or ones that were made in memory, as for a GGUF
/// file that stands alone.
#[derive(Debug)]
pub struct TextFiles {
    place: PathBuf,
    /// By name; `None` reads them from the folder.
    made: Option<HashMap<String, Vec<u8>>>,
}

impl TextFiles {
    /// Files in memory: names, such as `tokenizer.json`, and contents. Errors call them
    /// `place/name`.
    pub fn made<N: Into<String>>(place: &Path, files: impl IntoIterator<Item = (N, Vec<u8>)>) -> Self {
        let files = files.into_iter().map(|(name, content)| (name.into(), content));
        Self {
            place: place.to_owned(),
            made: Some(files.collect()),
        }
    }

    /// What errors call a file.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }

    /// `None` when the file is not there.
    pub(crate) fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>, TextError> {
        if let Some(made) = &self.made {
            return Ok(made.get(name).cloned());
        }
        let file = self.path(name);
        match std::fs::read(&file) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(TextError::Read { file, source }),
        }
    }

    /// `None` when the file is not there.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, TextError> {
        let Some(bytes) = self.bytes(name)? else {
            return Ok(None);
        };
        let invalid = |error| std::io::Error::new(ErrorKind::InvalidData, error);
        let text = String::from_utf8(bytes).map_err(invalid);
        text.map(Some).map_err(|source| TextError::Read {
            file: self.path(name),
            source,
        })
    }

    /// `None` when the file is not there.
    pub(crate) fn json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, TextError> {
        let Some(bytes) = self.bytes(name)? else {
            return Ok(None);
        };
        let json = |source| TextError::Json {
            file: self.path(name),
            source,
        };
        serde_json::from_slice(&bytes).map(Some).map_err(json)
    }
}

/// The files of a folder.
impl From<&Path> for TextFiles {
    fn from(folder: &Path) -> Self {
        Self {
            place: folder.to_owned(),
            made: None,
        }
    }
}

/// The files of a folder.
impl From<&PathBuf> for TextFiles {
    fn from(folder: &PathBuf) -> Self {
        Self::from(folder.as_path())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use silica_engine::Feature;
    use silica_types::{SystemClock, TokenCount};

    use super::*;
    use crate::folder::ModelFolder;
    use crate::model::TextModel;
    use crate::testing::tiny_chat;

    fn load(files: impl Into<TextFiles>) -> Result<TextModel, TextError> {
        TextModel::load(files, 4096, TokenCount(512), Arc::new(SystemClock))
    }

    fn in_memory(names: &[&str]) -> TextFiles {
        let files = names
            .iter()
            .map(|name| (*name, fs::read(tiny_chat().join(name)).unwrap()));
        TextFiles::made(Path::new("/models/some.gguf"), files)
    }

    #[test]
    fn files_in_memory_are_read_like_those_of_a_folder() {
        let names = [
            "tokenizer.json",
            "tokenizer_config.json",
            "generation_config.json",
        ];
        let (made, folder) = (load(in_memory(&names)).unwrap(), load(&tiny_chat()).unwrap());
        for feature in [
            Feature::Tools,
            Feature::Prefix,
            Feature::FillInMiddle,
            Feature::Thinking,
        ] {
            assert!(made.supports(feature) && folder.supports(feature), "{feature:?}");
        }
        assert!(made.has_stop_tokens());
    }

    #[test]
    fn a_tokenizer_in_a_form_that_is_not_read_is_told_with_the_way_out() {
        let mut files = in_memory(&["tokenizer_config.json"]);
        let made = files.made.as_mut().unwrap();
        made.insert("tokenizer.model".to_owned(), b"IQ== 0\nIg== 1\n".to_vec());
        let refused = load(files).unwrap_err();
        let expected = "/models/some.gguf/tokenizer.model cannot be read; convert it to tokenizer.json";
        assert!(refused.to_string().starts_with(expected), "{refused}");
        let reason = std::error::Error::source(&refused).unwrap().to_string();
        assert!(reason.contains("as tiktoken has it"), "{reason}");
    }

    /// `ChatGLM3`'s files name the end of a text alone, and its code two more.
    #[test]
    fn a_turn_of_chatglm_ends_where_the_next_one_begins() {
        let stops = |model_type: &str| {
            let mut files = in_memory(&["tokenizer.json", "tokenizer_config.json"]);
            let made = files.made.as_mut().unwrap();
            let text = String::from_utf8(made["tokenizer.json"].clone()).unwrap();
            // Any two special tokens that are not asked for elsewhere will do.
            let text = text
                .replace("<|image_pad|>", "<|user|>")
                .replace("<|fim_suffix|>", "<|observation|>");
            made.insert("tokenizer.json".to_owned(), text.into_bytes());
            let config = format!("{{\"model_type\": \"{model_type}\", \"eos_token_id\": 0}}");
            made.insert("config.json".to_owned(), config.into_bytes());
            ModelFolder::read(&files).unwrap().stop_tokens.len()
        };
        assert_eq!(stops("chatglm"), stops("qwen3") + 2);
    }

    #[test]
    fn errors_call_files_in_memory_by_their_place() {
        let refused = load(in_memory(&["tokenizer_config.json"])).unwrap_err();
        assert_eq!(refused.to_string(), "/models/some.gguf/tokenizer.json is missing");
        let mut broken = in_memory(&["tokenizer.json"]);
        let made = broken.made.as_mut().unwrap();
        made.insert("tokenizer_config.json".to_owned(), b"{".to_vec());
        let refused = load(broken).unwrap_err().to_string();
        assert!(
            refused.starts_with("/models/some.gguf/tokenizer_config.json is not valid"),
            "{refused}"
        );
    }
}
