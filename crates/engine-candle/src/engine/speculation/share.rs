//! How many tokens each sequence of a step drafts.
//!
//! A pass reads the weights once and computes a row for each token ([`Costs`]). A drafted token is worth its row when
//! the tokens that it brings, by its odds, come clearly cheaper than those of the pass without it. With many rows there
//! is little to win, and with experts less: each row reads some of its own.
//!
//! Sequences that draft nothing win nothing by the drafts of others, so these make their step at most
//! [`WAITING`] times as long.

#[cfg(target_arch = "x86_64")]
use crate::kernels::Path;

/// How much cheaper the tokens of a draft must come: what a pass takes is an estimate.
const MARGIN: f32 = 1.1;
/// How much longer a step may take in which somebody drafts nothing.
const WAITING: f32 = 1.15;
/// How much longer a step of several sequences may take at all.
const TOGETHER: f32 = 2.0;
/// The most tokens that one sequence drafts in a step.
const MOST_ALONE: usize = 15;
/// The most tokens that all draft in a step: each has a row of logits in memory.
const MOST_TOGETHER: usize = 32;

/// What a pass takes, in units of the time in which one weight is read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::engine) struct Costs {
    /// The weights that every pass reads.
    pub(in crate::engine) dense: f32,
    /// The weights of all experts.
    pub(in crate::engine) experts: f32,
    /// Which part of the experts a row chooses, between 0 and 1.
    pub(in crate::engine) chosen: f32,
    /// Multiplications of a row with what one earlier position has in the cache.
    pub(in crate::engine) position: f32,
    /// What a multiplication takes.
    pub(in crate::engine) product: f32,
}

/// What one sequence could draft.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct Chance {
    /// How likely each drafted token is right when those before it are, between 0 and 1.
    pub(in crate::engine) odds: f32,
    /// The most tokens.
    pub(in crate::engine) most: usize,
    /// The positions before its own.
    pub(in crate::engine) positions: usize,
}

/// What a step computes without drafts, or with them.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct Load {
    /// Tokens of all sequences.
    pub(in crate::engine) rows: usize,
    /// Positions before each of them, all together.
    pub(in crate::engine) positions: usize,
}

impl Costs {
    /// Of a model with so many weights in so many bytes, none of them in experts, on so many threads.
    pub(in crate::engine) fn new(weights: f32, bytes: f32, threads: usize) -> Self {
        Self {
            dense: weights,
            experts: 0.0,
            chosen: 0.0,
            position: 0.0,
            product: product(bytes / weights.max(1.0), threads, is_wide()),
        }
    }

    fn of(&self, load: Load) -> f32 {
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let (rows, positions) = (load.rows as f32, load.positions as f32);
        // Rows choose their experts as if by lot.
        let read = self.dense + self.experts * (1.0 - (1.0 - self.chosen).powf(rows));
        let products = rows * (self.dense + self.experts * self.chosen) + positions * self.position;
        read + self.product * products
    }
}

/// What a multiplication takes beside reading a weight of so many bytes; threads share the multiplications, and only
/// in part the memory.
///
/// By the tables of `bench/README.md` (one and eight sequences of the shape of Qwen2.5-0.5B) it is 0.02 (F32 and `Q8_0`)
/// to 0.06 (`Q4_0`) with one thread where bytes are multiplied by instructions of their own (`wide`), and 0.09 to 0.33
/// where they are not. It is taken for somewhat more.
fn product(bytes: f32, threads: usize, wide: bool) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "threads are few")]
    let threads = threads.max(1) as f32;
    let (alone, shared) = if wide { (0.02, 0.04) } else { (0.1, 0.2) };
    (alone + shared / threads) / bytes.max(0.1)
}

