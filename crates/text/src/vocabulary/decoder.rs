//! The part of a tokenizer that turns tokens into text, token by token.

use std::collections::HashMap;

use serde::Deserialize;
use tokenizers::Tokenizer;

/// What decoding removes at the beginning of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeadingSpace {
    /// Nothing.
    Keep,
    /// Every space in the first token.
    FirstToken,
    /// Up to this many spaces.
    AtMost(usize),
}

/// Why a tokenizer's decoder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UnsupportedDecoder {
    /// The tokenizer names none.
    #[error("it has no decoder")]
    None,
    /// A decoder for other kinds of models, or one in an unusual form.
    #[error("its decoder cannot be used token by token: {0}")]
    Unknown(serde_json::Value),
}

/// The decoder's steps, in order.
pub(crate) struct DecoderSteps {
    steps: Vec<Step>,
    leading_space: LeadingSpace,
}

enum Step {
    Replace { from: String, to: String },
    ByteFallback,
    ByteLevel(HashMap<char, u8>),
}

/// A decoder as `tokenizer.json` writes it.
#[derive(Deserialize)]
#[serde(tag = "type")]
enum DecoderForm {
    Sequence {
        decoders: Vec<serde_json::Value>,
    },
    ByteLevel,
    ByteFallback,
    Fuse,
    Replace {
        pattern: Pattern,
        content: String,
    },
    Strip {
        content: char,
        start: usize,
        stop: usize,
    },
    Metaspace {
        replacement: String,
        prepend_scheme: Option<String>,
    },
}

#[derive(Deserialize)]
enum Pattern {
    String(String),
}

impl DecoderSteps {
    pub(crate) fn of(tokenizer: &Tokenizer) -> Result<Self, UnsupportedDecoder> {
        let decoder = tokenizer.get_decoder().ok_or(UnsupportedDecoder::None)?;
        let form = serde_json::to_value(decoder).map_err(|_| UnsupportedDecoder::None)?;
        let mut steps = Self {
            steps: Vec::new(),
            leading_space: LeadingSpace::Keep,
        };
        steps.add(&form)?;
        Ok(steps)
    }

    pub(crate) fn leading_space(&self) -> LeadingSpace {
        self.leading_space
    }

    /// The bytes of one token in the middle of a text.
    pub(crate) fn bytes_of(&self, token: String) -> Vec<u8> {
        let mut text = token;
        for step in &self.steps {
            match step {
                Step::Replace { from, to } => text = text.replace(from, to),
                Step::ByteFallback => {
                    if let Some(byte) = fallback_byte(&text) {
                        return vec![byte];
                    }
                }
                Step::ByteLevel(alphabet) => {
                    let bytes: Option<Vec<u8>> = text
                        .chars()
                        .map(|letter| alphabet.get(&letter).copied())
                        .collect();
                    return bytes.unwrap_or_else(|| text.into_bytes());
                }
            }
        }
        text.into_bytes()
    }

    fn add(&mut self, form: &serde_json::Value) -> Result<(), UnsupportedDecoder> {
        let unknown = || UnsupportedDecoder::Unknown(form.clone());
        match DecoderForm::deserialize(form).map_err(|_| unknown())? {
            DecoderForm::Sequence { decoders } => {
                decoders.iter().try_for_each(|decoder| self.add(decoder))?;
            }
            DecoderForm::ByteLevel => self.steps.push(Step::ByteLevel(byte_level_alphabet())),
            DecoderForm::ByteFallback => self.steps.push(Step::ByteFallback),
            DecoderForm::Fuse => {}
            DecoderForm::Replace {
                pattern: Pattern::String(from),
                content,
            } => {
                self.steps.push(Step::Replace { from, to: content });
            }
            // Llama's form: after `Fuse`, so it touches the beginning of the whole text only.
            DecoderForm::Strip {
                content: ' ',
                start,
                stop: 0,
            } => self.leading_space = LeadingSpace::AtMost(start),
            DecoderForm::Strip { .. } => return Err(unknown()),
            DecoderForm::Metaspace {
                replacement,
                prepend_scheme,
            } => {
                if prepend_scheme.as_deref() != Some("never") {
                    self.leading_space = LeadingSpace::FirstToken;
                }
                self.steps.push(Step::Replace {
                    from: replacement,
                    to: " ".to_owned(),
                });
            }
        }
        Ok(())
    }
}

/// The byte of a token such as `<0x0A>`.
fn fallback_byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() == 2 {
        u8::from_str_radix(digits, 16).ok()
    } else {
        None
    }
}

/// The letters that byte-level tokenizers write for bytes (GPT-2's table): printable Latin-1 bytes
/// stand for themselves, the others for the letters from U+0100 on, in order.
fn byte_level_alphabet() -> HashMap<char, u8> {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let others = (0..=u8::MAX).filter(|byte| !printable(*byte)).zip('\u{100}'..);
    let own = (0..=u8::MAX)
        .filter(|byte| printable(*byte))
        .map(|byte| (byte, char::from(byte)));
    own.chain(others).map(|(byte, letter)| (letter, byte)).collect()
}
