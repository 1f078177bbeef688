//! Where the last tokens of a sequence stood before.

/// Lengths of the runs that are looked up, the longest first: two tokens are the same by chance
/// more often than three.
pub(super) const RUNS: [usize; 2] = [3, 2];

/// The most positions that a table holds; it takes four times as many bytes, 256 KiB. A run beyond them
/// takes the place of another one.
const MOST_SLOTS: usize = 1 << 16;
const LEAST_SLOTS: usize = 1 << 6;

/// The last position of each run of tokens, in tables of bounded size: at most 512 KiB a sequence, both together.
pub(super) struct Lookup {
    /// For each length the position behind a run, by a hash of it; 0 stands for none. What is
    /// found is compared with the tokens, so runs with the same hash are not mistaken.
    tables: [Vec<u32>; RUNS.len()],
    /// Runs that end within so many tokens are in the tables.
    seen: usize,
}

/// A place where the last tokens stood before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// Which of [`RUNS`] was found.
    pub(super) run: usize,
    /// The position of the token that followed.
    pub(super) next: usize,
}

impl Found {
    /// The token that is guessed `index` positions behind the end of `tokens`. Behind the end of
    /// what is known the guess begins anew, as in a loop.
    pub(super) fn token(self, tokens: &[u32], index: usize) -> u32 {
        let period = tokens.len() - self.next;
        tokens[self.next + index % period]
    }
}

impl Lookup {
    /// For a sequence of at most so many tokens.
    pub(super) fn new(most_tokens: usize) -> Self {
        let slots = most_tokens.clamp(LEAST_SLOTS, MOST_SLOTS).next_power_of_two();
        // Zeroed by the system as it is used.
        Self {
            tables: RUNS.map(|_| vec![0; slots]),
            seen: 0,
        }
    }

    /// Finds the last place before the end where the last tokens of the sequence stand, by the
    /// longest run that has one. `tokens` begin with those of earlier calls.
    pub(super) fn find(&mut self, tokens: &[u32]) -> Option<Found> {
        // The run at the very end has nothing behind it yet.
        let known = tokens.len().saturating_sub(1);
        for end in self.seen + 1..=known {
            let Ok(position) = u32::try_from(end) else { break };
            for (run, table) in RUNS.iter().zip(&mut self.tables) {
                if let Some(start) = end.checked_sub(*run) {
                    let slot = slot(&tokens[start..end], table.len());
                    table[slot] = position;
                }
            }
        }
        self.seen = self.seen.max(known);
        let tables = RUNS.iter().zip(&self.tables).enumerate();
        tables.into_iter().find_map(|(index, (run, table))| {
            let last = &tokens[tokens.len().checked_sub(*run)?..];
            let next = table[slot(last, table.len())] as usize;
            let before = &tokens[next.checked_sub(*run)?..next];
            (before == last).then_some(Found { run: index, next })
        })
    }
}

/// The place of a run in a table of so many slots, a power of two.
fn slot(run: &[u32], slots: usize) -> usize {
    let mix = |hash: u64, token: &u32| (hash ^ u64::from(*token)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let hash = run.iter().fold(0, mix);
    // The high bits depend on all tokens.
    usize::try_from(hash >> 32).unwrap_or_default() & (slots - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn three_tokens_go_before_two_and_the_last_place_before_earlier_ones() {
        let mut lookup = Lookup::new(100);
        let tokens = [1, 2, 3, 8, 1, 2, 3, 9, 5, 2, 3, 7, 1, 2, 3];
        assert_eq!(lookup.find(&tokens), Some(Found { run: 0, next: 7 }));
        let tokens = [1, 2, 3, 8, 5, 2, 3];
        assert_eq!(Lookup::new(100).find(&tokens), Some(Found { run: 1, next: 3 }));
        assert_eq!(Lookup::new(100).find(&[1, 2, 3]), None);
        assert_eq!(Lookup::new(100).find(&[]), None);
    }

    #[test]
    fn tables_are_bounded_however_long_the_sequence_is() {
        let lookup = Lookup::new(usize::MAX / 2);
        assert!(lookup.tables.iter().all(|table| table.len() == MOST_SLOTS));
    }

    /// Of ten thousand different runs a table of 64 has the last ones, and says of none that it is another.
    #[test]
    fn what_no_longer_fits_is_not_found_and_nothing_else_in_its_place() {
        let tokens: Vec<u32> = (0..10_000).collect();
        let mut lookup = Lookup::new(1);
        assert_eq!(lookup.find(&tokens), None);
        let found = |first: u32| {
            let mut lookup = Lookup {
                tables: lookup.tables.clone(),
                seen: lookup.seen,
            };
            let again: Vec<u32> = tokens.iter().copied().chain(first..first + 3).collect();
            let found = lookup.find(&again)?;
            assert_eq!(found.next, first as usize + 3, "{found:?}");
            Some(found)
        };
        let recent = (9_900..9_996).filter_map(found).count();
        assert!(recent > 20 && recent < 90, "{recent} of the last hundred");
        assert_eq!((0..5_000).step_by(50).filter_map(found).count(), 0);
    }

    proptest! {
        #[test]
        fn finds_what_a_search_through_all_tokens_finds(
            tokens in prop::collection::vec(0_u32..6, 0..200),
            step in 1_usize..9,
        ) {
            // Tables so large that hardly two runs share a slot.
            let mut lookup = Lookup::new(MOST_SLOTS);
            for end in (0..tokens.len()).step_by(step) {
                let tokens = &tokens[..end];
                let searched = RUNS.iter().enumerate().find_map(|(run, length)| {
                    let last = &tokens[end.checked_sub(*length)?..];
                    let places = (*length..end).rev();
                    let next = places.into_iter().find(|next| &tokens[next - length..*next] == last)?;
                    Some(Found { run, next })
                });
                prop_assert_eq!(lookup.find(tokens), searched);
            }
        }
    }
}
