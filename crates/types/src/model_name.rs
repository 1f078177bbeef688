//! The name by which clients call a model, such as `Qwen/Qwen2.5-7B-Instruct`.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A catalogue name: 1 to 256 visible ASCII characters without spaces.
///
/// Cheap to clone: it is a shared string.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelName(Arc<str>);

/// The text is not usable as a model name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("model name {0:?} must have 1 to 256 visible ASCII characters and no spaces")]
pub struct InvalidModelName(String);

impl ModelName {
    /// Checks and wraps a name.
    ///
    /// # Errors
    /// When the text is empty, longer than 256 bytes, or has a character that is not visible ASCII.
    pub fn new(text: &str) -> Result<Self, InvalidModelName> {
        if is_valid(text) {
            Ok(Self(Arc::from(text)))
        } else {
            Err(InvalidModelName(text.chars().take(64).collect()))
        }
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Lets maps keyed by `ModelName` be searched with the text of a request.
impl std::borrow::Borrow<str> for ModelName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

fn is_valid(text: &str) -> bool {
    !text.is_empty() && text.len() <= 256 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

impl fmt::Display for ModelName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<String> for ModelName {
    type Error = InvalidModelName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}

impl From<ModelName> for String {
    fn from(name: ModelName) -> Self {
        name.0.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn catalogue_names_are_accepted() {
        for name in [
            "Qwen/Qwen2.5-7B-Instruct",
            "Pro/BAAI/bge-m3",
            "ft:LoRA/a/b:c:d:e-ckpt_step_68",
        ] {
            assert_eq!(ModelName::new(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn empty_spaced_and_overlong_names_are_refused() {
        for name in ["", "a b", "模型", &"x".repeat(257)] {
            assert!(ModelName::new(name).is_err(), "{name:?}");
        }
    }
}
