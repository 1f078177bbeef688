use super::*;

#[test]
fn weights_are_exponentials_of_the_distance_from_the_largest_so_far() {
    let all: Vec<f32> = (0_u16..40).map(|index| f32::from(index * 7 % 40)).collect();
    let mut logits = all.clone();
    let mut softmax = Softmax::default();
    let (first, second) = logits.split_at_mut(23);
    softmax.add::<false>(first, 0.5);
    let correction = softmax.add::<false>(second, 0.5);
    for weight in first {
        *weight *= correction;
    }
    for (logit, weight) in all.iter().zip(&logits) {
        assert!((weight - (0.5 * (logit - 39.0)).exp()).abs() < 1e-6);
    }
    let total: f32 = all.iter().map(|logit| (0.5 * (logit - 39.0)).exp()).sum();
    assert!((softmax.total() - total).abs() < 1e-5);
}

#[test]
fn a_smaller_logit_corrects_nothing() {
    let mut softmax = Softmax::default();
    softmax.add::<true>(&mut [3.0], 1.0);
    assert!((softmax.add::<true>(&mut [2.0, 3.0], 1.0) - 1.0).abs() < f32::EPSILON);
}

#[test]
fn a_logit_that_is_no_number_spoils_the_total() {
    let mut softmax = Softmax::default();
    softmax.add::<true>(&mut [1.0, f32::NAN, 2.0], 1.0);
    assert!(softmax.total().is_nan());
}

#[test]
fn bounds_are_those_of_the_tangent() {
    for step in -4000_i16..=4000 {
        let logit = f32::from(step) / 10.0;
        let exact = 50.0 * (f64::from(logit) * 0.25 / 50.0).tanh();
        let mut computed = [logit];
        bound::<true>(&mut computed, 0.25, 50.0);
        assert!(
            (f64::from(computed[0]) - exact).abs() < 1e-5,
            "{logit}: {computed:?} is not {exact}"
        );
    }
    let mut none = [f32::NAN];
    bound::<false>(&mut none, 1.0, 30.0);
    assert!(none[0].is_nan());
}