/// Whether products of bytes are an instruction of this processor.
fn is_wide() -> bool {
    #[cfg(target_arch = "x86_64")]
    return matches!(Path::best(), Path::Avx512 | Path::Amx);
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Decides how many tokens each sequence drafts in a step.
pub(in crate::engine) fn share(costs: &Costs, chances: &[Chance], load: Load) -> Vec<usize> {
    let mut lengths = vec![0; chances.len()];
    let mut odds: Vec<f32> = chances.iter().map(|chance| chance.odds).collect();
    let base = costs.of(load);
    let most = if load.rows > 1 {
        base * TOGETHER
    } else {
        f32::INFINITY
    };
    #[expect(clippy::cast_precision_loss, reason = "a step has a few hundred rows")]
    let mut tokens = load.rows as f32;
    let (mut now, mut cost) = (load, base);
    // Who drafts a token, and what the step takes with it.
    let mut drafted: Vec<(usize, f32)> = Vec::new();
    while drafted.len() < MOST_TOGETHER {
        let open = |index: &usize| lengths[*index] < chances[*index].most.min(MOST_ALONE);
        let likely = |left: &usize, right: &usize| odds[*left].total_cmp(&odds[*right]).then(right.cmp(left));
        let Some(best) = (0..chances.len()).filter(open).max_by(likely) else {
            break;
        };
        now.rows += 1;
        now.positions += chances[best].positions;
        let longer = costs.of(now);
        if longer > most || odds[best] * cost <= MARGIN * (longer - cost) * tokens {
            break;
        }
        lengths[best] += 1;
        tokens += odds[best];
        cost = longer;
        odds[best] *= chances[best].odds;
        drafted.push((best, cost));
    }
    // The last ones promise least.
    while let Some((index, cost)) = drafted.pop() {
        let drafting = lengths.iter().filter(|length| **length > 0).count();
        if drafting == load.rows || cost <= base * WAITING {
            break;
        }
        lengths[index] -= 1;
    }
    lengths
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row takes a quarter of what reading takes.
    fn costs() -> Costs {
        Costs {
            product: 0.25,
            ..Costs::new(1e6, 1e6, 1)
        }
    }

    fn load(rows: usize) -> Load {
        Load { rows, positions: 0 }
    }

    fn chance(odds: f32, most: usize) -> Chance {
        Chance {
            odds,
            most,
            positions: 0,
        }
    }

    fn alike(costs: &Costs, count: usize, odds: f32) -> Vec<usize> {
        share(costs, &vec![chance(odds, 100); count], load(count))
    }

    #[test]
    fn a_sequence_alone_drafts_the_more_the_likelier_it_is_right() {
        let lengths = [0.1, 0.4, 0.7, 0.9, 0.99].map(|odds| alike(&costs(), 1, odds)[0]);
        assert_eq!(lengths, [0, 1, 2, 6, 15]);
    }

    #[test]
    fn the_more_sequences_there_are_the_less_each_drafts() {
        let totals = [1, 2, 4, 16].map(|count| alike(&costs(), count, 0.8).iter().sum::<usize>());
        assert_eq!(totals, [4, 2 * 2, 4, 0]);
        assert_eq!(
            alike(&costs(), 4, 0.5),
            [0; 4],
            "half of them wrong is too many for four"
        );
        assert!(alike(&costs(), 100, 0.999).iter().sum::<usize>() <= MOST_TOGETHER);
    }

    #[test]
    fn those_that_draft_nothing_wait_hardly_longer() {
        for costs in [costs(), Costs::new(1e6, 4e6, 2), Costs::new(1e6, 1.1e6, 2)] {
            for waiting in [1, 3, 7, 64] {
                let mut chances = vec![chance(0.0, 100); waiting];
                chances.push(chance(0.95, 100));
                let lengths = share(&costs, &chances, load(waiting + 1));
                let drafted: usize = lengths.iter().sum();
                let longer = costs.of(load(waiting + 1 + drafted)) / costs.of(load(waiting + 1));
                assert!(longer <= WAITING, "{drafted} beside {waiting}: {longer}");
            }
        }
        let costly = Costs {
            product: product(1.1, 2, false),
            ..costs()
        };
        assert_eq!(share(&costly, &[chance(0.95, 100)], load(8)), [2]);
        // Where all draft, all win, and twice as long is the bound.
        let all = alike(&costs(), 3, 0.99);
        assert!(all.iter().all(|length| *length > 1), "{all:?}");
        assert!(costs().of(load(3 + all.iter().sum::<usize>())) <= TOGETHER * costs().of(load(3)));
    }

    #[test]
    fn rows_cost_more_where_each_reads_experts_of_its_own_and_looks_far_back() {
        let dense = costs();
        let experts = Costs {
            dense: 1e5,
            experts: 9e5,
            chosen: 0.1,
            ..dense
        };
        assert!(alike(&dense, 1, 0.9)[0] > alike(&experts, 1, 0.9)[0]);
        assert_eq!(alike(&experts, 1, 0.4), [0], "one that is likely wrong");
        let costs = Costs {
            position: 1e3,
            ..dense
        };
        let at = |positions| {
            let chances = [Chance {
                positions,
                ..chance(0.9, 100)
            }];
            share(&costs, &chances, Load { rows: 1, positions })[0]
        };
        assert!(at(10) > at(4000), "{} and {}", at(10), at(4000));
    }

    /// The measured figures: no less than them, and not far above.
    #[test]
    fn a_row_costs_about_what_was_measured() {
        for (wide, bytes, measured) in [
            (true, 4.0, 0.02),
            (true, 1.06, 0.015),
            (true, 0.7, 0.058),
            (true, 0.79, 0.05),
            (false, 4.0, 0.09),
            (false, 1.06, 0.167),
            (false, 0.7, 0.333),
        ] {
            let product = product(bytes, 1, wide);
            assert!(
                (measured - 0.02..measured + 0.12).contains(&product),
                "{bytes}, {wide}: {product}"
            );
        }
        assert!(product(1.0, 2, true) < product(1.0, 1, true));
    }

    #[test]
    fn nobody_drafts_more_than_it_may_and_the_likelier_go_first() {
        let chances = [chance(0.8, 9), chance(0.95, 2), chance(0.9, 9)];
        let lengths = share(&costs(), &chances, load(3));
        assert_eq!(lengths[1], 2);
        assert!(lengths[2] >= lengths[0], "{lengths:?}");
        assert!(share(&costs(), &[], load(64)).is_empty());
    }
}
