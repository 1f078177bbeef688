//! Texts that are measured, not kept.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

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

    pub(super) fn of(text: &str) -> Self {
        Self {
            weight: weight(text),
            bytes: text.len(),
        }
    }
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

        impl<'de> Visitor<'de> for Measuring {
            type Value = Measure;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a text, parts of one, or null")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Measure, E> {
                Ok(Measure::of(text))
            }

            /// Parts, of which some servers make contents.
            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Measure, A::Error> {
                let mut all = Measure::default();
                while let Some(part) = parts.next_element::<Measure>()? {
                    all = all + part;
                }
                Ok(all)
            }

            /// A part: of its members those that are texts of the answer.
            fn visit_map<A: MapAccess<'de>>(self, mut part: A) -> Result<Measure, A::Error> {
                let mut all = Measure::default();
                while let Some(IsText(is_text)) = part.next_key()? {
                    if is_text {
                        all = all + part.next_value()?;
                    } else {
                        part.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(all)
            }

            fn visit_unit<E: de::Error>(self) -> Result<Measure, E> {
                Ok(Measure::default())
            }
        }

        deserializer.deserialize_any(Measuring)
    }
}

/// Whether a part's member of this name is text of the answer.
struct IsText(bool);

impl<'de> Deserialize<'de> for IsText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;

        impl Visitor<'_> for Name {
            type Value = IsText;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a name")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<IsText, E> {
                Ok(IsText(matches!(
                    name,
                    "text" | "thinking" | "refusal" | "content"
                )))
            }
        }

        deserializer.deserialize_str(Name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Option<usize> {
        let measure: Result<Measure, _> = serde_json::from_str(text);
        measure.ok().map(|measure| measure.bytes)
    }

    #[test]
    fn contents_of_parts_are_measured_as_their_texts_are() {
        for (text, expected) in [
            (r#""abc""#, Some(3)),
            ("null", Some(0)),
            ("[]", Some(0)),
            (r#"["abc","de"]"#, Some(5)),
            (
                r#"[{"type":"text","text":"abc"},{"type":"text","text":"de"}]"#,
                Some(5),
            ),
            (
                r#"[{"type":"thinking","thinking":[{"type":"text","text":"abc"}],"signature":"xyz"},{"type":"refusal","refusal":"d"}]"#,
                Some(4),
            ),
            (r#"[{"type":"image_url","image_url":{"url":"abc"}}]"#, Some(0)),
            (r#"{"text":"abc","n":[1]}"#, Some(3)),
            ("7", None),
            ("[7]", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(bytes(&deep), None);
    }
}
