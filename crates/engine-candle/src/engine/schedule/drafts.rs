//! Who drafts how much in a step: see [`super::super::speculation`].

use super::super::sequence::Sequence;
use super::super::speculation::{Chance, share};
use super::{Places, Plan};

impl Places {
    /// Adds drafts to a plan: for sequences that compute their last token in it. They take only
    /// blocks that nobody else needs in this step, and give them back when they are not used.
    pub(in crate::engine) fn draft(&mut self, plan: &mut Plan) {
        let mut drafting = Vec::new();
        let mut chances = Vec::new();
        for (index, sequence) in self.sequences.iter_mut().enumerate() {
            if plan.counts[index] != 1 || sequence.left() != 1 {
                continue;
            }
            if let Some(odds) = sequence.guess() {
                let most = sequence.most_drafts();
                chances.push(Chance { odds, most });
                drafting.push(index);
            }
        }
        if drafting.is_empty() {
            return;
        }
        let rows = plan.counts.iter().sum();
        for (index, count) in drafting.into_iter().zip(share(&chances, rows)) {
            let sequence: &mut Sequence = &mut self.sequences[index];
            plan.counts[index] += sequence.draft(count);
        }
    }
}
