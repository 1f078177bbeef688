//! What the checks of every `config.json` have in common, whatever kind of model it is of.

use std::path::PathBuf;

use crate::LoadError;

/// The largest size that any dimension may have; far above real models, far below overflow.
const MAX_DIMENSION: usize = 1 << 24;

/// Turns a raw file into checked numbers; holds the path for the errors.
pub(crate) struct Checker<R> {
    pub(crate) path: PathBuf,
    pub(crate) raw: R,
}

impl<R> Checker<R> {
    pub(crate) fn size(&self, field: &'static str, value: usize) -> Result<usize, LoadError> {
        if (1..=MAX_DIMENSION).contains(&value) {
            Ok(value)
        } else {
            Err(self.invalid(field, format!("({value}) must be between 1 and {MAX_DIMENSION}")))
        }
    }

    pub(crate) fn invalid(&self, field: &'static str, problem: String) -> LoadError {
        LoadError::InvalidConfig {
            path: self.path.clone(),
            field,
            problem,
        }
    }

    pub(crate) fn unsupported(
        &self,
        field: &'static str,
        value: String,
        expected: &'static str,
    ) -> LoadError {
        LoadError::Unsupported {
            path: self.path.clone(),
            field,
            value,
            expected,
        }
    }
}
