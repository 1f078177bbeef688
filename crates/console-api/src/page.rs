//! Pages of a list: `?cursor=&limit=` in, `{data,next_cursor}` out.

use std::str::FromStr;

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::Serialize;
use silica_api::Failure;
use silica_platform::Page;
use silica_protocol::ApiError;

const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1000;

/// Which part of a list is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PageQuery {
    /// Where the page before ended, as its `next_cursor` said.
    pub(crate) cursor: Option<String>,
    /// The most rows; 1 to 1,000.
    pub(crate) limit: u32,
}

impl PageQuery {
    fn parse(query: &str) -> Result<Self, ApiError> {
        let mut page = Self {
            cursor: None,
            limit: DEFAULT_LIMIT,
        };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "cursor" if !value.is_empty() => page.cursor = Some(value.into_owned()),
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
                    page.limit = limit.ok_or_else(|| {
                        ApiError::invalid(format!("limit: must be an integer from 1 to {MAX_LIMIT}"))
                    })?;
                }
                // Caches and proxies add parameters of their own.
                _ => {}
            }
        }
        Ok(page)
    }

    /// Reads the cursor as what orders the list.
    pub(crate) fn cursor<T: FromStr>(&self) -> Result<Option<T>, ApiError> {
        self.cursor
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(|_| unknown_cursor())
    }

    /// Cuts the page out of a list that is in memory as a whole, sorted by what `cursor` makes of a
    /// row. The row where the page before ended need not exist any more.
    pub(crate) fn cut<'list, T, C: Ord + FromStr>(
        &self,
        list: &'list [T],
        cursor: impl Fn(&T) -> C,
    ) -> Result<Page<&'list T, C>, ApiError> {
        let start = match self.cursor::<C>()? {
            Some(last) => list.partition_point(|row| cursor(row) <= last),
            None => 0,
        };
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let rows: Vec<&T> = list.iter().skip(start).take(limit).collect();
        let more = list.len() > start + rows.len();
        let next = rows.last().filter(|_| more).map(|row| cursor(row));
        Ok(Page { rows, next })
    }
}

fn unknown_cursor() -> ApiError {
    ApiError::invalid("cursor: not a cursor of this list; take it from next_cursor")
}

impl<S: Send + Sync> FromRequestParts<S> for PageQuery {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Failure> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default())?)
    }
}

/// A page on the wire.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct List<T> {
    /// The rows.
    data: Vec<T>,
    /// Pass it as `cursor` for the next page; `null` at the end.
    next_cursor: Option<String>,
}

impl<T> List<T> {
    /// Writes a page of the domain.
    pub(crate) fn new<R, C: ToString>(page: Page<R, C>, view: impl Fn(&R) -> T) -> Self {
        Self::of(Page {
            rows: page.rows.iter().map(view).collect(),
            next: page.next,
        })
    }

    /// Writes a page of views.
    pub(crate) fn of<C: ToString>(page: Page<T, C>) -> Self {
        Self {
            data: page.rows,
            next_cursor: page.next.map(|cursor| cursor.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_out_of_range_are_refused() {
        for query in ["limit=0", "limit=1001", "limit=-1", "limit=ten", "limit="] {
            assert!(PageQuery::parse(query).is_err(), "{query}");
        }
        assert_eq!(
            PageQuery::parse("limit=1000&cursor=&x=1").unwrap(),
            PageQuery {
                cursor: None,
                limit: 1000
            }
        );
    }

    #[test]
    fn cuts_cover_a_list_once_while_rows_go_away() {
        let list = [10, 20, 30, 40, 50];
        let mut query = PageQuery {
            cursor: None,
            limit: 2,
        };
        let mut seen = Vec::new();
        let mut left = list.to_vec();
        loop {
            let page = query.cut(&left, |row| *row).unwrap();
            seen.extend(page.rows.into_iter().copied());
            query.cursor = page.next.map(|cursor| cursor.to_string());
            let Some(cursor) = &query.cursor else {
                break;
            };
            left.retain(|row| row.to_string() != *cursor);
        }
        assert_eq!(seen, list);
        query.cursor = Some("z".to_owned());
        assert!(query.cut(&list, |row| *row).is_err());
    }
}
