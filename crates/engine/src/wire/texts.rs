//! The texts of a body that nobody here reads as a whole.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// A body that cannot be looked through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body is nested too deeply")]
pub struct TooDeep;

/// Members that name something, if their values are texts.
const NAMES: [&str; 3] = ["model", "role", "type"];
/// From this length on, in bytes, a text of nothing but the characters of base64 is a medium: nobody writes so.
const SHORTEST_MEDIUM: usize = 256;

/// Every text of a JSON text, a line each.
pub(super) fn all(body: &[u8]) -> Result<String, TooDeep> {
    let mut texts = String::new();
    let mut json = serde_json::Deserializer::from_slice(body);
    Texts::of(&mut texts)
        .deserialize(&mut json)
        .map_err(|_| TooDeep)?;
    Ok(texts)
}

/// Collects texts.
struct Texts<'a> {
    all: &'a mut String,
    /// Whether a text here is a name.
    is_name: bool,
}

impl<'a> Texts<'a> {
    const fn of(all: &'a mut String) -> Self {
        Self { all, is_name: false }
    }
}

/// Whether a text is an image or a sound, alone or in an address of its own.
fn is_medium(text: &str) -> bool {
    let payload = match text.split_once(',') {
        Some((head, payload)) if head.starts_with("data:") && head.ends_with(";base64") => payload,
        _ => text,
    };
    let is_of_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    payload.len() >= SHORTEST_MEDIUM && payload.bytes().all(is_of_base64)
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

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        if !(text.is_empty() || self.is_name || is_medium(text)) {
            self.all.push_str(text);
            self.all.push('\n');
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = members.next_key::<Cow<'_, str>>()? {
            let is_name = NAMES.contains(&&*name);
            let all = &mut *self.all;
            members.next_value_seed(Texts { all, is_name })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Texts::of(&mut *self.all))?.is_some() {}
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_unknown_members_are_found_and_names_and_media_are_not() {
        let medium = "Ab+/".repeat(64);
        let body = format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":[{{"type":"text","text":"a\u00e9"}},
            {{"type":"image_url","image_url":{{"url":"data:image/png;base64,{medium}","detail":"low"}}}},
            {{"type":"input_audio","input_audio":{{"data":"{medium}"}}}}]}}],
            "documents":[{{"x":{{"y":["b"]}}}}],"n":1,"f":-1.5,"stream":true,"stop":null,"empty":""}}"#
        );
        assert_eq!(all(body.as_bytes()).unwrap(), "a\u{e9}\nlow\nb\n");
    }

    #[test]
    fn nothing_hides_behind_the_name_of_a_name_or_of_a_medium() {
        let long = "x ".repeat(200);
        let body = format!(
            r#"{{"a":"data: b","url":"data:text/plain,{long}c","data":"d","properties":{{"type":{{"description":"e"}},"model":["f"]}}}}"#
        );
        let expected = format!("data: b\ndata:text/plain,{long}c\nd\ne\nf\n");
        assert_eq!(all(body.as_bytes()).unwrap(), expected);
    }

    #[test]
    fn what_is_nested_too_deeply_is_not_taken_for_read() {
        let body = format!("{{\"x\":{}1{}}}", "[".repeat(200), "]".repeat(200));
        assert_eq!(all(body.as_bytes()), Err(TooDeep));
    }
}
