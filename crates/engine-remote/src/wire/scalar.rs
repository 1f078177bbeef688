//! Parts of answers of which little is wanted, read without building what they are.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The most choices of an answer, of calls in a choice, and of other lists: as many as can be asked for.
pub(crate) const MOST_ITEMS: usize = 128;

/// A number or a text; anything else is passed over. A tree would take many times the size of its text.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) enum Scalar {
    Number(i64),
    Text(String),
    #[default]
    Other,
}

/// What the engine says of its failure. Its message is not read: it may quote the request.
#[derive(Debug, Default)]
pub(crate) struct Fault {
    pub(crate) code: Scalar,
}

struct ScalarReader;
struct FaultReader;

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarReader)
    }
}

impl<'de> Deserialize<'de> for Fault {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FaultReader)
    }
}

/// Both take whatever comes; `$other` is what most of it means.
macro_rules! passes_over {
    ($other:expr; $($visit:ident: $kind:ty),*) => {
        $(fn $visit<E: Error>(self, _: $kind) -> Result<Self::Value, E> {
            Ok($other)
        })*

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok($other)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok($other)
        }
    };
}

impl<'de> Visitor<'de> for ScalarReader {
    type Value = Scalar;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Scalar, E> {
        Ok(Scalar::Number(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Scalar, E> {
        Ok(i64::try_from(number).map_or(Scalar::Other, Scalar::Number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Scalar, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }

    passes_over!(Scalar::Other; visit_bool: bool, visit_f64: f64);
}

impl<'de> Visitor<'de> for FaultReader {
    type Value = Fault;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a fault")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Fault, A::Error> {
        let mut fault = Fault::default();
        while let Some(name) = members.next_key::<Scalar>()? {
            if name == Scalar::Text("code".to_owned()) {
                fault.code = members.next_value()?;
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(fault)
    }

    passes_over!(Fault::default(); visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);
}

/// Reads a list of at most [`MOST_ITEMS`], or null.
///
/// # Errors
/// When it is none, or longer: an item of three bytes would be kept in a hundred times as many.
pub(crate) fn short_list<'de, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Reading<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Reading<T> {
        type Value = Option<Vec<T>>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a list or null")
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut items = Vec::new();
            while let Some(item) = list.next_element()? {
                if items.len() == MOST_ITEMS {
                    return Err(A::Error::custom("a list is too long"));
                }
                items.push(item);
            }
            Ok(Some(items))
        }
    }

    deserializer.deserialize_any(Reading(PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_are_read_and_everything_else_is_passed_over() {
        for (text, expected) in [
            ("-5", Scalar::Number(-5)),
            ("18446744073709551615", Scalar::Other),
            (r#""a""#, Scalar::Text("a".to_owned())),
            ("1.5", Scalar::Other),
            ("true", Scalar::Other),
            ("null", Scalar::Other),
            (r#"[1,{"a":[]}]"#, Scalar::Other),
            (r#"{"a":{"code":1}}"#, Scalar::Other),
        ] {
            assert_eq!(serde_json::from_str::<Scalar>(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn a_fault_is_read_whatever_it_is() {
        for (text, code) in [
            (r#"{"message":{"code":1},"code":7}"#, Scalar::Number(7)),
            (r#"{"c\u006fde":"x"}"#, Scalar::Text("x".to_owned())),
            (r#""broken""#, Scalar::Other),
            ("[1]", Scalar::Other),
            ("5", Scalar::Other),
        ] {
            assert_eq!(serde_json::from_str::<Fault>(text).unwrap().code, code, "{text}");
        }
    }
}
