//! A typed reader for request bodies, with the error texts of the imitated service.
//!
//! Serde's own messages repeat what the caller sent and cannot say
//! `max_tokens: Input should be a valid integer`, so requests are read field by field from the
//! borrowed text. No tree of the whole body is built: a body of small numbers would grow to many
//! times its size. Unknown fields are skipped without recursion, however deep they are nested.

mod guarded;
mod visit;

use std::fmt;

use serde::Deserializer as _;
use serde_json::error::Category;
use serde_json::value::RawValue;

pub use self::guarded::MemberSpans;
pub(crate) use self::visit::ListMember;
use self::visit::{Guarded, Items, Known, KnownOrGuarded, Members};
use crate::{ApiError, ErrorCode};

/// A request body that checks itself while it is read.
pub trait RequestBody: Sized + Send + 'static {
    /// Reads and validates the JSON text of a body.
    ///
    /// # Errors
    /// With a code of the contract, for malformed JSON and for anything the contract refuses.
    fn from_json(text: &str) -> Result<Self, ApiError>;
}

/// A request body that an engine elsewhere may get as it came, but for a few members.
///
/// Those members are guarded: each is there at most once, and no name beside it is one that some
/// server would take for it, such as `Model` for `model`. What the gateway checked is what the
/// engine obeys.
pub trait ForwardableBody: RequestBody {
    /// As [`RequestBody::from_json`], with the places of the guarded members.
    ///
    /// # Errors
    /// As [`RequestBody::from_json`].
    fn from_json_with_spans(text: &str) -> Result<(Self, MemberSpans), ApiError>;
}

/// Where a value stands in the body; prints as `messages.0.content`.
#[derive(Clone, Copy)]
pub(crate) enum Path<'p> {
    /// The body itself.
    Root,
    /// A member of an object.
    Key(&'p Path<'p>, &'p str),
    /// An item of an array.
    Index(&'p Path<'p>, usize),
}

impl Path<'_> {
    /// Makes the error "this place: text".
    pub(crate) fn fault(&self, text: &str) -> ApiError {
        match self {
            Self::Root => ApiError::invalid(text.to_owned()),
            Self::Key(..) | Self::Index(..) => ApiError::invalid(format!("{self}: {text}")),
        }
    }

    /// The same with a code of its own.
    pub(crate) fn fault_with(&self, code: ErrorCode, text: &str) -> ApiError {
        ApiError {
            code,
            ..self.fault(text)
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = |parent: &Path<'_>| if matches!(parent, Path::Root) { "" } else { "." };
        match self {
            Self::Root => Ok(()),
            Self::Key(parent, key) => write!(formatter, "{parent}{}{key}", separator(parent)),
            Self::Index(parent, index) => write!(formatter, "{parent}{}{index}", separator(parent)),
        }
    }
}

/// The kinds of JSON values, seen from their first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    String,
    Bool,
    Null,
    Number,
}

impl Kind {
    pub(crate) fn of(raw: &RawValue) -> Self {
        match raw.get().as_bytes().first() {
            Some(b'{') => Self::Object,
            Some(b'[') => Self::Array,
            Some(b'"') => Self::String,
            Some(b't' | b'f') => Self::Bool,
            Some(b'n') => Self::Null,
            _ => Self::Number,
        }
    }
}

/// Reads a string.
pub(crate) fn string(at: Path<'_>, raw: &RawValue) -> Result<String, ApiError> {
    // A string can be refused here although the body's syntax is fine: lone surrogates.
    serde_json::from_str(raw.get()).map_err(|_| at.fault("Input should be a valid string"))
}

/// Reads `true` or `false`.
pub(crate) fn boolean(at: Path<'_>, raw: &RawValue) -> Result<bool, ApiError> {
    serde_json::from_str(raw.get()).map_err(|_| at.fault("Input should be a valid boolean"))
}

/// Reads an integer; `512.0` is one too, `"512"` is not.
pub(crate) fn integer(at: Path<'_>, raw: &RawValue) -> Result<i64, ApiError> {
    /// Up to here every integer has a float of its own (2^53).
    const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;
    let fault = || at.fault("Input should be a valid integer");
    if let Ok(value) = serde_json::from_str::<i64>(raw.get()) {
        return Ok(value);
    }
    let value: f64 = serde_json::from_str(raw.get()).map_err(|_| fault())?;
    if value.fract() != 0.0 || value.abs() > LARGEST_EXACT {
        return Err(fault());
    }
    #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
    Ok(value as i64)
}

