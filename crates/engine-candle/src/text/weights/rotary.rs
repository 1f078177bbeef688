//! In which order the rows of projections that are rotated lie in a file.

use std::sync::Arc;

use super::layout::{is_rotated, rotary_order};
use super::read::RowOrder;
use crate::text::config::{ModelConfig, RotaryPairs};

/// The orders of a model's projections.
pub(super) struct RotaryOrders {
    /// Of the heads of queries and keys.
    heads: RowOrder,
    /// Of latents and what is rotated behind them, as if they were a head.
    latents: RowOrder,
}

impl RotaryOrders {
    /// All rows as they are.
    pub(super) fn plain() -> Self {
        Self {
            heads: RowOrder::Plain,
            latents: RowOrder::Plain,
        }
    }

    pub(super) fn of(config: &ModelConfig, pairs: RotaryPairs) -> Self {
        let rotated = config.rope.rotated;
        match &config.mla {
            None => Self {
                heads: rotary_order(config.head_dim, rotated, pairs),
                latents: RowOrder::Plain,
            },
            Some(mla) => Self {
                heads: behind(mla.nope_width, rotary_order(rotated, rotated, pairs)),
                latents: behind(mla.rank, rotary_order(rotated, rotated, pairs)),
            },
        }
    }

    /// The order of a tensor, by the name that the layers have for it.
    pub(super) fn order(&self, name: &str) -> RowOrder {
        if name.contains(".kv_a_proj_with_mqa.") {
            self.latents.clone()
        } else if is_rotated(name) || name.contains(".q_b_proj.") {
            self.heads.clone()
        } else {
            RowOrder::Plain
        }
    }
}

/// The order of heads of which the first rows are not rotated.
fn behind(plain: usize, rotated: RowOrder) -> RowOrder {
    match rotated {
        RowOrder::Plain => RowOrder::Plain,
        RowOrder::Heads(rows) => {
            let rows = rows.iter().map(|row| plain + row);
            RowOrder::Heads(Arc::from((0..plain).chain(rows).collect::<Vec<_>>()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_rotated_stays_before_neighbours_that_become_halves() {
        let order = behind(3, rotary_order(6, 6, RotaryPairs::Neighbours));
        assert_eq!(order, RowOrder::Heads(Arc::from([0, 1, 2, 3, 5, 7, 4, 6, 8])));
        let halves = behind(3, rotary_order(6, 6, RotaryPairs::Halves));
        assert_eq!(halves, RowOrder::Plain);
    }
}
