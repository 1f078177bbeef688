//! Money: whole nano-CNY in 64 bits.

use std::fmt;
use std::iter::Sum;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Nano-CNY in one CNY.
const NANO: i64 = 1_000_000_000;
/// Digits after the point.
const DIGITS: usize = 9;

/// An amount of CNY, exact to the nano-CNY, from -9,223,372,036 to 9,223,372,036 CNY.
///
/// On the wire a decimal string with at least two digits after the point (`"0.88"`, `"0.0064"`).
/// No float comes near it, and arithmetic that would overflow says so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Money(i64);

/// The text is not an amount of money.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an amount of money: write a decimal string with at most 9 digits before and 9 after the point, such as \"12.50\""
)]
pub struct InvalidMoney(String);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Makes an amount from nano-CNY.
    pub const fn from_nano(nano: i64) -> Self {
        Self(nano)
    }

    /// Makes an amount from whole CNY; `None` beyond the range.
    pub const fn from_yuan(yuan: i64) -> Option<Self> {
        match yuan.checked_mul(NANO) {
            Some(nano) => Some(Self(nano)),
            None => None,
        }
    }

    /// Returns the amount in nano-CNY.
    pub const fn nano(self) -> i64 {
        self.0
    }

    /// Whether it is less than nothing.
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// Whether it is exactly nothing.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Adds; `None` on overflow.
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(nano) => Some(Self(nano)),
            None => None,
        }
    }

    /// Subtracts; `None` on overflow.
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(nano) => Some(Self(nano)),
            None => None,
        }
    }

    /// Adds, staying at the largest amount instead of overflowing: a sum for display and for
    /// comparison, never what is booked.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Subtracts, staying at the smallest amount instead of overflowing; see
    /// [`Money::saturating_add`].
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

/// Saturates; see [`Money::saturating_add`].
impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Self::saturating_add)
    }
}

impl FromStr for Money {
    type Err = InvalidMoney;

    /// Parses plain digits with at most one point and a leading minus; no plus, exponent or blank.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| InvalidMoney(text.chars().take(64).collect()))
    }
}

fn parse(text: &str) -> Option<Money> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !plain(whole) || !plain(fraction) || whole.len() > DIGITS || fraction.len() > DIGITS {
        return None;
    }
    let nano: i64 = format!("{fraction:0<DIGITS$}").parse().ok()?;
    let amount = whole.parse::<i64>().ok()?.checked_mul(NANO)?.checked_add(nano)?;
    Some(Money(if is_negative { -amount } else { amount }))
}

impl fmt::Display for Money {
    /// Prints at least two and at most nine digits after the point.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let amount = self.0.unsigned_abs();
        let (whole, nano) = (amount / NANO.unsigned_abs(), amount % NANO.unsigned_abs());
        let fraction = format!("{nano:09}");
        let shown = fraction.trim_end_matches('0').len().max(2);
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(formatter, "{sign}{whole}.{}", &fraction[..shown])
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_print_as_the_contract_shows_them() {
        for (nano, text) in [
            (0, "0.00"),
            (880_000_000, "0.88"),
            (88_000_000_000, "88.00"),
            (6_400_000, "0.0064"),
            (1, "0.000000001"),
            (-6_400_000, "-0.0064"),
            (i64::MIN, "-9223372036.854775808"),
        ] {
            assert_eq!(Money::from_nano(nano).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in [
            "",
            "-",
            ".5",
            "5.",
            "+1",
            "1e3",
            " 1",
            "1 ",
            "1,5",
            "1.2.3",
            "--1",
            "NaN",
            "inf",
            "0x1",
            "1.0000000001",
            "1234567890",
        ] {
            assert!(text.parse::<Money>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn amounts_print_and_parse_back(nano in -999_999_999_999_999_999_i64..=999_999_999_999_999_999) {
            let amount = Money::from_nano(nano);
            prop_assert_eq!(amount.to_string().parse::<Money>().unwrap(), amount);
        }

        #[test]
        fn any_text_parses_to_what_it_says_or_is_refused(text in "[-0-9.eE+ ]{0,22}") {
            if let Ok(amount) = text.parse::<Money>() {
                prop_assert_eq!(amount.to_string().parse::<Money>().unwrap(), amount);
            }
        }
    }
}
