//! `SentencePiece` BPE (`llama`, Llama 2 and its kin), in the form that Hugging Face converts it to.

use std::cmp::Reverse;

use serde_json::{Value, json};

use super::special::SpecialTokens;
use super::{Kind, TOKENS, Tokens, bos_processor};
use crate::gguf::GgufError;
use crate::gguf::config::missing;
use crate::gguf::file::GgufFile;

const SCORES: &str = "tokenizer.ggml.scores";
/// The letter that stands for a space in pieces.
const SPACE: &str = "\u{2581}";
/// The longest piece that merges make, in bytes; the trainer's own limit is 16 letters unless
/// it was raised. Bounds the work, which grows with the square.
const MAX_PIECE_BYTES: usize = 512;
/// The most ways to put pieces together, three times as many as Gemma's 256,000 pieces have. The
/// splits of a vocabulary made for the purpose would take all memory.
const MAX_MERGES: usize = 1 << 21;

pub(super) fn tokenizer(
    file: &GgufFile,
    tokens: &Tokens<'_>,
    special: &SpecialTokens,
) -> Result<Value, GgufError> {
    let merges = merges(file, tokens)?;
    let unknown = tokens.used().find(|(_, _, kind)| *kind == Kind::Unknown);
    let unknown = unknown.map(|(_, text, _)| text);
    let bytes = tokens.used().any(|(_, _, kind)| kind == Kind::Byte);
    let leading_space = file.bool("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
    let mut normalizers = vec![];
    let mut decoders = vec![
        json!({ "type": "Replace", "pattern": { "String": SPACE }, "content": " " }),
        json!({ "type": "ByteFallback" }),
        json!({ "type": "Fuse" }),
    ];
    if leading_space {
        normalizers.push(json!({ "type": "Prepend", "prepend": SPACE }));
        decoders.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    normalizers.push(json!({ "type": "Replace", "pattern": { "String": " " }, "content": SPACE }));
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": tokens.added(),
        "normalizer": { "type": "Sequence", "normalizers": normalizers },
        "pre_tokenizer": null,
        "post_processor": bos_processor(special.leading(true)),
        "decoder": { "type": "Sequence", "decoders": decoders },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": unknown,
            "continuing_subword_prefix": null, "end_of_word_suffix": null,
            "fuse_unk": true, "byte_fallback": bytes, "ignore_merges": false,
            "vocab": tokens.vocabulary(),
            "merges": merges,
        },
    }))
}

/// A way to put a piece together.
struct Merge<'file> {
    score: f64,
    parts: [&'file str; 2],
    ids: [u32; 2],
}

/// `SentencePiece` always joins the two neighbours whose whole has the highest score; the library
/// wants the joins listed in that order. Scores fall strictly from piece to piece, so ties are only
/// between the ways to put one piece together.
fn merges<'file>(file: &GgufFile, tokens: &Tokens<'file>) -> Result<Vec<[&'file str; 2]>, GgufError> {
    let scores = file.reals(SCORES)?.ok_or_else(|| missing(SCORES))?;
    if scores.len() != tokens.texts.len() {
        return Err(GgufError::Invalid {
            key: SCORES.to_owned(),
            problem: format!("has {} entries for {} tokens", scores.len(), tokens.texts.len()),
        });
    }
    let normal = |part: &str| {
        let id = tokens.ids.get(part).copied()?;
        (tokens.kinds.get(id as usize) == Some(&Kind::Normal)).then_some(id)
    };
    let mut merges = Vec::new();
    for (id, text, kind) in tokens.used() {
        if kind != Kind::Normal || text.len() > MAX_PIECE_BYTES {
            continue;
        }
        let score = scores.get(id as usize).copied().unwrap_or_default();
        for (border, _) in text.char_indices().skip(1) {
            let parts = text.split_at(border);
            if let (Some(left), Some(right)) = (normal(parts.0), normal(parts.1)) {
                if merges.len() == MAX_MERGES {
                    return Err(GgufError::Invalid {
                        key: TOKENS.to_owned(),
                        problem: format!("has more than {MAX_MERGES} ways to put its pieces together"),
                    });
                }
                merges.push(Merge {
                    score,
                    parts: parts.into(),
                    ids: [left, right],
                });
            }
        }
    }
    merges.sort_by(|one, other| {
        let by_score = other.score.total_cmp(&one.score);
        let rank = |merge: &Merge<'_>| Reverse(merge.parts.map(|part| part.chars().count()));
        by_score
            .then_with(|| rank(one).cmp(&rank(other)))
            .then_with(|| one.ids.cmp(&other.ids))
    });
    Ok(merges.into_iter().map(|merge| merge.parts).collect())
}
