//! Amounts of money: decimal strings are written, strings and plain numbers are read by their digits.

use std::str::FromStr;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use silica_types::Money;

/// An amount that must be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MoneyBody(pub(crate) Money);

impl<'de> Deserialize<'de> for MoneyBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        decimal(deserializer)?
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom("must be an amount of money, not null"))
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_taken_as_they_stand() {
        for (json, nano) in [
            ("\"12.50\"", 12_500_000_000),
            ("12.5", 12_500_000_000),
            ("0.000000001", 1),
            ("999999999.999999999", 999_999_999_999_999_999),
            ("-3", -3_000_000_000),
        ] {
            let read: MoneyBody = serde_json::from_str(json).unwrap();
            assert_eq!(read.0.nano(), nano, "{json}");
        }
    }

    #[test]
    fn what_digits_cannot_say_exactly_is_refused() {
        for json in [
            "1e3",
            "1E-3",
            "0.0000000001",
            "1000000000",
            "null",
            "true",
            "{}",
            "[1]",
            "\"\"",
            "\"1,5\"",
            "\"0x1\"",
            "\"\\u0031\"",
            "\"NaN\"",
        ] {
            assert!(serde_json::from_str::<MoneyBody>(json).is_err(), "{json}");
        }
    }
}
