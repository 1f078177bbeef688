//! Names of models in the store.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The longest part of a name, in bytes; hubs allow 96.
const LONGEST_PART: usize = 96;

/// The name of a model in the store, which is also its folder below the store's: one to three parts
/// of letters, digits, `.`, `_` and `-`, with slashes between them, such as
/// `Qwen/Qwen2.5-0.5B-Instruct`. No part begins with a dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelId(String);

/// The text is no name of a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no name of a model; one to three parts of letters, digits, '.', '_' and '-', such as Qwen/Qwen2.5-0.5B-Instruct"
)]
pub struct InvalidModelId(pub(crate) String);

impl ModelId {
    /// Checks and wraps a name.
    ///
    /// # Errors
    /// When it has another form.
    pub fn new(text: &str) -> Result<Self, InvalidModelId> {
        let parts = text.split('/');
        if parts.clone().count() <= 3 && parts.into_iter().all(is_part) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidModelId(text.chars().take(LONGEST_PART).collect()))
        }
    }

    /// Makes a name for a model that came from this machine: `local/` and what is usable of `name`.
    pub fn local(name: &str) -> Self {
        let usable = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let name: String = name.chars().map(|c| if usable(c) { c } else { '-' }).collect();
        let name: String = name.trim_start_matches('.').chars().take(LONGEST_PART).collect();
        let name = if name.is_empty() { "model" } else { &name };
        Self(format!("local/{name}"))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its folder below that of the store.
    pub(crate) fn folder(&self, store: &Path) -> PathBuf {
        store.join(&self.0)
    }

    /// The name as one part of a path.
    pub(crate) fn flat(&self) -> String {
        self.0.replace('/', "--")
    }
}

fn is_part(part: &str) -> bool {
    let usable = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !part.is_empty() && part.len() <= LONGEST_PART && !part.starts_with('.') && part.bytes().all(usable)
}

impl fmt::Display for ModelId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::str::FromStr for ModelId {
    type Err = InvalidModelId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl TryFrom<String> for ModelId {
    type Error = InvalidModelId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}

impl From<ModelId> for String {
    fn from(id: ModelId) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_hubs_are_taken_and_ways_out_of_the_store_are_not() {
        for good in [
            "gpt2",
            "Qwen/Qwen2.5-0.5B-Instruct",
            "Pro/Qwen/Qwen2.5_7B",
            "a--b/c",
        ] {
            assert_eq!(ModelId::new(good).unwrap().as_str(), good);
        }
        let long = "a".repeat(97);
        for bad in [
            "", "/", "a/", "/a", "a//b", "..", "a/..", "../a", ".partial", "a/.b", "a b", "a\\b", "a\0",
            "ü/b", "a/b/c/d", &long,
        ] {
            assert!(ModelId::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn every_name_of_a_folder_gives_a_name() {
        for (name, id) in [
            ("Qwen 2.5", "local/Qwen-2.5"),
            ("..", "local/model"),
            (".hidden", "local/hidden"),
            ("größe", "local/gr--e"),
        ] {
            assert_eq!(ModelId::local(name).as_str(), id);
            assert!(ModelId::new(id).is_ok());
        }
    }
}