/// Reads a finite number.
pub(crate) fn number(at: Path<'_>, raw: &RawValue) -> Result<f64, ApiError> {
    serde_json::from_str(raw.get())
        .ok()
        .filter(|value: &f64| value.is_finite())
        .ok_or_else(|| at.fault("Input should be a valid number"))
}

/// Reads an array item by item; the first bad item ends the reading.
pub(crate) fn list<'a, T>(
    at: Path<'_>,
    raw: &'a RawValue,
    mut item: impl FnMut(Path<'_>, &'a RawValue) -> Result<T, ApiError>,
) -> Result<Vec<T>, ApiError> {
    let mut items = Vec::new();
    let mut fault = None;
    let walk = Items {
        each: |index, raw| item(Path::Index(&at, index), raw).map(|value| items.push(value)),
        fault: &mut fault,
    };
    let read = serde_json::Deserializer::from_str(raw.get()).deserialize_seq(walk);
    match (fault, read) {
        (Some(fault), _) => Err(fault),
        (None, Err(_)) => Err(at.fault("Input should be a valid list")),
        (None, Ok(())) => Ok(items),
    }
}

/// Reads an object with free keys member by member.
pub(crate) fn dictionary<'a>(
    at: Path<'_>,
    raw: &'a RawValue,
    mut member: impl FnMut(&str, &'a RawValue) -> Result<(), ApiError>,
) -> Result<(), ApiError> {
    let mut fault = None;
    let walk = Members {
        each: |key: &str, raw| member(key, raw),
        fault: &mut fault,
    };
    let read = serde_json::Deserializer::from_str(raw.get()).deserialize_map(walk);
    match (fault, read) {
        (Some(fault), _) => Err(fault),
        (None, Err(_)) => Err(at.fault(NO_DICTIONARY)),
        (None, Ok(())) => Ok(()),
    }
}

const NO_DICTIONARY: &str = "Input should be a valid dictionary";

/// What is wrong with a text that is no body.
fn no_body(error: &serde_json::Error) -> ApiError {
    match error.classify() {
        Category::Data => Path::Root.fault(NO_DICTIONARY),
        Category::Syntax | Category::Eof | Category::Io => ApiError::invalid(format!(
            "The request body is not valid JSON (line {}, column {}).",
            error.line(),
            error.column()
        )),
    }
}

/// The members of a body that may be forwarded, its syntax checked to the end.
fn guarded_members<'a>(
    text: &'a str,
    known: &'static [&'static str],
    list: Option<ListMember<'_>>,
) -> serde_json::Result<Guarded<'a>> {
    let mut body = serde_json::Deserializer::from_str(text);
    let found = body.deserialize_map(KnownOrGuarded { known, list })?;
    body.end()?;
    Ok(found)
}

/// The known members of one object.
pub(crate) struct Object<'p, 'a> {
    at: Path<'p>,
    fields: Vec<(&'static str, &'a RawValue)>,
}

impl<'p, 'a> Object<'p, 'a> {
    /// Reads a whole body, checking its syntax to the end.
    pub(crate) fn read_body(text: &'a str, known: &'static [&'static str]) -> Result<Self, ApiError> {
        let mut body = serde_json::Deserializer::from_str(text);
        let fields = body
            .deserialize_map(Known(known))
            .and_then(|fields| body.end().map(|()| fields));
        let fields = fields.map_err(|error| no_body(&error))?;
        Ok(Self {
            at: Path::Root,
            fields,
        })
    }

    /// As [`Object::read_body`], of a [`ForwardableBody`].
    pub(crate) fn read_forwardable(
        text: &'a str,
        known: &'static [&'static str],
    ) -> Result<(Self, MemberSpans), ApiError> {
        let found = guarded_members(text, known, None).map_err(|error| no_body(&error))?;
        let object = Self {
            at: Path::Root,
            fields: found.fields,
        };
        if let Some(name) = found.look_alike {
            return Err(object
                .path(name)
                .fault("The field's name should be written in lower case"));
        }
        if let Some(name) = found.twice {
            return Err(object.path(name).fault("The field should be there once"));
        }
        let spans = MemberSpans::of(text, &object.fields);
        Ok((object, spans))
    }

