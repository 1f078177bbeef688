//! The texts of a body that nobody here reads as a whole.
//!
//! Engines hand members to a model's template that nobody here knows, so every text counts and every name of a
//! member, wherever it stands. Left out is only what can say nothing: the words of the dialect itself, each
//! from a closed list, and media where a message has them.

mod place;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use self::place::Place;

/// A body that cannot be looked through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableBody {
    /// It has too many levels.
    #[error("the body is nested too deeply")]
    TooDeep,
    /// It is no JSON in UTF-8.
    #[error("the body is no JSON: {0:?}")]
    NotJson(serde_json::error::Category),
}

/// Every text of a JSON text, and the names of its members, a line each.
pub(super) fn all(body: &[u8]) -> Result<String, UnreadableBody> {
    let mut all = String::new();
    let mut json = serde_json::Deserializer::from_slice(body);
    let texts = Texts {
        all: &mut all,
        place: Place::Body,
    };
    texts.deserialize(&mut json).map_err(|error| unreadable(&error))?;
    Ok(all)
}

/// Only the limit on levels has no class of its own among the parser's errors.
fn unreadable(error: &serde_json::Error) -> UnreadableBody {
    if error.to_string().starts_with("recursion limit exceeded") {
        UnreadableBody::TooDeep
    } else {
        UnreadableBody::NotJson(error.classify())
    }
}

/// Collects texts.
struct Texts<'a> {
    all: &'a mut String,
    place: Place,
}

impl Texts<'_> {
    fn add(&mut self, text: &str) {
        if !text.is_empty() {
            self.all.push_str(text);
            self.all.push('\n');
        }
    }

    fn below(&mut self, place: Place) -> Texts<'_> {
        let all = &mut *self.all;
        Texts { all, place }
    }
}

impl<'de> DeserializeSeed<'de> for Texts<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Texts<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<(), E> {
        if !self.place.leaves_out(text) {
            self.add(text);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = members.next_key::<Cow<'_, str>>()? {
            if !place::is_of_the_dialect(&name) {
                self.add(&name);
            }
            let place = self.place.member(&name);
            members.next_value_seed(self.below(place))?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        let place = self.place.item();
        while items.next_element_seed(self.below(place))?.is_some() {}
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}
