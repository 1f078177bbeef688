//! Long documents in pieces.

/// How a document is cut: pieces of `size` tokens, of which neighbours share `overlap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    size: usize,
    overlap: usize,
}

impl Cut {
    /// Pieces of at most `size` tokens, at least 1. They share no more than a half, so that a document does
    /// not become many times its length.
    pub(super) fn new(size: usize, overlap: usize) -> Self {
        let size = size.max(1);
        Self {
            size,
            overlap: overlap.min(size / 2),
        }
    }

    /// How many tokens so many pieces hold.
    pub(super) fn capacity(self, pieces: usize) -> usize {
        let more = pieces.saturating_sub(1).saturating_mul(self.size - self.overlap);
        more.saturating_add(self.size)
    }

    /// The pieces of a document, at least one; the last one may be shorter.
    pub(super) fn pieces(self, tokens: &[u32]) -> impl Iterator<Item = &[u32]> {
        let step = self.size - self.overlap;
        let count = tokens.len().saturating_sub(self.size).div_ceil(step) + 1;
        (0..count).map(move |index| {
            let start = index * step;
            &tokens[start..tokens.len().min(start + self.size)]
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces(size: usize, overlap: usize, length: u32) -> Vec<Vec<u32>> {
        let tokens: Vec<u32> = (0..length).collect();
        Cut::new(size, overlap)
            .pieces(&tokens)
            .map(<[u32]>::to_vec)
            .collect()
    }

    #[test]
    fn neighbours_share_the_overlap_and_short_documents_stay_whole() {
        assert_eq!(
            pieces(4, 1, 9),
            [vec![0, 1, 2, 3], vec![3, 4, 5, 6], vec![6, 7, 8]]
        );
        assert_eq!(pieces(4, 1, 4), [[0, 1, 2, 3]]);
        assert_eq!(pieces(4, 0, 8).len(), 2);
        assert_eq!(
            pieces(4, 80, 5),
            [vec![0, 1, 2, 3], vec![2, 3, 4]],
            "half of it at most"
        );
        assert_eq!(pieces(4, 1, 0), [Vec::<u32>::new()]);
        assert_eq!(pieces(1, 1, 3), [[0], [1], [2]]);
    }

    proptest! {
        #[test]
        fn every_token_is_in_a_piece_and_the_capacity_is_exact(size in 1..40_usize, overlap in 0..50_usize, length in 0..300_u32) {
            let pieces = pieces(size, overlap, length);
            let mut seen: Vec<u32> = pieces.concat();
            seen.dedup();
            seen.sort_unstable();
            seen.dedup();
            prop_assert_eq!(seen, (0..length).collect::<Vec<u32>>());
            prop_assert!(pieces.iter().all(|piece| piece.len() <= size));
            let cut = Cut::new(size, overlap);
            prop_assert!(cut.capacity(pieces.len()) >= length as usize);
            prop_assert!(pieces.len() == 1 || cut.capacity(pieces.len() - 1) < length as usize);
        }
    }
}
