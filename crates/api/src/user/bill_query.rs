//! Which bill is asked for, and in which format.

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, header};
use jiff::civil::Date;
use silica_platform::{BillGrouping, BillRange};
use silica_protocol::ApiError;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{KnownFormat, ObjectBuilder, Required, SchemaFormat, Type};

use crate::Failure;

/// The query of a bill: `?month=2025-02` or `?from=2025-02-01&to=2025-02-13`, `&group_by=model`,
/// `&format=csv`. Without days, the current month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BillQuery {
    days: Days,
    /// What the rows stand for; days when the query does not say.
    pub grouping: BillGrouping,
    /// How the bill is written.
    pub format: BillFormat,
}

/// How a bill is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BillFormat {
    /// As JSON.
    Json,
    /// As CSV (RFC 4180), one line a row.
    Csv,
}

/// The days as the query names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Days {
    ThisMonth,
    MonthOf(Date),
    From { first: Date, last: Option<Date> },
}

impl BillQuery {
    /// The days of the bill, when it is `today`.
    ///
    /// # Errors
    /// When they are in the wrong order or too many.
    pub fn range(&self, today: Date) -> Result<BillRange, ApiError> {
        let invalid = |error: silica_platform::PlatformError| ApiError::invalid(error.to_string());
        match self.days {
            Days::ThisMonth => Ok(BillRange::month_of(today)),
            Days::MonthOf(day) => Ok(BillRange::month_of(day)),
            Days::From { first, last } => BillRange::days(first, last.unwrap_or(today)).map_err(invalid),
        }
    }

    fn parse(query: &str, headers: &HeaderMap) -> Result<Self, ApiError> {
        let (mut month, mut first, mut last) = (None, None, None);
        let mut grouping = BillGrouping::Day;
        let mut format = accepted(headers);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "month" => month = Some(read_month(&value)?),
                "from" => first = Some(read_day("from", &value)?),
                "to" => last = Some(read_day("to", &value)?),
                "group_by" => {
                    grouping = value
                        .parse()
                        .map_err(|error| ApiError::invalid(format!("group_by: {error}")))?;
                }
                "format" => format = read_format(&value)?,
                // Caches and proxies add parameters of their own.
                _ => {}
            }
        }
        let days = match (month, first, last) {
            (None, None, None) => Days::ThisMonth,
            (Some(day), None, None) => Days::MonthOf(day),
            (None, Some(first), last) => Days::From { first, last },
            (None, None, Some(_)) => return Err(ApiError::invalid("to: needs from beside it")),
            (Some(_), ..) => return Err(ApiError::invalid("month: cannot stand beside from and to")),
        };
        Ok(Self {
            days,
            grouping,
            format,
        })
    }
}

/// CSV only when it is named before JSON and is not merely covered by a wildcard.
fn accepted(headers: &HeaderMap) -> BillFormat {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let mut kinds = accept
        .unwrap_or_default()
        .split(',')
        .map(|range| range.split(';').next().unwrap_or_default().trim());
    let first = kinds
        .find(|kind| kind.eq_ignore_ascii_case("text/csv") || kind.eq_ignore_ascii_case("application/json"));
    match first {
        Some(kind) if kind.eq_ignore_ascii_case("text/csv") => BillFormat::Csv,
        Some(_) | None => BillFormat::Json,
    }
}

fn read_format(text: &str) -> Result<BillFormat, ApiError> {
    match text {
        "json" => Ok(BillFormat::Json),
        "csv" => Ok(BillFormat::Csv),
        _ => Err(ApiError::invalid("format: must be json or csv")),
    }
}

/// Reads `2025-02` as its first day.
fn read_month(text: &str) -> Result<Date, ApiError> {
    let whole = (text.len() == "2025-02".len()).then(|| format!("{text}-01"));
    whole
        .and_then(|day| plain_date(&day))
        .ok_or_else(|| ApiError::invalid("month: not a month; write it as 2025-02"))
}

fn read_day(name: &str, text: &str) -> Result<Date, ApiError> {
    plain_date(text)
        .ok_or_else(|| ApiError::invalid(format!("{name}: not a calendar day; write it as 2025-02-13")))
}

