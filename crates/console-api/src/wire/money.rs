//! Amounts of money: decimal strings are written, strings and plain numbers are read by their digits.

use std::str::FromStr;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Reads a decimal as its digits stand in the request, so that a number never passes through a
/// float. `null` and, with `default`, an absent field are `None`.
pub(crate) fn decimal<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr,
    T::Err: std::fmt::Display,
{
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    let text = raw.get();
    if text == "null" {
        return Ok(None);
    }
    let digits = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(text);
    digits.parse().map(Some).map_err(serde::de::Error::custom)
}
