//! A set of replicas of one deployment, by position.

/// Positions in a deployment. Takes no memory of its own up to 128 replicas.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Positions {
    first: u128,
    /// Those from 128 on, by 128.
    more: Vec<u128>,
}

const WORD: usize = 128;

impl Positions {
    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.first == 0 && self.more.iter().all(|word| *word == 0)
    }

    /// Whether this one is among them.
    pub(crate) fn contains(&self, position: usize) -> bool {
        let word = match position / WORD {
            0 => self.first,
            index => self.more.get(index - 1).copied().unwrap_or_default(),
        };
        word & (1 << (position % WORD)) != 0
    }

    /// Adds one.
    pub(crate) fn insert(&mut self, position: usize) {
        let word = match position / WORD {
            0 => &mut self.first,
            index => {
                if self.more.len() < index {
                    self.more.resize(index, 0);
                }
                &mut self.more[index - 1]
            }
        };
        *word |= 1 << (position % WORD);
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.words().map(|word| word.count_ones() as usize).sum()
    }

    /// All of them, lowest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        self.words().enumerate().flat_map(|(index, mut word)| {
            std::iter::from_fn(move || {
                let lowest = (word != 0).then(|| word.trailing_zeros() as usize)?;
                word &= word - 1;
                Some(index * WORD + lowest)
            })
        })
    }

    fn words(&self) -> impl Iterator<Item = u128> {
        std::iter::once(self.first).chain(self.more.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_below_and_above_the_first_word_are_kept() {
        let mut positions = Positions::default();
        assert!(positions.is_empty());
        for position in [300, 0, 127, 128, 5, 5] {
            positions.insert(position);
        }
        assert_eq!(positions.iter().collect::<Vec<_>>(), [0, 5, 127, 128, 300]);
        assert_eq!(positions.len(), 5);
        assert!(positions.contains(300) && !positions.contains(299) && !positions.contains(10_000));
    }
}