/// Takes `yyyy-mm-dd` and none of the other forms of ISO 8601.
fn plain_date(text: &str) -> Option<Date> {
    let date: Date = text.parse().ok()?;
    (date.to_string() == text).then_some(date)
}

impl<S: Send + Sync> FromRequestParts<S> for BillQuery {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Failure> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self::parse(query, &parts.headers)?)
    }
}

/// Written by hand: the fields are not what the query's parameters are.
impl IntoParams for BillQuery {
    fn into_params(_parameter_in: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let parameter = |name: &str, schema: ObjectBuilder, description: &str| {
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Query)
                .required(Required::False)
                .description(Some(description))
                .schema(Some(schema))
                .build()
        };
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let day = || text().format(Some(SchemaFormat::KnownFormat(KnownFormat::Date)));
        let groupings = BillGrouping::ALL.iter().map(|grouping| grouping.as_str());
        vec![
            parameter(
                "month",
                text(),
                "A month, such as 2025-02; the current one when no days are given",
            ),
            parameter("from", day(), "The first day, instead of a month"),
            parameter("to", day(), "The last day, beside from; today when absent"),
            parameter(
                "group_by",
                text().enum_values(Some(groupings)),
                "What the rows stand for; day when absent",
            ),
            parameter(
                "format",
                text().enum_values(Some(["json", "csv"])),
                "json or csv; when absent, csv for Accept: text/csv, else json",
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn parse(query: &str) -> Result<BillQuery, String> {
        BillQuery::parse(query, &HeaderMap::new()).map_err(|error| error.message.into_owned())
    }

    fn days(query: &str) -> Result<String, String> {
        let today = "2025-02-13".parse().unwrap();
        let range = parse(query)?
            .range(today)
            .map_err(|error| error.message.into_owned())?;
        Ok(format!("{} {}", range.first(), range.last()))
    }

    #[test]
    fn days_are_a_month_or_a_range_or_the_current_month() {
        for (query, expected) in [
            ("", "2025-02-01 2025-02-28"),
            ("month=2024-02", "2024-02-01 2024-02-29"),
            ("from=2024-12-31&to=2025-01-02", "2024-12-31 2025-01-02"),
            ("from=2025-02-13", "2025-02-13 2025-02-13"),
            ("_=1&group_by=model", "2025-02-01 2025-02-28"),
        ] {
            assert_eq!(days(query).as_deref(), Ok(expected), "{query}");
        }
    }

    #[test]
    fn unusable_queries_are_refused_by_name() {
        for (query, name) in [
            ("month=2025-13", "month"),
            ("month=2025-2", "month"),
            ("month=", "month"),
            ("month=%2B2025-0", "month"),
            ("from=2025-02-30", "from"),
            ("from=20250201", "from"),
            ("from=-000001-01-01", "from"),
            ("from=2025-02-01T00:00:00Z", "from"),
            ("to=2025-02-01", "to"),
            ("month=2025-02&from=2025-02-01", "month"),
            ("from=2025-02-02&to=2025-02-01", "to"),
            ("from=2025-02-14", "to"),
            ("from=2020-01-01", "from"),
            ("group_by=week", "group_by"),
            ("format=xml", "format"),
        ] {
            let refusal = days(query).unwrap_err();
            assert!(refusal.starts_with(name), "{query}: {refusal}");
        }
    }

    #[test]
    fn csv_is_written_when_it_is_asked_for() {
        for (accept, expected) in [
            ("text/csv", BillFormat::Csv),
            ("text/html, Text/CSV;q=0.9, */*", BillFormat::Csv),
            ("application/json, text/csv", BillFormat::Json),
            ("*/*", BillFormat::Json),
            ("text/*", BillFormat::Json),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(
                BillQuery::parse("", &headers).unwrap().format,
                expected,
                "{accept}"
            );
            assert_eq!(
                BillQuery::parse("format=json", &headers).unwrap().format,
                BillFormat::Json
            );
        }
        assert_eq!(parse("format=csv").unwrap().format, BillFormat::Csv);
    }
}
