//! Where a model comes from, as a person writes it.

use std::path::{Path, PathBuf};

use crate::{InvalidModelId, ModelId};

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A repository of the hub, such as `Qwen/Qwen2.5-0.5B-Instruct`.
    Hub(ModelId),
    /// A model folder on this machine.
    Folder(PathBuf),
    /// A GGUF file on this machine.
    Gguf(PathBuf),
}

/// The text names neither a repository nor anything on this machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSource {
    /// It looks like a path, and nothing is there.
    #[error("{0} does not exist")]
    Nowhere(String),
    /// A file of another kind.
    #[error(
        "{0} is a file, but no .gguf; a model is a folder, a .gguf file or the name of a hub's repository"
    )]
    OtherFile(String),
    /// It looks like a repository's name and is none.
    #[error(transparent)]
    Name(#[from] InvalidModelId),
}

impl Source {
    /// Reads a text: what is there on this machine is meant, else a repository of the hub.
    ///
    /// # Errors
    /// When it can be neither.
    pub fn parse(text: &str) -> Result<Self, InvalidSource> {
        let path = Path::new(text);
        if path.is_dir() {
            return Ok(Self::Folder(path.to_owned()));
        }
        let is_gguf = path
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
        if path.is_file() {
            return if is_gguf {
                Ok(Self::Gguf(path.to_owned()))
            } else {
                Err(InvalidSource::OtherFile(text.to_owned()))
            };
        }
        if is_gguf || text.starts_with(['.', '/', '~']) {
            return Err(InvalidSource::Nowhere(text.to_owned()));
        }
        Ok(Self::Hub(ModelId::new(text)?))
    }

    /// The name that the model gets unless another is given.
    pub fn default_id(&self) -> ModelId {
        let name = |name: Option<&std::ffi::OsStr>| name.unwrap_or_default().to_string_lossy().into_owned();
        match self {
            Self::Hub(id) => id.clone(),
            Self::Folder(path) => {
                // "." and ".." have a name only when they are followed.
                let whole = path.canonicalize().unwrap_or_else(|_| path.clone());
                ModelId::local(&name(whole.file_name()))
            }
            Self::Gguf(path) => ModelId::local(&name(path.file_stem())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_this_machine_goes_before_the_hub() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path();
        std::fs::write(place.join("m.gguf"), "").unwrap();
        std::fs::write(place.join("m.bin"), "").unwrap();
        let of = |name: &str| Source::parse(place.join(name).to_str().unwrap());
        assert_eq!(of("").unwrap(), Source::Folder(place.join("")));
        assert_eq!(of("m.gguf").unwrap(), Source::Gguf(place.join("m.gguf")));
        assert_eq!(of("m.gguf").unwrap().default_id().as_str(), "local/m");
        assert!(matches!(of("m.bin"), Err(InvalidSource::OtherFile(_))));
        for text in ["./nowhere", "/nowhere/at/all", "nowhere.gguf", "~/m"] {
            assert!(
                matches!(Source::parse(text), Err(InvalidSource::Nowhere(_))),
                "{text}"
            );
        }
        let hub = Source::parse("Qwen/Qwen2.5-0.5B-Instruct").unwrap();
        assert_eq!(hub.default_id().as_str(), "Qwen/Qwen2.5-0.5B-Instruct");
        assert!(matches!(
            Source::parse("https://hub.example/a"),
            Err(InvalidSource::Name(_))
        ));
    }
}
