//! Serde visitors that hand out raw values without copying or recursing.

use std::fmt;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::guarded::{GUARDED, look_alike};
use super::{Object, Path};
use crate::ApiError;

/// Keeps the raw values of known keys.
pub(super) struct Known(pub(super) &'static [&'static str]);

/// The members of an object that were kept.
pub(super) type Fields<'de> = Vec<(&'static str, &'de RawValue)>;

impl<'de> DeserializeSeed<'de> for Known {
    type Value = Fields<'de>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Known {
    type Value = Fields<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(known) = map.next_key_seed(KnownKey(self.0))? {
            match known {
                Some(name) => {
                    let raw = map.next_value()?;
                    keep(&mut fields, name, raw);
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(fields)
    }
}

/// Keeps a member; says whether its name is new. Of a repeated one the last value counts: a key
/// repeated a million times must not take a million entries.
fn keep<'de>(fields: &mut Fields<'de>, name: &'static str, raw: &'de RawValue) -> bool {
    if let Some(entry) = fields.iter_mut().find(|(earlier, _)| *earlier == name) {
        entry.1 = raw;
        false
    } else {
        fields.push((name, raw));
        true
    }
}

/// As [`Known`], of a body that may be forwarded: the [`GUARDED`] members are kept as well, and the
/// objects of one list are read instead.
pub(super) struct KnownOrGuarded<'l> {
    pub(super) known: &'static [&'static str],
    pub(super) list: Option<ListMember<'l>>,
}

/// Reads one object of a list.
type ReadItem<'l> = &'l mut dyn FnMut(&Object<'_, '_>) -> Result<(), ApiError>;

/// A list of objects whose members are read where they stand.
pub(crate) struct ListMember<'l> {
    name: &'static str,
    known: &'static [&'static str],
    read: ReadItem<'l>,
    was_read: bool,
}

impl<'l> ListMember<'l> {
    /// The list with this name, of objects with these members.
    pub(crate) const fn new(name: &'static str, known: &'static [&'static str], read: ReadItem<'l>) -> Self {
        Self {
            name,
            known,
            read,
            was_read: false,
        }
    }
}

impl<'de> DeserializeSeed<'de> for &mut ListMember<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for &mut ListMember<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        // Of a list that is there twice the last one counts, and this one is gone.
        if std::mem::replace(&mut self.was_read, true) {
            return Err(A::Error::custom("a list that is there twice"));
        }
        while let Some(fields) = items.next_element_seed(Known(self.known))? {
            // Nobody is told of the place.
            let at = Path::Root;
            (self.read)(&Object { at, fields }).map_err(|_| A::Error::custom("refused"))?;
        }
        Ok(())
    }
}

/// What was found in a body that may be forwarded.
pub(super) struct Guarded<'de> {
    pub(super) fields: Fields<'de>,
    /// The guarded name that another name could be taken for.
    pub(super) look_alike: Option<&'static str>,
    /// The guarded name that is there twice.
    pub(super) twice: Option<&'static str>,
}

impl<'de> Visitor<'de> for KnownOrGuarded<'_> {
    type Value = Guarded<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Self { known, mut list } = self;
        // As many as requests have as a rule.
        let mut fields = Vec::with_capacity(8);
        let (mut look_alike, mut twice) = (None, None);
        while let Some(key) = map.next_key_seed(GuardedKey(known))? {
            let list = list.as_mut().filter(|list| key == Key::Kept(list.name));
            if let Some(list) = list {
                map.next_value_seed(list)?;
                continue;
            }
            match key {
                Key::Kept(name) => {
                    let raw = map.next_value()?;
                    if !keep(&mut fields, name, raw) && GUARDED.contains(&name) {
                        twice = Some(name);
                    }
                }
                Key::LooksLike(name) => {
                    look_alike = Some(name);
                    map.next_value::<IgnoredAny>()?;
                }
                Key::Unknown => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Guarded {
            fields,
            look_alike,
            twice,
        })
    }
}

/// Recognises a key of a body that may be forwarded.
struct GuardedKey(&'static [&'static str]);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Kept(&'static str),
    LooksLike(&'static str),
    Unknown,
}

impl<'de> DeserializeSeed<'de> for GuardedKey {
    type Value = Key;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for GuardedKey {
    type Value = Key;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Key, E> {
        let mut kept = self.0.iter().chain(GUARDED).copied();
        Ok(match kept.find(|name| *name == key) {
            Some(name) => Key::Kept(name),
            None => look_alike(key).map_or(Key::Unknown, Key::LooksLike),
        })
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
