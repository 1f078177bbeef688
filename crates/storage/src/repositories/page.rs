//! Parts of a list: pages, and what changed.

use crate::StorageError;

/// A changed row with the number of its last change, or the one that cannot be read.
pub type Changed<T, I> = Result<(i64, T), UnreadableRow<I>>;

/// A changed row of which only the id and the number of its last change can be read.
#[derive(Debug)]
pub struct UnreadableRow<I> {
    /// The row's id.
    pub id: I,
    /// The number of its last change.
    pub revision: i64,
    /// Why the rest cannot be read.
    pub source: StorageError,
}

/// Wraps what reading a changed row gave, so that one that cannot be read does not hide the others.
pub(crate) fn changed<T, I>(id: I, revision: i64, read: Result<T, StorageError>) -> Changed<T, I> {
    match read {
        Ok(row) => Ok((revision, row)),
        Err(source) => Err(UnreadableRow { id, revision, source }),
    }
}

/// A part of a list, with the place where the next one begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, C> {
    /// The rows, in the order of their ids.
    pub rows: Vec<T>,
    /// The cursor for the next page; `None` at the end of the list.
    pub next: Option<C>,
}

impl<T, C> Page<T, C> {
    /// Makes a page of `limit` rows from the `limit + 1` that were asked for.
    pub(crate) fn cut(mut rows: Vec<T>, limit: u32, cursor: impl Fn(&T) -> C) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = if more { rows.last().map(cursor) } else { None };
        Self { rows, next }
    }
}
