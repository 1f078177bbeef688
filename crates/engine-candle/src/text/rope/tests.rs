use super::*;
use crate::text::config::RotaryPairs;

fn config(scaling: RopeScaling) -> RopeConfig {
    RopeConfig {
        theta: 10_000.0,
        head_dim: 8,
        rotated: 8,
        pairs: RotaryPairs::Halves,
        scaling,
    }
}

fn cosines(rope: &Rope, first: usize, count: usize, length: usize) -> Vec<f32> {
    let rotation = rope
        .rotation(first, count, length, DType::F32, &Device::Cpu)
        .unwrap();
    rotation.cosines.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn position_zero_is_not_rotated() {
    let rope = Rope::new(config(RopeScaling::Default));
    assert_eq!(cosines(&rope, 0, 1, 1), [1.0; 4]);
}

#[test]
fn linear_scaling_equals_smaller_positions() {
    let plain = Rope::new(config(RopeScaling::Default));
    let scaled = Rope::new(config(RopeScaling::Linear { factor: 4.0 }));
    for (scaled, plain) in cosines(&scaled, 40, 1, 41).iter().zip(cosines(&plain, 10, 1, 11)) {
        assert!((scaled - plain).abs() < 1e-6);
    }
}

#[test]
fn dynamic_scaling_begins_behind_the_original_length() {
    let plain = Rope::new(config(RopeScaling::Default));
    let dynamic = Rope::new(config(RopeScaling::Dynamic {
        factor: 4.0,
        original_positions: 32.0,
    }));
    assert_eq!(cosines(&dynamic, 31, 1, 32), cosines(&plain, 31, 1, 32));
    assert_ne!(cosines(&dynamic, 32, 1, 33), cosines(&plain, 32, 1, 33));
    assert_eq!(dynamic.stretched(32), None);
}

#[test]
fn chunks_of_a_prompt_are_rotated_like_the_whole() {
    let dynamic = Rope::new(config(RopeScaling::Dynamic {
        factor: 2.0,
        original_positions: 8.0,
    }));
    let whole = cosines(&dynamic, 0, 20, 20);
    let mut chunks = cosines(&dynamic, 0, 7, 20);
    chunks.extend(cosines(&dynamic, 7, 13, 20));
    assert_eq!(chunks, whole);
}

#[test]
fn yarn_keeps_high_frequencies_and_divides_low_ones() {
    let yarn = YarnScaling {
        factor: 4.0,
        original_positions: 4096.0,
        beta_fast: 32.0,
        beta_slow: 1.0,
        attention_factor: 1.1,
        truncate: true,
    };
    let config = RopeConfig {
        theta: 10_000.0,
        head_dim: 64,
        rotated: 64,
        pairs: RotaryPairs::Halves,
        scaling: RopeScaling::Yarn(yarn),
    };
    let plain = plain_frequencies(10_000.0, 64);
    let scaled = frequencies(&config);
    assert!((f64::from(scaled[0]) - plain[0]).abs() < 1e-7);
    assert!((f64::from(scaled[31]) * 4.0 - plain[31]).abs() < 1e-7);
    assert!((cosines(&Rope::new(config), 0, 1, 1)[0] - 1.1).abs() < 1e-6);
}
