//! Prices: exact decimals in CNY, kept as text in the database and on the wire.

mod cost;
mod schedule;
mod wide;

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use cost::{CostOverflow, PriceLine};
pub use schedule::{PriceEntry, PriceSchedule};

/// An amount of CNY per unit: an exact decimal, zero or more, with the digits as they were given
/// (`0.70` stays `0.70`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PriceAmount(Decimal);

/// The text is not a price.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a price: write a decimal of zero or more with at most 28 digits, such as \"0.70\"")]
pub struct InvalidPriceAmount(String);

impl PriceAmount {
    /// Returns the amount as a decimal.
    pub const fn get(self) -> Decimal {
        self.0
    }
}

impl FromStr for PriceAmount {
    type Err = InvalidPriceAmount;

    /// Parses plain digits with at most one point; no sign, exponent or blank.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidPriceAmount(text.chars().take(64).collect());
        let plain = text.starts_with(|first: char| first.is_ascii_digit())
            && text.ends_with(|last: char| last.is_ascii_digit())
            && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        if !plain {
            return Err(invalid());
        }
        // `from_str_exact` refuses what does not fit; the plain `from_str` would round.
        Decimal::from_str_exact(text).map(Self).map_err(|_| invalid())
    }
}

impl fmt::Display for PriceAmount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Serialize for PriceAmount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PriceAmount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// What a model costs, by unit. An absent unit is not charged; a price without any unit is free.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// For a million input tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<PriceAmount>,
    /// For a million output tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<PriceAmount>,
    /// For a million input tokens that were found in the cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input: Option<PriceAmount>,
    /// For a megapixel and an inference step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_mpx_step: Option<PriceAmount>,
    /// For an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_image: Option<PriceAmount>,
    /// For a video.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_video: Option<PriceAmount>,
    /// For a million UTF-8 bytes of input text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_m_bytes: Option<PriceAmount>,
    /// For a million input tokens of a batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_input: Option<PriceAmount>,
    /// For a million output tokens of a batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_output: Option<PriceAmount>,
    /// For a million tokens of training data, times the epochs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<PriceAmount>,
    /// For a second of audio or video.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_second: Option<PriceAmount>,
}
