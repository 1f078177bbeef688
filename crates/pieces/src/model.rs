//! A `tokenizer.model`: the messages of `sentencepiece_model.proto`, as far as they say how texts become
//! ids. Numbers of fields and defaults are that file's.

use std::collections::HashSet;

use crate::wire::{FieldValue, Fields};
use crate::{
    Algorithm, MAX_PIECE_BYTES, MAX_PIECES, Piece, PieceKind, PiecesError, Prefix, Spacing, charsmap,
    shortened, symbols,
};

/// A `SentencePiece` model, checked. Lends its texts from the file's bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct PieceModel<'a> {
    /// By their ids; at least one, each spelling once.
    pub pieces: Vec<Piece<'a>>,
    /// How texts are cut into them.
    pub algorithm: Algorithm,
    /// Whether a letter that is no piece becomes those of its bytes.
    pub byte_fallback: bool,
    /// What becomes of texts before; the prefix is that of each text, or none.
    pub spacing: Spacing<'a>,
    /// The ids of pieces with a role.
    pub ids: SpecialIds,
}

/// The ids of pieces with a role; a model need not have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpecialIds {
    /// What begins a text.
    pub bos: Option<u32>,
    /// What ends one.
    pub eos: Option<u32>,
}

/// What `trainer_spec` says.
struct Trainer<'a> {
    model_type: u64,
    space_behind: bool,
    byte_fallback: bool,
    bos: &'a str,
    eos: &'a str,
}

/// What `normalizer_spec` says.
struct Normalizer<'a> {
    charsmap: &'a [u8],
    prefix: bool,
    collapses: bool,
    escapes: bool,
}

impl<'a> PieceModel<'a> {
    /// Reads the bytes of a `tokenizer.model`. Takes time and memory in proportion to them.
    ///
    /// # Errors
    /// Says what the file is, where it breaks off, what is wrong in it, or which setting is not read.
    pub fn read(bytes: &'a [u8]) -> Result<Self, PiecesError> {
        if is_tiktoken(bytes) {
            return Err(PiecesError::Tiktoken);
        }
        let mut pieces = Vec::new();
        let (mut trainer, mut normalizer) = (Trainer::default(), Normalizer::default());
        let (mut trained, mut normalized) = (false, false);
        let mut fields = Fields::of_file(bytes);
        while let Some(field) = fields.next()? {
            match field {
                (1, FieldValue::Bytes(message)) => {
                    if pieces.len() == MAX_PIECES {
                        return Err(PiecesError::malformed(
                            "pieces",
                            format!("are more than {MAX_PIECES}"),
                        ));
                    }
                    pieces.push(piece(fields.of_message(message, "a piece"), pieces.len())?);
                }
                (2, FieldValue::Bytes(message)) => {
                    trained = true;
                    trainer.read(fields.of_message(message, "trainer_spec"))?;
                }
                (3, FieldValue::Bytes(message)) => {
                    normalized = true;
                    normalizer.read(fields.of_message(message, "normalizer_spec"))?;
                }
                (1..=3, _) => return Err(PiecesError::malformed("the model", "has a number for a message")),
                // Test data, rules for the way back, extensions.
                _ => {}
            }
        }
        check(&pieces)?;
        // They stand behind the pieces, and nothing else tells a file that was cut between two of these.
        if !(trained && normalized) {
            let problem = "has no trainer_spec or no normalizer_spec";
            return Err(PiecesError::malformed("the model", problem));
        }
        Ok(Self {
            algorithm: trainer.algorithm()?,
            byte_fallback: trainer.byte_fallback,
            spacing: normalizer.spacing()?,
            ids: SpecialIds {
                bos: control(&pieces, trainer.bos),
                eos: control(&pieces, trainer.eos),
            },
            pieces,
        })
    }
}

