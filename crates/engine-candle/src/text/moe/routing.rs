//! Which experts compute a token.

use std::cmp::Ordering;

use crate::text::config::{ExpertGroups, MoeConfig, RouterScores};

/// An expert and the weight of what it computes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Chosen {
    pub(super) expert: usize,
    pub(super) weight: f32,
}

/// Chooses the experts of one token by the router's logits, one for each expert; `correction` has
/// as many. They come in the order of their numbers. Of equally good ones the first are taken.
pub(super) fn choose(config: &MoeConfig, logits: &[f32], correction: Option<&[f32]>) -> Vec<Chosen> {
    let routing = &config.routing;
    let scores = match routing.scores {
        RouterScores::Softmax => softmax(logits),
        RouterScores::Sigmoid => logits.iter().map(|logit| 1.0 / (1.0 + (-logit).exp())).collect(),
    };
    let corrected: Vec<f32> = match correction {
        Some(correction) => scores
            .iter()
            .zip(correction)
            .map(|(score, bias)| score + bias)
            .collect(),
        None => scores.clone(),
    };
    let candidates = match routing.groups {
        Some(groups) => members_of_best(groups, &corrected),
        None => (0..corrected.len()).collect(),
    };
    let mut experts = best_of(candidates, &corrected, config.chosen);
    experts.sort_unstable();
    let mut chosen: Vec<Chosen> = experts
        .into_iter()
        .map(|expert| Chosen {
            expert,
            weight: scores[expert],
        })
        .collect();
    // As in the reference, so that scores which are all 0 divide by something.
    let total = chosen.iter().map(|chosen| chosen.weight).sum::<f32>() + 1e-20;
    for chosen in &mut chosen {
        if routing.normalised {
            chosen.weight /= total;
        }
        chosen.weight *= routing.scale;
    }
    chosen
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut scores: Vec<f32> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let total: f32 = scores.iter().sum();
    for score in &mut scores {
        *score /= total;
    }
    scores
}

/// The experts of the best groups.
fn members_of_best(groups: ExpertGroups, scores: &[f32]) -> Vec<usize> {
    let size = scores.len() / groups.count;
    let values: Vec<f32> = scores
        .chunks_exact(size)
        .map(|group| {
            let best = best_of((0..size).collect(), group, groups.best);
            best.into_iter().map(|member| group[member]).sum()
        })
        .collect();
    let best = best_of((0..groups.count).collect(), &values, groups.kept);
    best.into_iter()
        .flat_map(|group| group * size..(group + 1) * size)
        .collect()
}

/// The best `count` of some candidates, best first.
fn best_of(mut candidates: Vec<usize>, scores: &[f32], count: usize) -> Vec<usize> {
    let better = |left: &usize, right: &usize| -> Ordering {
        scores[*right].total_cmp(&scores[*left]).then(left.cmp(right))
    };
    if count < candidates.len() {
        candidates.select_nth_unstable_by(count, better);
        candidates.truncate(count);
    }
    candidates.sort_unstable_by(better);
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::config::RoutingConfig;

    fn config(chosen: usize, routing: RoutingConfig) -> MoeConfig {
        MoeConfig {
            experts: 0,
            chosen,
            intermediate_size: 0,
            layers: Vec::new(),
            shared: None,
            routing,
        }
    }

    fn routing(scores: RouterScores) -> RoutingConfig {
        RoutingConfig {
            scores,
            corrected: false,
            groups: None,
            normalised: false,
            scale: 1.0,
        }
    }

    fn experts(chosen: &[Chosen]) -> Vec<usize> {
        chosen.iter().map(|chosen| chosen.expert).collect()
    }

    /// Logits whose softmax is these probabilities.
    fn logits(probabilities: &[f32]) -> Vec<f32> {
        probabilities
            .iter()
            .map(|probability| probability.ln() + 3.0)
            .collect()
    }

    #[track_caller]
    fn assert_weights(chosen: &[Chosen], expected: &[f32]) {
        assert_eq!(chosen.len(), expected.len());
        for (chosen, expected) in chosen.iter().zip(expected) {
            assert!(
                (chosen.weight - expected).abs() < 1e-6,
                "{chosen:?} is not {expected}"
            );
        }
    }

    #[test]
    fn the_likeliest_experts_are_chosen_in_the_order_of_their_numbers() {
        let logits = logits(&[0.1, 0.4, 0.2, 0.3]);
        let chosen = choose(&config(2, routing(RouterScores::Softmax)), &logits, None);
        assert_eq!(experts(&chosen), [1, 3]);
        assert_weights(&chosen, &[0.4, 0.3]);
    }

    #[test]
    fn weights_are_normalised_before_they_are_scaled() {
        let routing = RoutingConfig {
            normalised: true,
            scale: 3.5,
            ..routing(RouterScores::Softmax)
        };
        let chosen = choose(&config(2, routing), &logits(&[0.1, 0.4, 0.2, 0.3]), None);
        assert_weights(&chosen, &[2.0, 1.5]);
    }

    #[test]
    fn the_first_of_equal_experts_is_taken() {
        let chosen = choose(&config(2, routing(RouterScores::Softmax)), &[1.0; 5], None);
        assert_eq!(experts(&chosen), [0, 1]);
    }

    #[test]
    fn a_correction_chooses_and_does_not_weight() {
        let routing = RoutingConfig {
            corrected: true,
            ..routing(RouterScores::Sigmoid)
        };
        let chosen = choose(&config(1, routing), &[0.0, 2.0, 0.0], Some(&[0.0, 0.0, 1.0]));
        assert_eq!(experts(&chosen), [2]);
        assert_weights(&chosen, &[0.5]);
    }

    /// The best expert is in a group whose two best are together less than those of another.
    #[test]
    fn groups_count_by_one_or_two_of_their_experts() {
        let probabilities = [0.3, 0.01, 0.02, 0.2, 0.19, 0.28];
        let kept_one = |best| RoutingConfig {
            groups: Some(ExpertGroups {
                count: 3,
                kept: 1,
                best,
            }),
            ..routing(RouterScores::Softmax)
        };
        let of = |best| experts(&choose(&config(2, kept_one(best)), &logits(&probabilities), None));
        assert_eq!(of(1), [0, 1]);
        assert_eq!(of(2), [4, 5]);
    }

    #[test]
    fn scores_that_are_all_zero_have_weights() {
        let routing = RoutingConfig {
            normalised: true,
            ..routing(RouterScores::Sigmoid)
        };
        let chosen = choose(&config(2, routing), &[-200.0; 3], None);
        assert_weights(&chosen, &[0.0, 0.0]);
    }
}
