//! `SentencePiece` vocabularies, as they stand in `tokenizer.model` files and in GGUF files.
//!
//! - [`PieceModel`] is a `tokenizer.model`, read and checked. Everything in the file is bounded by the
//!   file's own size before it is believed.
//! - [`Form`] is a vocabulary with what else a tokenizer needs, and makes the `tokenizer.json` that gives
//!   the same ids.
//!
//! It knows neither files nor the library that reads the `tokenizer.json`.

mod charsmap;
mod error;
mod form;
mod merges;
mod model;
mod piece;
mod symbols;
mod wire;

pub use error::PiecesError;
pub use form::{AddedToken, Algorithm, Form, Prefix, Spacing, first_tokens};
pub use merges::MAX_MERGES;
pub use model::{PieceModel, SpecialIds};
pub use piece::{MAX_PIECE_BYTES, MAX_PIECES, Piece, PieceKind};

/// At most 64 characters of a text from a file, control characters escaped.
pub fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(64).flat_map(char::escape_debug).collect();
    if text.chars().nth(64).is_some() {
        short.push_str("..");
    }
    short
}
