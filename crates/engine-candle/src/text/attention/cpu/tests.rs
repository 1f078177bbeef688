use super::*;
use crate::text::config::AttentionScores;

/// Deterministic values between -1 and 1.
fn values(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f32::from(i16::from_le_bytes([
            state.to_le_bytes()[2],
            state.to_le_bytes()[3],
        ])) / 32_768.0
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// Positions `first..first + rows` of a sequence whose earlier ones were computed before.
fn attend(
    instructions: Instructions,
    shape: HeadShape,
    (first, rows): (usize, usize),
    window: Option<usize>,
) -> Vec<f32> {
    let length = first + rows;
    let blocks: Vec<BlockId> = (0..).take(length.div_ceil(BLOCK)).collect();
    let row = shape.kv_heads * shape.width;
    let data = Mutex::new(vec![f32::NAN; blocks.len() * BLOCK * row * 2]);
    let (queries, keys, all_values) = (
        values(length * shape.heads * shape.width, 1),
        values(length * row, 2),
        values(length * row, 3),
    );
    let mut output = Vec::new();
    for part in [0..first, first..length] {
        let span = SpanRows {
            rows: part.len(),
            first: part.start,
            blocks: &blocks,
        };
        let attention = CpuAttention {
            shape,
            window,
            whole: false,
            scores: AttentionScores {
                // In half of the cases, so that both ways are held against each other.
                soft_cap: shape.heads.is_multiple_of(2).then_some(2.0),
                ..AttentionScores::of_width(shape.width)
            },
            data: &data,
            spans: vec![span],
        };
        output = vec![f32::NAN; part.len() * shape.heads * shape.width];
        let query = shape.heads * shape.width;
        let parts = [(&queries, query), (&keys, row), (&all_values, row)]
            .map(|(data, stride)| Rows { data, stride }.from(part.start));
        attention.compute_with(instructions, parts, &mut output).unwrap();
    }
    output
}

#[test]
fn all_instructions_give_the_bits_of_the_portable_twin() {
    for (heads, kv_heads, width) in [(14, 2, 64), (3, 3, 20), (8, 1, 128), (4, 2, 80), (9, 1, 6)] {
        let shape = HeadShape {
            heads,
            kv_heads,
            width,
        };
        for (span, window) in [
            ((0, 1), None),
            ((0, 150), None),
            ((200, 1), None),
            ((130, 61), None),
            ((100, 90), Some(70)),
            ((90, 20), Some(3)),
        ] {
            let twin = attend(Instructions::Portable { fused: true }, shape, span, window);
            assert!(twin.iter().all(|value| value.is_finite()));
            for instructions in Instructions::vectorised() {
                let actual = attend(instructions, shape, span, window);
                assert!(
                    actual == twin,
                    "{instructions:?}: {shape:?}, {span:?}, {window:?}"
                );
            }
        }
    }
}
