use proptest::prelude::*;

use super::*;

fn draw(sampling: Sampling, logits: &[f32]) -> u32 {
    Sampler::new(sampling, None)
        .draw(logits, Next::Any, &mut SamplerScratch::default())
        .unwrap()
        .id
}

fn warm(seed: u64) -> Sampling {
    Sampling {
        temperature: 1.0,
        seed: Some(seed),
        ..Sampling::greedy()
    }
}

/// How often each of many draws with different seeds gave each token.
fn counts(sampling: &Sampling, logits: &[f32]) -> Vec<u32> {
    let mut counts = vec![0; logits.len()];
    for seed in 0..2000 {
        let sampling = Sampling {
            seed: Some(seed),
            ..sampling.clone()
        };
        counts[draw(sampling, logits) as usize] += 1;
    }
    counts
}

fn logits() -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(-20.0_f32..20.0, 1..400)
}

/// The rank of a token, 0 for the most likely one.
fn rank(logits: &[f32], id: u32) -> usize {
    logits
        .iter()
        .filter(|logit| **logit > logits[id as usize])
        .count()
}

proptest! {
    #[test]
    fn top_k_bounds_the_rank(logits in logits(), top_k in 1_u32..50, seed: u64) {
        let id = draw(Sampling { top_k: Some(top_k), temperature: 2.0, ..warm(seed) }, &logits);
        prop_assert!(rank(&logits, id) < top_k as usize);
    }

    #[test]
    fn top_p_keeps_at_least_one_and_no_more_than_needed(logits in logits(), top_p in 0.0001_f32..1.0, seed: u64) {
        let id = draw(Sampling { top_p, ..warm(seed) }, &logits);
        let greatest = logits.iter().copied().fold(f32::MIN, f32::max);
        let share = |logit: f32| f64::from(logit - greatest).exp();
        let total: f64 = logits.iter().map(|logit| share(*logit)).sum();
        let above: f64 = logits.iter().filter(|logit| **logit > logits[id as usize]).map(|logit| share(*logit)).sum();
        prop_assert!(above / total < f64::from(top_p) + 1e-6);
    }

    #[test]
    fn min_p_bounds_the_distance(logits in logits(), min_p in 0.001_f32..=1.0, seed: u64) {
        let id = draw(Sampling { min_p, ..warm(seed) }, &logits);
        let greatest = logits.iter().copied().fold(f32::MIN, f32::max);
        prop_assert!((logits[id as usize] - greatest).exp() >= min_p * 0.999);
    }

    #[test]
    fn all_parameters_together_draw_a_token(
        logits in logits(), temperature in 0.0_f32..2.0, top_p in 0.0001_f32..=1.0, top_k in prop::option::of(1_u32..500),
        min_p in 0.0_f32..=1.0, frequency_penalty in -2.0_f32..2.0, presence_penalty in -2.0_f32..2.0, seed: u64,
    ) {
        let sampling = Sampling {
            temperature, top_p, top_k, min_p, frequency_penalty, presence_penalty, logit_bias: vec![(0, 5.0)], seed: Some(seed),
        };
        let mut sampler = Sampler::new(sampling, Some(3));
        for _ in 0..4 {
            let drawn = sampler.draw(&logits, Next::Any, &mut SamplerScratch::default()).unwrap();
            prop_assert!((drawn.id as usize) < logits.len());
        }
    }

    #[test]
    fn the_same_seed_draws_the_same_tokens(logits in logits(), seed: u64) {
        let run = || {
            let mut sampler = Sampler::new(warm(seed), None);
            let mut next = || sampler.draw(&logits, Next::Any, &mut SamplerScratch::default()).unwrap().id;
            [next(), next(), next(), next()]
        };
        prop_assert_eq!(run(), run());
    }

    #[test]
    fn logprobs_sum_to_one_and_are_sorted(logits in logits()) {
        let count = u8::try_from(logits.len().min(20)).unwrap();
        let drawn = Sampler::new(warm(1), Some(count)).draw(&logits, Next::Any, &mut SamplerScratch::default()).unwrap();
        let logprob = drawn.logprob.unwrap();
        prop_assert_eq!(logprob.top.len(), usize::from(count));
        prop_assert!(logprob.top.is_sorted_by(|left, right| left.1 >= right.1));
        prop_assert!(logprob.top.iter().map(|(_, logprob)| logprob.exp()).sum::<f32>() < 1.0 + 1e-4);
        prop_assert!(logprob.logprob <= 0.0 && logprob.logprob.is_finite());
    }
}

