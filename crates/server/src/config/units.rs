//! Durations and sizes that carry their unit in the value: `"30s"`, `"16MiB"`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::InvalidValue;

/// A duration in whole milliseconds, written `250ms`, `30s`, `5m` or `1h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HumanDuration(pub(crate) Duration);

/// A number of bytes, written `512B`, `64KiB`, `16MiB` or `1GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ByteSize(u64);

/// The text is no number with one of the units. It is not quoted: it may be a secret in the wrong place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no {kind}; write a whole number and a unit, such as {example:?}")]
pub(crate) struct InvalidQuantity {
    kind: &'static str,
    example: &'static str,
}

/// Units of time, longest first, in milliseconds.
const TIME_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
/// Units of size, largest first, in bytes.
const SIZE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl HumanDuration {
    /// Refuses a duration of zero for `key`.
    pub(super) fn not_zero(self, key: &'static str) -> Result<(), InvalidValue> {
        if self.0.is_zero() {
            Err(InvalidValue {
                key,
                message: "must be longer than zero".to_owned(),
            })
        } else {
            Ok(())
        }
    }
}

impl ByteSize {
    /// A size of `count` MiB.
    pub(crate) const fn mebibytes(count: u64) -> Self {
        Self(count << 20)
    }

    /// The size in bytes.
    pub(crate) const fn bytes(self) -> u64 {
        self.0
    }
}

/// Splits `text` into a whole number and one of `units` and multiplies them.
fn parse_quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// Writes `value` in the largest unit that leaves a whole number.
fn write_quantity(formatter: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)]) -> fmt::Result {
    let fits = |factor: u64| value >= factor && value.is_multiple_of(factor);
    let (name, factor) = units
        .iter()
        .find(|(_, factor)| fits(*factor))
        .or(units.last())
        .copied()
        .unwrap_or(("", 1));
    write!(formatter, "{}{name}", value / factor)
}

impl FromStr for HumanDuration {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidQuantity {
            kind: "duration",
            example: "30s",
        };
        parse_quantity(text, &TIME_UNITS)
            .map(|millis| Self(Duration::from_millis(millis)))
            .ok_or_else(invalid)
    }
}

impl FromStr for ByteSize {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidQuantity {
            kind: "size",
            example: "16MiB",
        };
        parse_quantity(text, &SIZE_UNITS).map(Self).ok_or_else(invalid)
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_quantity(
            formatter,
            u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX),
            &TIME_UNITS,
        )
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_quantity(formatter, self.0, &SIZE_UNITS)
    }
}

macro_rules! as_text {
    ($name:ident, $schema:literal) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Cow::<'_, str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                $schema.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $schema })
            }
        }
    };
}

as_text!(HumanDuration, "duration");
as_text!(ByteSize, "size");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_and_sizes_read_their_units() {
        assert_eq!("30s".parse(), Ok(HumanDuration(Duration::from_secs(30))));
        assert_eq!("1500ms".parse(), Ok(HumanDuration(Duration::from_millis(1500))));
        assert_eq!("2 h".parse(), Ok(HumanDuration(Duration::from_hours(2))));
        assert_eq!("16MiB".parse(), Ok(ByteSize::mebibytes(16)));
        assert_eq!("10B".parse(), Ok(ByteSize(10)));
    }

    #[test]
    fn numbers_without_a_unit_and_unknown_units_are_refused() {
        for text in [
            "",
            "30",
            "s",
            "-1s",
            "1.5s",
            "3 days",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert!(text.parse::<HumanDuration>().is_err(), "{text}");
        }
        let error = "16mb".parse::<ByteSize>().unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"no size; write a whole number and a unit, such as "16MiB""#
        );
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(millis in 0_u64..10_000_000_000, bytes: u64) {
            let duration = HumanDuration(Duration::from_millis(millis));
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
            let size = ByteSize(bytes);
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }

        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text: String) {
            let _ = text.parse::<HumanDuration>();
            let _ = text.parse::<ByteSize>();
        }
    }
}
