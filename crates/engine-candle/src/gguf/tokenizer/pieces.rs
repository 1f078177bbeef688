//! `SentencePiece` BPE (`llama`, Llama 2 and its kin).

use serde_json::Value;
use silica_pieces::{Algorithm, Form, MAX_MERGES, Piece, Prefix, Spacing};

use super::special::SpecialTokens;
use super::{Kind, TOKENS, Tokens};
use crate::gguf::GgufError;
use crate::gguf::config::missing;
use crate::gguf::file::GgufFile;

const SCORES: &str = "tokenizer.ggml.scores";

pub(super) fn tokenizer(
    file: &GgufFile,
    tokens: &Tokens<'_>,
    special: &SpecialTokens,
) -> Result<Value, GgufError> {
    let scores = file.reals(SCORES)?.ok_or_else(|| missing(SCORES))?;
    if scores.len() != tokens.texts.len() {
        return Err(GgufError::Invalid {
            key: SCORES.to_owned(),
            problem: format!("has {} entries for {} tokens", scores.len(), tokens.texts.len()),
        });
    }
    let texts = tokens.texts.iter().zip(&tokens.kinds).zip(scores);
    let pieces = texts.map(|((text, kind), score)| Piece {
        text,
        score: *score,
        kind: *kind,
    });
    let pieces: Vec<Piece<'_>> = pieces.collect();
    let form = Form {
        pieces: &pieces,
        algorithm: Algorithm::Bpe,
        byte_fallback: pieces.iter().any(|piece| piece.kind == Kind::Byte),
        spacing: Spacing {
            charsmap: &[],
            collapses: false,
            prefix: match file.bool("tokenizer.ggml.add_space_prefix")? {
                Some(false) => Prefix::Never,
                None | Some(true) => Prefix::Each,
            },
        },
        added: tokens.added(),
        first: special.leading(true).into_iter().collect(),
    };
    form.json().map_err(|_| GgufError::Invalid {
        key: TOKENS.to_owned(),
        problem: format!("has more than {MAX_MERGES} ways to put its pieces together"),
    })
}
