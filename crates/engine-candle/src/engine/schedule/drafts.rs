//! Who drafts how much in a step: see [`super::super::speculation`].

use super::super::sequence::Sequence;
use super::super::speculation::{Chance, Costs, Load, share};
use super::{Places, Plan};

impl Places {
    /// Adds drafts to a plan: for sequences that compute their last token in it. They take only
    /// blocks that nobody else needs in this step, and give them back when they are not used. `costs` say
    /// what the step takes.
    pub(in crate::engine) fn draft(&mut self, plan: &mut Plan, costs: &Costs) {
        let mut drafting = Vec::new();
        let mut chances = Vec::new();
        let mut load = Load {
            rows: 0,
            positions: 0,
        };
        for (index, sequence) in self.sequences.iter_mut().enumerate() {
            let positions = sequence.positions();
            load.rows += plan.counts[index];
            load.positions += plan.counts[index] * positions;
            if plan.counts[index] != 1 || sequence.left() != 1 {
                continue;
            }
            if let Some(odds) = sequence.guess() {
                let most = sequence.most_drafts();
                chances.push(Chance {
                    odds,
                    most,
                    positions,
                });
                drafting.push(index);
            }
        }
        if drafting.is_empty() {
            return;
        }
        for (index, count) in drafting.into_iter().zip(share(costs, &chances, load)) {
            let sequence: &mut Sequence = &mut self.sequences[index];
            plan.counts[index] += sequence.draft(count);
        }
    }
}
