use super::*;

const SHAPE: HeadShape = HeadShape {
    heads: 6,
    kv_heads: 2,
    width: 8,
};

fn random(shape: (usize, usize, usize)) -> Tensor {
    Tensor::randn(0.0_f32, 1.0, shape, &Device::Cpu).unwrap()
}

/// The CPU kernel against plain tensor operations, which other devices use.
fn assert_kernels_agree(rows: usize, first: usize, window: Option<usize>) {
    let positions = first + rows;
    let queries = random((rows, SHAPE.heads, SHAPE.width));
    // Part of a larger cache, as in use.
    let (keys, values) = (random((positions + 5, 2, 8)), random((positions + 5, 2, 8)));
    let (keys, values) = (
        keys.narrow(0, 0, positions).unwrap(),
        values.narrow(0, 0, positions).unwrap(),
    );
    let view = View {
        shape: SHAPE,
        first,
        window,
    };
    let fused = queries
        .apply_op3_no_bwd(&keys, &values, &CpuAttention(view))
        .unwrap();
    let plain = view.attend(&queries, &keys, &values).unwrap();
    assert_eq!(fused.dims(), plain.dims());
    let difference = (fused - plain)
        .unwrap()
        .abs()
        .unwrap()
        .max_all()
        .unwrap()
        .to_scalar::<f32>()
        .unwrap();
    assert!(
        difference < 1e-5,
        "{rows} rows from {first}, window {window:?}: {difference}"
    );
}

#[test]
fn kernels_agree_for_prompts_chunks_and_single_tokens() {
    for (rows, first) in [(1, 0), (1, 70), (5, 0), (32, 0), (33, 7), (80, 50)] {
        assert_kernels_agree(rows, first, None);
    }
}

#[test]
fn kernels_agree_within_windows() {
    for (rows, first) in [(1, 0), (1, 70), (5, 0), (33, 7), (80, 50)] {
        for window in [1, 4, 40, 1000] {
            assert_kernels_agree(rows, first, Some(window));
        }
    }
}

#[test]
fn too_few_keys_are_an_error() {
    let view = View {
        shape: SHAPE,
        first: 4,
        window: None,
    };
    let (queries, keys) = (random((2, 6, 8)), random((5, 2, 8)));
    assert!(
        queries
            .apply_op3_no_bwd(&keys, &keys, &CpuAttention(view))
            .is_err()
    );
}