    /// As [`Object::read_forwardable`], with the objects of a list read where they stand; the list is none
    /// of the object's members. `None` when anything is wrong.
    pub(crate) fn read_forwardable_at_once(
        text: &'a str,
        known: &'static [&'static str],
        list: ListMember<'_>,
    ) -> Option<(Self, MemberSpans)> {
        let found = guarded_members(text, known, Some(list)).ok()?;
        if found.look_alike.is_some() || found.twice.is_some() {
            return None;
        }
        let spans = MemberSpans::of(text, &found.fields);
        let object = Self {
            at: Path::Root,
            fields: found.fields,
        };
        Some((object, spans))
    }

    /// Reads an object, keeping the members named in `known`. `null` counts as absent, and of a
    /// repeated key the last one counts.
    pub(crate) fn read(
        at: Path<'p>,
        raw: &'a RawValue,
        known: &'static [&'static str],
    ) -> Result<Self, ApiError> {
        let fields = serde_json::Deserializer::from_str(raw.get())
            .deserialize_map(Known(known))
            .map_err(|_| at.fault(NO_DICTIONARY))?;
        Ok(Self { at, fields })
    }

    /// The member with this name, unless it is absent or `null`.
    pub(crate) fn get(&self, key: &'static str) -> Option<&'a RawValue> {
        let found = self.fields.iter().rev().find(|(name, _)| *name == key);
        found
            .map(|(_, raw)| *raw)
            .filter(|raw| Kind::of(raw) != Kind::Null)
    }

    /// The place of a member.
    pub(crate) fn path<'s>(&'s self, key: &'s str) -> Path<'s> {
        Path::Key(&self.at, key)
    }

    /// Reads a member with `read`, if it is there.
    pub(crate) fn optional<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(Path<'_>, &'a RawValue) -> Result<T, ApiError>,
    ) -> Result<Option<T>, ApiError> {
        self.get(key).map(|raw| read(self.path(key), raw)).transpose()
    }

    /// Reads a member that must be there.
    pub(crate) fn required<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(Path<'_>, &'a RawValue) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        self.optional(key, read)?
            .ok_or_else(|| self.path(key).fault("Field required"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn integers_are_exact() {
        let read = |text| integer(Path::Root, raw(text)).ok();
        assert_eq!(read("512"), Some(512));
        assert_eq!(read("512.0"), Some(512));
        assert_eq!(read("-1"), Some(-1));
        for text in ["512.5", "\"512\"", "true", "1e300", "[1]", "99999999999999999999"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_finite() {
        assert_eq!(
            number(Path::Root, raw("0.5")).unwrap().to_bits(),
            0.5_f64.to_bits()
        );
        for text in ["\"0.5\"", "false", "{}", "1e999"] {
            assert!(number(Path::Root, raw(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn paths_print_like_the_imitated_service() {
        let messages = Path::Key(&Path::Root, "messages");
        let item = Path::Index(&messages, 3);
        let content = Path::Key(&item, "content");
        assert_eq!(
            content.fault("Field required").message,
            "messages.3.content: Field required"
        );
    }

    #[test]
    fn nesting_without_end_is_skipped_or_refused_without_recursion() {
        let depth = 200_000;
        let nested = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(list(Path::Root, raw(&nested), integer).is_err());
        let body = format!(r#"{{"unknown":{nested},"known":1}}"#);
        let object = Object::read_body(&body, &["known"]).unwrap();
        assert_eq!(object.required("known", integer).unwrap(), 1);
    }

    #[test]
    fn of_a_repeated_key_the_last_counts_and_null_is_absent() {
        let object = Object::read(Path::Root, raw(r#"{"a":1,"a":2,"b":null}"#), &["a", "b"]).unwrap();
        assert_eq!(object.required("a", integer).unwrap(), 2);
        assert!(object.get("b").is_none());
    }

    #[test]
    fn malformed_json_names_the_place_and_not_the_content() {
        let fault = Object::read_body("{\"secret\": words}", &[]).err().unwrap();
        assert_eq!(fault.code, ErrorCode::ParamInvalid);
        assert_eq!(
            fault.message,
            "The request body is not valid JSON (line 1, column 12)."
        );
    }
}
