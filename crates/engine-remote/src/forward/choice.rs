//! What a frame or an answer says of its choices. Reading it allocates nothing for the usual single
//! choice: texts are measured, and words are read where they stand.

mod members;

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use silica_engine::FinishReason;

use self::members::{Calls, End, Member, Placed};
use super::measure::Measure;
use crate::RemoteError;
use crate::wire::MOST_ITEMS;

/// The choices of a frame, nearly always one.
#[derive(Default)]
pub(super) struct Choices<'a> {
    first: Option<Choice<'a>>,
    others: Vec<Choice<'a>>,
}

/// What is said of one choice.
#[derive(Deserialize)]
pub(super) struct Choice<'a> {
    #[serde(default)]
    pub(super) index: u32,
    /// Of a frame.
    #[serde(borrow)]
    delta: Option<Message<'a>>,
    /// Of a whole answer.
    #[serde(borrow)]
    message: Option<Message<'a>>,
    /// Of a completion, either way.
    #[serde(borrow, default)]
    text: Placed<'a>,
    #[serde(default)]
    finish_reason: End,
}

/// What the model wrote.
#[derive(Default)]
struct Message<'a> {
    /// Everything but the reasoning.
    text: Measure,
    /// The content alone, where it stands.
    content: Placed<'a>,
    /// `reasoning_content`.
    reasoning_content: Named<'a>,
    /// `reasoning`, the name that newer servers give to it; some send both.
    reasoning: Named<'a>,
}

/// A text, and its name where it stands; `None` when the text has no such name, or writes it with
/// escapes.
#[derive(Default, Clone, Copy)]
struct Named<'a> {
    name: Option<&'a str>,
    text: Placed<'a>,
}

impl<'a> Choices<'a> {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Choice<'a>> {
        self.first.iter().chain(&self.others)
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.others.len()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.first.is_none()
    }
}

impl<'a> Choice<'a> {
    fn message(&self) -> Option<&Message<'a>> {
        self.delta.as_ref().or(self.message.as_ref())
    }

    /// All text, and the reasoning in it.
    pub(super) fn measure(&self) -> (Measure, Measure) {
        let Some(message) = self.message() else {
            return (self.text.measure, Measure::NOTHING);
        };
        let reasoning = message.reasoning();
        (self.text.measure + message.text + reasoning, reasoning)
    }

    /// The only text of a choice that goes on, where it stands under its right name; `None` when it has
    /// more than one, or its text is written with escapes.
    pub(super) fn plain_text(&self) -> Option<&'a str> {
        if self.finish_reason.0.is_some() || self.renamed().next().is_some() {
            return None;
        }
        let message = self.message();
        let content = message.map(|message| message.content);
        let reasoning = message.map(|message| message.reasoning_content.text);
        let texts = [Some(self.text), content, reasoning].into_iter().flatten();
        let (all, _) = self.measure();
        let mut places = texts.filter_map(|text| text.place.filter(|_| text.measure == all));
        places.next().filter(|text| !text.is_empty())
    }

    /// Whether all its text is reasoning.
    pub(super) fn is_reasoning(&self) -> bool {
        let (all, reasoning) = self.measure();
        all == reasoning
    }

    /// Why the choice ended, if it did.
    ///
    /// # Errors
    /// When it did not end by itself.
    pub(super) fn end(&self) -> Result<Option<FinishReason>, RemoteError> {
        self.finish_reason
            .0
            .transpose()
            .map_err(|()| RemoteError::Reported { code: None })
    }

    /// The names to write anew so that reasoning stands under `reasoning_content`, with their new
    /// words; none when it does, or there is none.
    pub(super) fn renamed(&self) -> impl Iterator<Item = (&'a str, &'static str)> {
        let message = self.message().filter(|message| message.is_misnamed());
        // What stands under the right name is empty; it gets the other name, so that none is there twice.
        message.into_iter().flat_map(|message| {
            let right = message.reasoning.name.map(|name| (name, "reasoning_content"));
            let other = message.reasoning_content.name.map(|name| (name, "reasoning"));
            [right, other].into_iter().flatten()
        })
    }
}

impl Message<'_> {
    fn reasoning(&self) -> Measure {
        let (old, new) = (self.reasoning_content.text.measure, self.reasoning.text.measure);
        if new.bytes > old.bytes { new } else { old }
    }

    /// Whether there is reasoning under the newer name alone.
    const fn is_misnamed(&self) -> bool {
        self.reasoning.text.measure.bytes > 0 && self.reasoning_content.text.measure.bytes == 0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Choices<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading<'a>(PhantomData<&'a ()>);

        impl<'de: 'a, 'a> Visitor<'de> for Reading<'a> {
            type Value = Choices<'a>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of choices or null")
            }

            fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
                Ok(Choices::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut choices = Choices {
                    first: list.next_element()?,
                    others: Vec::new(),
                };
                if choices.first.is_some() {
                    while let Some(choice) = list.next_element()? {
                        if choices.len() == MOST_ITEMS {
                            return Err(A::Error::custom("too many choices"));
                        }
                        choices.others.push(choice);
                    }
                }
                Ok(choices)
            }
        }

        deserializer.deserialize_any(Reading(PhantomData))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Message<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading<'a>(PhantomData<&'a ()>);

        impl<'de: 'a, 'a> Visitor<'de> for Reading<'a> {
            type Value = Message<'a>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a message")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
                let mut message = Message::default();
                while let Some(member) = members.next_key()? {
                    match member {
                        Member::Text => {
                            message.content = members.next_value()?;
                            message.text = message.text + message.content.measure;
                        }
                        Member::Calls => message.text = message.text + members.next_value::<Calls>()?.0,
                        Member::ReasoningContent(name) => {
                            message.reasoning_content.text = members.next_value()?;
                            message.reasoning_content.name = name;
                        }
                        Member::Reasoning(name) => {
                            message.reasoning.text = members.next_value()?;
                            message.reasoning.name = name;
                        }
                        Member::Other => {
                            members.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(message)
            }
        }

        deserializer.deserialize_map(Reading(PhantomData))
    }
}
