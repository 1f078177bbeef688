//! In which order neighbours are joined.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::{Piece, PiecesError};

/// The longest piece that merges make, in bytes; the trainer's own limit is 16 letters unless
/// it was raised. Bounds the work, which grows with the square.
const MAX_MADE_BYTES: usize = 512;
/// The most ways to put pieces together, three times as many as Gemma's 256,000 pieces have. The splits of a
/// vocabulary made for the purpose would take all memory.
pub const MAX_MERGES: usize = 1 << 21;

/// A way to put a piece together.
struct Merge<'a> {
    score: f64,
    parts: [&'a str; 2],
    ids: [u32; 2],
}

/// The joins of pieces to pieces, the first to be made first. `pieces` are those that texts are made of,
/// with their ids.
///
/// `SentencePiece` always joins the two neighbours whose whole has the highest score; `tokenizer.json`
/// lists the joins in that order. Scores fall strictly from piece to piece, so ties are only
/// between the ways to put one piece together.
///
/// # Errors
/// [`PiecesError::ManyMerges`] beyond [`MAX_MERGES`].
pub(crate) fn merges<'a>(pieces: &[(u32, Piece<'a>)]) -> Result<Vec<[&'a str; 2]>, PiecesError> {
    let ids: HashMap<&str, u32> = pieces.iter().map(|(id, piece)| (piece.text, *id)).collect();
    let mut merges = Vec::new();
    for (_, piece) in pieces
        .iter()
        .filter(|(_, piece)| piece.text.len() <= MAX_MADE_BYTES)
    {
        for (border, _) in piece.text.char_indices().skip(1) {
            let parts = piece.text.split_at(border);
            if let (Some(left), Some(right)) = (ids.get(parts.0), ids.get(parts.1)) {
                if merges.len() == MAX_MERGES {
                    return Err(PiecesError::ManyMerges);
                }
                merges.push(Merge {
                    score: piece.score,
                    parts: parts.into(),
                    ids: [*left, *right],
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PieceKind;

    #[test]
    fn higher_scores_go_first_and_all_ways_to_a_piece_are_listed() {
        let piece = |text, score| Piece {
            text,
            score,
            kind: PieceKind::Normal,
        };
        let pieces = [
            (7, piece("abc", -2.0)),
            (8, piece("bc", -1.0)),
            (9, piece("ab", -3.0)),
            (10, piece("a", -4.0)),
            (11, piece("b", -5.0)),
            (12, piece("c", -6.0)),
        ];
        let expected = [["b", "c"], ["ab", "c"], ["a", "bc"], ["a", "b"]];
        assert_eq!(merges(&pieces).unwrap(), expected);
    }
}
