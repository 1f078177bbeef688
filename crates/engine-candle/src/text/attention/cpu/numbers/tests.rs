use super::*;

#[test]
fn exponentials_are_as_exact_as_the_format() {
    for step in 0..=870_000_u32 {
        let exponent = -f64::from(step) / 10_000.0;
        #[expect(clippy::cast_possible_truncation, reason = "the format in question")]
        let exponent = exponent as f32;
        let exact = f64::from(exponent).exp();
        for computed in [exponential::<true>(exponent), exponential::<false>(exponent)] {
            let error = (f64::from(computed) - exact).abs() / exact;
            assert!(error < 2e-7, "e^{exponent}: {computed}, error {error:e}");
        }
    }
    assert!(exponential::<false>(f32::NAN).is_nan());
    assert!(exponential::<false>(f32::NEG_INFINITY) < 2e-38);
    assert!((exponential::<false>(0.0) - 1.0).abs() < f32::EPSILON);
}

#[test]
fn weights_are_exponentials_of_the_distance_from_the_largest() {
    let mut logits: Vec<f32> = (0_u8..20).map(f32::from).collect();
    let sum = softmax::<false>(&mut logits, 0.5);
    let expected = |index: u8| (0.5 * (f32::from(index) - 19.0)).exp();
    for (index, weight) in (0_u8..).zip(&logits) {
        assert!((weight - expected(index)).abs() < 1e-6);
    }
    assert!((sum - (0_u8..20).map(expected).sum::<f32>()).abs() < 1e-5);
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
