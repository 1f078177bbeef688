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

    /// Reads the cursor of a list that is ordered by ids.
    pub(crate) fn cursor<T: FromStr>(&self) -> Result<Option<T>, ApiError> {
        self.cursor
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(|_| unknown_cursor())
    }

    /// Cuts the page out of a list that is in memory as a whole.
    pub(crate) fn cut<'list, T>(
        &self,
        list: &'list [T],
        id: impl Fn(&T) -> &str,
    ) -> Result<Page<&'list T, String>, ApiError> {
        let start = match &self.cursor {
            Some(cursor) => {
                let position = list.iter().position(|row| id(row) == cursor);
                position.ok_or_else(unknown_cursor)? + 1
            }
            None => 0,
        };
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let rows: Vec<&T> = list.iter().skip(start).take(limit).collect();
        let more = list.len() > start + rows.len();
        let next = rows.last().filter(|_| more).map(|row| id(row).to_owned());
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
        Self {
            data: page.rows.iter().map(view).collect(),
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
    fn cuts_cover_a_list_once() {
        let list = ["a/1", "b/2", "c/3", "d/4", "e/5"];
        let mut query = PageQuery {
            cursor: None,
            limit: 2,
        };
        let mut seen = Vec::new();
        loop {
            let page = query.cut(&list, |id| id).unwrap();
            seen.extend(page.rows.into_iter().copied());
            query.cursor = page.next;
            if query.cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, list);
        query.cursor = Some("z".to_owned());
        assert!(query.cut(&list, |id| id).is_err());
    }
}