/// Reads `SentencePiece`.
fn piece(mut fields: Fields<'_>, id: usize) -> Result<Piece<'_>, PiecesError> {
    let malformed = |problem: &str| PiecesError::malformed(format!("piece {id}"), problem);
    let mut piece = Piece {
        text: "",
        score: 0.0,
        kind: PieceKind::Normal,
    };
    while let Some(field) = fields.next()? {
        match field {
            (1, FieldValue::Bytes(text)) => {
                piece.text = str::from_utf8(text).map_err(|_| malformed("is not valid UTF-8"))?;
            }
            (2, FieldValue::Float(score)) => piece.score = score.into(),
            (3, FieldValue::Number(kind)) => {
                let kind = PieceKind::of(kind);
                piece.kind = kind.ok_or_else(|| malformed("has an unknown type"))?;
            }
            (1..=3, _) => return Err(malformed("has a field of another type than it should")),
            _ => {}
        }
    }
    if piece.text.is_empty() || piece.text.len() > MAX_PIECE_BYTES {
        let length = piece.text.len();
        return Err(malformed(&format!(
            "has a spelling of {length} bytes, not 1 to {MAX_PIECE_BYTES}"
        )));
    }
    if !piece.score.is_finite() {
        return Err(malformed("has a score that is no number"));
    }
    if piece.kind == PieceKind::UserDefined {
        symbols::check(piece.text)?;
    }
    Ok(piece)
}

fn check(pieces: &[Piece<'_>]) -> Result<(), PiecesError> {
    let mut texts = HashSet::with_capacity(pieces.len());
    for (id, piece) in pieces.iter().enumerate() {
        if !texts.insert(piece.text) {
            let problem = format!("is spelled `{}`, as another is", shortened(piece.text));
            return Err(PiecesError::malformed(format!("piece {id}"), problem));
        }
    }
    if pieces.iter().any(|piece| piece.kind == PieceKind::Unknown) {
        return Ok(());
    }
    let problem = "has no piece of the type UNKNOWN, as every vocabulary has";
    Err(PiecesError::malformed("the model", problem))
}

/// The library finds these by their spellings, whatever ids the trainer was told.
fn control(pieces: &[Piece<'_>], text: &str) -> Option<u32> {
    let mut pieces = (0..).zip(pieces);
    let (id, _) = pieces.find(|(_, piece)| piece.text == text && piece.kind == PieceKind::Control)?;
    Some(id)
}

impl Default for Trainer<'_> {
    fn default() -> Self {
        Self {
            model_type: 1,
            space_behind: false,
            byte_fallback: false,
            bos: "<s>",
            eos: "</s>",
        }
    }
}

impl<'a> Trainer<'a> {
    fn read(&mut self, mut fields: Fields<'a>) -> Result<(), PiecesError> {
        let text = |bytes: &'a [u8]| {
            let problem = "has a spelling that is not valid UTF-8";
            str::from_utf8(bytes).map_err(|_| PiecesError::malformed("trainer_spec", problem))
        };
        while let Some(field) = fields.next()? {
            match field {
                (3, FieldValue::Number(number)) => self.model_type = number,
                (24, FieldValue::Number(number)) => self.space_behind = number != 0,
                (35, FieldValue::Number(number)) => self.byte_fallback = number != 0,
                (46, FieldValue::Bytes(bytes)) => self.bos = text(bytes)?,
                (47, FieldValue::Bytes(bytes)) => self.eos = text(bytes)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn algorithm(&self) -> Result<Algorithm, PiecesError> {
        if self.space_behind {
            return Err(PiecesError::Unsupported {
                field: "trainer_spec.treat_whitespace_as_suffix",
                value: "true".to_owned(),
                expected: "only false",
            });
        }
        match self.model_type {
            1 => Ok(Algorithm::Unigram),
            2 => Ok(Algorithm::Bpe),
            other => Err(PiecesError::Unsupported {
                field: "trainer_spec.model_type",
                value: match other {
                    3 => "WORD".to_owned(),
                    4 => "CHAR".to_owned(),
                    other => other.to_string(),
                },
                expected: "UNIGRAM or BPE",
            }),
        }
    }
}

impl Default for Normalizer<'_> {
    fn default() -> Self {
        Self {
            charsmap: &[],
            prefix: true,
            collapses: true,
            escapes: true,
        }
    }
}

impl<'a> Normalizer<'a> {
    fn read(&mut self, mut fields: Fields<'a>) -> Result<(), PiecesError> {
        while let Some(field) = fields.next()? {
            match field {
                (2, FieldValue::Bytes(map)) => self.charsmap = map,
                (3, FieldValue::Number(number)) => self.prefix = number != 0,
                (4, FieldValue::Number(number)) => self.collapses = number != 0,
                (5, FieldValue::Number(number)) => self.escapes = number != 0,
                _ => {}
            }
        }
        Ok(())
    }

    fn spacing(&self) -> Result<Spacing<'a>, PiecesError> {
        if !self.escapes {
            return Err(PiecesError::Unsupported {
                field: "normalizer_spec.escape_whitespaces",
                value: "false".to_owned(),
                expected: "only true",
            });
        }
        if !self.charsmap.is_empty() {
            charsmap::check(self.charsmap)?;
        }
        Ok(Spacing {
            charsmap: self.charsmap,
            collapses: self.collapses,
            prefix: if self.prefix { Prefix::Each } else { Prefix::Never },
        })
    }
}

/// Whether the first line is base64 and a number, which no message of this format looks like: its first
/// byte would be a field of a type that is never used.
fn is_tiktoken(bytes: &[u8]) -> bool {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let mut words = line.trim_ascii_end().split(|byte| *byte == b' ');
    let (Some(token), Some(rank), None) = (words.next(), words.next(), words.next()) else {
        return false;
    };
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    !token.is_empty()
        && !rank.is_empty()
        && token.iter().all(is_base64)
        && rank.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests;
