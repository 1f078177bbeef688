//! Column values to fields and back, with errors that name the column and the row.

use std::error::Error;

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::StorageError;

/// Sizes of the parts of a long list, one statement each. Few sizes mean few statements to prepare
/// and to keep; 256 rows of the widest table have 4,864 values, and SQLite takes 32,766.
const PARTS: [usize; 5] = [256, 64, 16, 4, 1];

/// Cuts a list into parts of few sizes, the large ones first.
pub(super) fn parts<T>(mut list: &[T]) -> impl Iterator<Item = &[T]> {
    sizes(list.len()).map(move |size| {
        let (part, rest) = list.split_at(size);
        list = rest;
        part
    })
}

/// The sizes of the [`parts`] of a list, for lists whose elements are to be moved.
pub(super) fn sizes(mut length: usize) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let size = PARTS.into_iter().find(|size| *size <= length)?;
        length -= size;
        Some(size)
    })
}

/// Names the table and the row whose columns are read.
pub(super) struct Row<'row> {
    pub(super) table: &'static str,
    pub(super) id: &'row dyn std::fmt::Display,
}

impl Row<'_> {
    /// Reads a text that stands for a value of an enum or a checked name.
    pub(super) fn parse<T>(&self, column: &'static str, text: &str) -> Result<T, StorageError>
    where
        T: std::str::FromStr<Err: Error + Send + Sync + 'static>,
    {
        text.parse().map_err(|error| self.invalid(column, error))
    }

    /// Reads JSON text.
    pub(super) fn json<T: DeserializeOwned>(
        &self,
        column: &'static str,
        text: &str,
    ) -> Result<T, StorageError> {
        serde_json::from_str(text).map_err(|error| self.invalid(column, error))
    }

    /// Reads microseconds since 1970.
    pub(super) fn time(&self, column: &'static str, microseconds: i64) -> Result<Timestamp, StorageError> {
        Timestamp::from_microsecond(microseconds).map_err(|error| self.invalid(column, error))
    }

    /// Blames a column.
    pub(super) fn invalid(
        &self,
        column: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> StorageError {
        StorageError::InvalidData {
            table: self.table,
            column: column.to_owned(),
            row: self.id.to_string(),
            source: source.into(),
        }
    }

    /// Writes a value as JSON text.
    pub(super) fn to_json<T: Serialize + ?Sized>(
        &self,
        column: &'static str,
        value: &T,
    ) -> Result<String, StorageError> {
        serde_json::to_string(value).map_err(|error| self.invalid(column, error))
    }

    /// Checks that a change met exactly one row.
    pub(super) fn must_be_one(&self, rows_affected: u64) -> Result<(), StorageError> {
        if rows_affected == 1 {
            return Ok(());
        }
        Err(StorageError::MissingRow {
            table: self.table,
            row: self.id.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_the_list_in_few_sizes() {
        for length in [0, 1, 3, 5, 255, 256, 500, 1000] {
            let list: Vec<usize> = (0..length).collect();
            let cut: Vec<&[usize]> = parts(&list).collect();
            assert_eq!(cut.concat(), list);
            assert!(cut.iter().all(|part| PARTS.contains(&part.len())), "{length}");
            assert!(cut.len() <= length / 256 + 12, "{length} has {} parts", cut.len());
        }
    }
}
