//! Texts that are measured, not kept.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use crate::estimate::weight;

/// How much a text is. Reading it allocates nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Measure {
    /// What the text weighs, see [`weight`].
    pub(super) weight: u64,
    /// Its length in UTF-8.
    pub(super) bytes: usize,
}

impl Measure {
    /// Of no text.
    pub(super) const NOTHING: Self = Self { weight: 0, bytes: 0 };
}

impl std::ops::Add for Measure {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            weight: self.weight + other.weight,
            bytes: self.bytes + other.bytes,
        }
    }
}

impl std::iter::Sum for Measure {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), |sum, part| sum + part)
    }
}

impl<'de> Deserialize<'de> for Measure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Measuring;

        impl Visitor<'_> for Measuring {
            type Value = Measure;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a text or null")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Measure, E> {
                Ok(Measure {
                    weight: weight(text),
                    bytes: text.len(),
                })
            }

            fn visit_unit<E: de::Error>(self) -> Result<Measure, E> {
                Ok(Measure::default())
            }
        }

        deserializer.deserialize_any(Measuring)
    }
}
