//! Serde visitors that hand out raw values without copying or recursing.

use std::fmt;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::ApiError;

/// Keeps the raw values of known keys.
pub(super) struct Known(pub(super) &'static [&'static str]);

impl<'de> Visitor<'de> for Known {
    type Value = Vec<(&'static str, &'de RawValue)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields: Self::Value = Vec::new();
        while let Some(known) = map.next_key_seed(KnownKey(self.0))? {
            match known {
                Some(name) => {
                    let raw = map.next_value()?;
                    // A key repeated a million times must not take a million entries.
                    match fields.iter_mut().find(|(earlier, _)| *earlier == name) {
                        Some(entry) => entry.1 = raw,
                        None => fields.push((name, raw)),
                    }
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(fields)
    }
}

/// Recognises a key without copying it.
struct KnownKey(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for KnownKey {
    type Value = Option<&'static str>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KnownKey {
    type Value = Option<&'static str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().copied().find(|name| *name == key))
    }
}

/// Walks an array, handing each raw item to `each`.
pub(super) struct Items<'f, F> {
    pub(super) each: F,
    /// Where the error of `each` is left, since serde carries only texts.
    pub(super) fault: &'f mut Option<ApiError>,
}

impl<'de, F: FnMut(usize, &'de RawValue) -> Result<(), ApiError>> Visitor<'de> for Items<'_, F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        let mut index = 0;
        while let Some(raw) = items.next_element()? {
            if let Err(fault) = (self.each)(index, raw) {
                *self.fault = Some(fault);
                return Err(A::Error::custom("refused"));
            }
            index += 1;
        }
        Ok(())
    }
}

/// Walks an object, handing each key and raw value to `each`.
pub(super) struct Members<'f, F> {
    pub(super) each: F,
    /// Where the error of `each` is left, since serde carries only texts.
    pub(super) fault: &'f mut Option<ApiError>,
}

impl<'de, F: FnMut(&str, &'de RawValue) -> Result<(), ApiError>> Visitor<'de> for Members<'_, F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        while let Some(key) = members.next_key::<String>()? {
            let raw = members.next_value()?;
            if let Err(fault) = (self.each)(&key, raw) {
                *self.fault = Some(fault);
                return Err(A::Error::custom("refused"));
            }
        }
        Ok(())
    }
}