#[test]
fn greedy_ties_go_to_the_lowest_id() {
    assert_eq!(draw(Sampling::greedy(), &[1.0, 3.0, 3.0, -1.0]), 1);
    assert_eq!(
        draw(
            Sampling {
                top_k: Some(1),
                ..warm(7)
            },
            &[1.0, 3.0, 3.0, -1.0]
        ),
        1
    );
}

#[test]
fn draws_follow_the_probabilities() {
    let logits = [0.5_f32.ln(), 0.3_f32.ln(), 0.2_f32.ln()];
    let counts = counts(&warm(0), &logits);
    for (count, expected) in counts.iter().zip([1000_u32, 600, 400]) {
        assert!(count.abs_diff(expected) < 100, "{counts:?}");
    }
}

#[test]
fn temperature_sharpens_before_top_p() {
    // At temperature 0.5 the shares are 25 : 9 : 4, so 0.9 needs three tokens, 0.85 only two.
    let logits = [0.5_f32.ln(), 0.3_f32.ln(), 0.2_f32.ln()];
    let sampling = Sampling {
        temperature: 0.5,
        top_p: 0.85,
        ..warm(0)
    };
    assert_eq!(counts(&sampling, &logits)[2], 0);
    assert!(
        counts(
            &Sampling {
                top_p: 0.9,
                ..sampling
            },
            &logits
        )[2] > 0
    );
}

#[test]
fn a_tiny_temperature_is_greedy_and_not_a_number_never_appears() {
    assert_eq!(
        draw(
            Sampling {
                temperature: 1e-30,
                ..warm(3)
            },
            &[1e30, 2.0, -1e30]
        ),
        0
    );
}

#[test]
fn penalties_count_generated_tokens_only() {
    let sampling = Sampling {
        frequency_penalty: 1.0,
        presence_penalty: 0.5,
        ..Sampling::greedy()
    };
    let mut sampler = Sampler::new(sampling, None);
    let logits = [5.0, 3.0, 2.4];
    let mut drawn = Vec::new();
    for _ in 0..5 {
        drawn.push(
            sampler
                .draw(&logits, Next::Any, &mut SamplerScratch::default())
                .unwrap()
                .id,
        );
    }
    // Token 0 after one, two and three occurrences: 3.5, 2.5, 1.5; token 1 after one: 1.5.
    assert_eq!(drawn, [0, 0, 1, 0, 2]);
}

#[test]
fn logit_bias_bans_and_forces() {
    let logits = [5.0, 3.0, 2.0];
    assert_eq!(
        draw(
            Sampling {
                logit_bias: vec![(0, -100.0)],
                ..Sampling::greedy()
            },
            &logits
        ),
        1
    );
    assert_eq!(
        draw(
            Sampling {
                logit_bias: vec![(2, 100.0)],
                ..warm(9)
            },
            &logits
        ),
        2
    );
}

