//! The members of a choice, as they are read.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use silica_engine::FinishReason;

use crate::forward::measure::Measure;
use crate::wire::finish_reason;

/// A text, and where it stands; `None` when it is written with escapes, or absent.
#[derive(Default, Clone, Copy)]
pub(super) struct Placed<'a> {
    pub(super) measure: Measure,
    pub(super) place: Option<&'a str>,
}

/// Why a choice ended, if it did; `Some(Err)` when it did not end by itself.
#[derive(Default)]
pub(super) struct End(pub(super) Option<Result<FinishReason, ()>>);

/// The texts of all tool calls together.
#[derive(Default)]
pub(super) struct Calls(pub(super) Measure);

#[derive(Deserialize)]
struct ToolCall {
    #[serde(default)]
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    #[serde(default)]
    name: Measure,
    #[serde(default)]
    arguments: Measure,
}

/// The name of a message's member.
pub(super) enum Member<'a> {
    Text,
    ReasoningContent(Option<&'a str>),
    Reasoning(Option<&'a str>),
    Calls,
    Other,
}

impl<'de: 'a, 'a> Deserialize<'de> for Member<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading<'a>(PhantomData<&'a ()>);

        impl<'de: 'a, 'a> Visitor<'de> for Reading<'a> {
            type Value = Member<'a>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a name")
            }

            fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(Member::of(name, Some(name)))
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
                Ok(Member::of(name, None))
            }
        }

        deserializer.deserialize_str(Reading(PhantomData))
    }
}

impl<'a> Member<'a> {
    fn of(name: &str, place: Option<&'a str>) -> Self {
        match name {
            "content" | "refusal" => Self::Text,
            "reasoning_content" => Self::ReasoningContent(place),
            "reasoning" => Self::Reasoning(place),
            "tool_calls" => Self::Calls,
            _ => Self::Other,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Placed<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading<'a>(PhantomData<&'a ()>);

        impl<'de: 'a, 'a> Visitor<'de> for Reading<'a> {
            type Value = Placed<'a>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a text or null")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Placed {
                    measure: Measure::of(text),
                    place: Some(text),
                })
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Placed {
                    measure: Measure::of(text),
                    place: None,
                })
            }

            fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
                Ok(Placed::default())
            }
        }

        deserializer.deserialize_any(Reading(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Calls {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Summing;

        impl<'de> Visitor<'de> for Summing {
            type Value = Calls;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of calls or null")
            }

            fn visit_unit<E: Error>(self) -> Result<Calls, E> {
                Ok(Calls::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Calls, A::Error> {
                let mut sum = Measure::NOTHING;
                while let Some(call) = list.next_element::<ToolCall>()? {
                    if let Some(function) = call.function {
                        sum = sum + function.name + function.arguments;
                    }
                }
                Ok(Calls(sum))
            }
        }

        deserializer.deserialize_any(Summing)
    }
}

impl<'de> Deserialize<'de> for End {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;

        impl Visitor<'_> for Reading {
            type Value = End;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a word or null")
            }

            fn visit_unit<E: Error>(self) -> Result<End, E> {
                Ok(End::default())
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<End, E> {
                Ok(End(finish_reason(word)))
            }
        }

        deserializer.deserialize_any(Reading)
    }
}
