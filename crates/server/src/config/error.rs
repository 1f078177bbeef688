//! What can be wrong with a configuration, always with the place to mend it.

use std::io;
use std::path::PathBuf;

/// Why the configuration was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    Unreadable {
        /// The file as it was named.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file has an unknown key, a value of the wrong type, or is no TOML.
    #[error("{}:{line}: {}{message}", path.display(), name(key))]
    File {
        /// The file as it was named.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Section and key; empty when the fault lies in no key.
        key: String,
        /// What is wrong.
        message: String,
    },
    /// A variable names an unknown key or has a value of the wrong type.
    #[error("environment variable {variable}: {message}")]
    Variable {
        /// The variable.
        variable: String,
        /// What is wrong.
        message: String,
    },
    /// A value given on the command line, or a pair of values, is not usable.
    #[error("{key}: {message}")]
    Value {
        /// Section and key.
        key: &'static str,
        /// What is wrong.
        message: String,
    },
}

fn name(key: &str) -> String {
    if key.is_empty() {
        String::new()
    } else {
        format!("key `{key}`: ")
    }
}