#[test]
fn logprobs_ignore_sampling_parameters() {
    let logits = [1.0, 0.0, -1.0];
    let sampling = Sampling {
        temperature: 0.3,
        logit_bias: vec![(2, 100.0)],
        ..warm(5)
    };
    let drawn = Sampler::new(sampling, Some(2))
        .draw(&logits, Next::Any, &mut SamplerScratch::default())
        .unwrap();
    let sum = 1.0_f32.exp() + 1.0 + (-1.0_f32).exp();
    let logprob = drawn.logprob.unwrap();
    assert_eq!(drawn.id, 2);
    assert!((logprob.logprob - (-1.0 - sum.ln())).abs() < 1e-6);
    assert_eq!(logprob.top.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn broken_logits_are_an_error() {
    for logits in [
        vec![1.0, f32::NAN],
        vec![f32::INFINITY, 0.0],
        vec![f32::NEG_INFINITY; 3],
        Vec::new(),
    ] {
        let mut sampler = Sampler::new(warm(1), Some(1));
        assert_eq!(
            sampler.draw(&logits, Next::Any, &mut SamplerScratch::default()),
            Err(BrokenLogits),
            "{logits:?}"
        );
    }
}

#[test]
fn impossible_tokens_are_never_drawn() {
    let logits = [f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY];
    assert_eq!(counts(&warm(0), &logits), [0, 2000, 0]);
}

#[test]
fn a_nucleus_larger_than_the_first_rounds_is_found() {
    let logits = vec![0.0; 1000];
    let counts = counts(
        &Sampling {
            top_p: 0.5,
            ..warm(0)
        },
        &logits,
    );
    assert!(counts[..500].iter().any(|count| *count > 0));
    assert_eq!(counts[500..].iter().sum::<u32>(), 0);
}

/// Draws among the marked tokens only.
fn draw_marked(sampling: Sampling, logits: &[f32], marked: &[u32]) -> Drawn {
    let mut scratch = SamplerScratch::default();
    scratch.mask.reset(logits.len());
    for id in marked {
        scratch.mask.add(*id);
    }
    Sampler::new(sampling, Some(0))
        .draw(logits, Next::Marked, &mut scratch)
        .unwrap()
}

proptest! {
    #[test]
    fn only_marked_tokens_are_drawn_whatever_the_parameters_and_logits(
        logits in prop::collection::vec(prop_oneof![-20.0_f32..20.0, Just(f32::NEG_INFINITY), Just(f32::MAX)], 2..200)
            .prop_filter("one is possible", |logits| logits.iter().any(|logit| logit.is_finite())),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 1..5),
        temperature in prop_oneof![Just(0.0_f32), 0.01_f32..2.0],
        (top_k, top_p, min_p) in (prop::option::of(1_u32..9), 0.01_f32..=1.0, 0.0_f32..1.0),
        seed: u64,
    ) {
        let marked: Vec<u32> = picks.iter().map(|pick| u32::try_from(pick.index(logits.len())).unwrap()).collect();
        let others = (0..).take(logits.len()).filter(|id| !marked.contains(id));
        let sampling = Sampling {
            temperature, top_k, top_p, min_p,
            logit_bias: others.map(|id| (id, 100.0)).collect(),
            ..warm(seed)
        };
        let drawn = draw_marked(sampling, &logits, &marked);
        prop_assert!(marked.contains(&drawn.id), "{} of {marked:?}", drawn.id);
    }
}

#[test]
fn the_best_marked_token_is_taken_and_its_probability_is_the_models_own() {
    let logits = [3.0, 1.0, 2.0, 0.0];
    let drawn = draw_marked(Sampling::greedy(), &logits, &[1, 3]);
    assert_eq!(drawn.id, 1);
    let total: f32 = logits.iter().map(|logit| logit.exp()).sum();
    let logprob = drawn.logprob.unwrap().logprob;
    assert!((logprob - (1.0_f32.exp() / total).ln()).abs() < 1e-5, "{logprob}");
}

#[test]
fn a_marked_token_is_drawn_where_the_model_finds_all_of_them_impossible() {
    let logits = [1.0, f32::NEG_INFINITY, f32::NEG_INFINITY];
    assert_eq!(draw_marked(Sampling::greedy(), &logits, &[2]).id, 2);
    assert!([1, 2].contains(&draw_marked(warm(7), &logits, &[1, 2]).id));
}
