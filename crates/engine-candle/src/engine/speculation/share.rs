//! How many tokens each sequence of a step drafts.
//!
//! A pass reads the weights once and computes a row for each token, so it takes as long as
//! `1 + ROW_COST * rows` of reading. A drafted token is worth its row when the tokens that it brings,
//! by its odds, come cheaper than those of the pass without it. With many rows there is little to win.

/// What a row costs beside reading the weights. By the figures of one and of eight sequences at once in
/// `bench/README.md` (shape of Qwen2.5-0.5B, two threads) it is between 0.06 (F32) and 0.27 (`Q4_0`).
const ROW_COST: f32 = 0.25;
/// The most tokens that one sequence drafts in a step.
const MOST_ALONE: usize = 15;
/// The most tokens that all draft in a step: each has a row of logits in memory.
const MOST_TOGETHER: usize = 32;

/// What one sequence could draft.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct Chance {
    /// How likely each drafted token is right when those before it are, between 0 and 1.
    pub(in crate::engine) odds: f32,
    /// The most tokens.
    pub(in crate::engine) most: usize,
}

/// Decides how many tokens each sequence drafts in a step that computes `rows` tokens without them.
/// Where others wait for the step too, it takes at most twice as long.
pub(in crate::engine) fn share(chances: &[Chance], rows: usize) -> Vec<usize> {
    let mut lengths = vec![0; chances.len()];
    let mut odds: Vec<f32> = chances.iter().map(|chance| chance.odds).collect();
    #[expect(clippy::cast_precision_loss, reason = "a step has a few hundred rows")]
    let mut tokens = rows as f32;
    let mut cost = 1.0 + ROW_COST * tokens;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is small and positive"
    )]
    let patience = if rows > 1 {
        (cost / ROW_COST) as usize
    } else {
        MOST_ALONE
    };
    for _ in 0..patience.min(MOST_TOGETHER) {
        let open = |index: &usize| lengths[*index] < chances[*index].most.min(MOST_ALONE);
        let likely = |left: &usize, right: &usize| odds[*left].total_cmp(&odds[*right]).then(right.cmp(left));
        let Some(best) = (0..chances.len()).filter(open).max_by(likely) else {
            break;
        };
        if odds[best] * cost <= ROW_COST * tokens {
            break;
        }
        lengths[best] += 1;
        tokens += odds[best];
        cost += ROW_COST;
        odds[best] *= chances[best].odds;
    }
    lengths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alike(count: usize, odds: f32) -> Vec<usize> {
        share(&vec![Chance { odds, most: 100 }; count], count)
    }

    #[test]
    fn a_sequence_alone_drafts_the_more_the_likelier_it_is_right() {
        let lengths = [0.1, 0.4, 0.7, 0.9, 0.99].map(|odds| alike(1, odds)[0]);
        assert_eq!(lengths, [0, 1, 3, 7, 15]);
    }

    #[test]
    fn the_more_sequences_there_are_the_less_each_drafts() {
        let totals = [1, 2, 4, 8, 16].map(|count| alike(count, 0.8).iter().sum::<usize>());
        assert_eq!(totals, [4, 3 * 2, 2 * 4, 8, 0]);
        assert_eq!(alike(4, 0.5), [0; 4], "half of them wrong is too many for four");
        assert!(alike(100, 0.999).iter().sum::<usize>() <= MOST_TOGETHER);
    }

    #[test]
    fn those_beside_a_sequence_that_repeats_itself_wait_at_most_twice_as_long() {
        let chances = [
            Chance {
                odds: 0.99,
                most: 100,
            },
            Chance { odds: 0.0, most: 100 },
        ];
        assert_eq!(share(&chances, 2), [6, 0]);
    }

    #[test]
    fn nobody_drafts_more_than_it_may_and_the_likelier_go_first() {
        let chances = [(0.8, 9), (0.95, 2), (0.1, 9)].map(|(odds, most)| Chance { odds, most });
        let lengths = share(&chances, 3);
        assert_eq!(lengths[1], 2);
        assert!(lengths[0] > 0 && lengths[2] == 0, "{lengths:?}");
        assert!(share(&[], 64).is_empty());
    }
}
