use std::sync::Mutex;

use super::super::cache::blocks::{BLOCK, BlockId};
use super::super::cache::store::{KvLayout, KvShape};
use super::*;

const SHAPE: HeadShape = HeadShape {
    heads: 6,
    kv_heads: 2,
    width: 24,
};

/// Queries, keys and values of consecutive positions of one sequence.
struct Sequence {
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
}

impl Sequence {
    fn random(length: usize, shape: HeadShape) -> Self {
        let random = |heads| Tensor::randn(0.0_f32, 1.0, (length, heads, shape.width), &Device::Cpu).unwrap();
        Self {
            queries: random(shape.heads),
            keys: random(shape.kv_heads),
            values: random(shape.kv_heads),
        }
    }

    fn len(&self) -> usize {
        self.keys.dim(0).unwrap()
    }
}

/// Queries, keys and values side by side.
fn projected(parts: [&Tensor; 3]) -> Tensor {
    Tensor::cat(&parts.map(|part| part.flatten_from(1).unwrap()), 1).unwrap()
}

/// One layer's memory, with blocks that are not in order.
struct Memory {
    data: Mutex<Vec<f32>>,
    shape: HeadShape,
    window: Option<usize>,
    scores: AttentionScores,
}

impl Memory {
    fn new(shape: HeadShape, window: Option<usize>) -> Self {
        let size = KvShape {
            kv_heads: shape.kv_heads,
            width: shape.width,
        };
        // What others have left there must not be seen, not even as a number that is none.
        let data = Mutex::new(vec![f32::NAN; 40 * size.block()]);
        Self {
            data,
            shape,
            window,
            scores: AttentionScores::of_width(shape.width),
        }
    }

    /// Computes some rows of sequences in one pass: `(sequence, first row, rows, blocks)`.
    fn attend(&self, parts: &[(&Sequence, usize, usize, &[BlockId])]) -> Vec<Vec<f32>> {
        let join = |of: fn(&Sequence) -> &Tensor| {
            let rows = parts
                .iter()
                .map(|(sequence, first, rows, _)| of(sequence).narrow(0, *first, *rows).unwrap());
            Tensor::cat(&rows.collect::<Vec<_>>(), 0).unwrap()
        };
        let spans = parts.iter().map(|(_, first, rows, blocks)| SpanRows {
            rows: *rows,
            first: *first,
            blocks,
        });
        let attention = CpuAttention {
            shape: self.shape,
            window: self.window,
            scores: self.scores,
            whole: false,
            data: &self.data,
            spans: spans.collect(),
        };
        let parts = [
            join(|sequence| &sequence.queries),
            join(|sequence| &sequence.keys),
            join(|sequence| &sequence.values),
        ];
        let rows = projected(parts.each_ref());
        rows.apply_op1_no_bwd(&attention).unwrap().to_vec2().unwrap()
    }

    /// Computes a sequence in parts of these lengths, the last one repeated.
    fn attend_in_parts(&self, sequence: &Sequence, blocks: &[BlockId], parts: &[usize]) -> Vec<Vec<f32>> {
        let mut rows = Vec::new();
        let mut lengths = parts.iter().copied();
        let mut length = 1;
        while rows.len() < sequence.len() {
            length = lengths.next().unwrap_or(length).min(sequence.len() - rows.len());
            rows.extend(self.attend(&[(sequence, rows.len(), length, blocks)]));
        }
        rows
    }
}

/// The CPU kernel against plain tensor operations, which other devices use.
fn assert_kernels_agree(shape: HeadShape, length: usize, window: Option<usize>) {
    assert_memory_agrees(&Memory::new(shape, window), length);
}

fn assert_memory_agrees(memory: &Memory, length: usize) {
    let Memory {
        shape,
        window,
        scores,
        ..
    } = *memory;
    let sequence = Sequence::random(length, shape);
    let fused = memory.attend_in_parts(&sequence, &BLOCKS, &[length]);
    let view = View {
        shape,
        first: 0,
        window,
        scores,
        whole: None,
    };
    let plain = view
        .attend(&sequence.queries, &sequence.keys, &sequence.values)
        .unwrap();
    let plain: Vec<Vec<f32>> = plain.to_vec2().unwrap();
    assert_eq!(fused.len(), plain.len());
    for (position, (fused, plain)) in fused.iter().zip(&plain).enumerate() {
        assert_eq!(fused.len(), plain.len());
        for (fused, plain) in fused.iter().zip(plain) {
            assert!(
                (fused - plain).abs() < 1e-5,
                "position {position} of {length}, window {window:?}: {fused} is not {plain}"
            );
        }
    }
}

/// Blocks of a sequence, in no order.
const BLOCKS: [BlockId; 8] = [5, 0, 30, 7, 6, 1, 2, 39];
const OTHER_BLOCKS: [BlockId; 8] = [4, 31, 3, 8, 10, 12, 11, 9];

#[test]
fn kernels_agree_whatever_the_length() {
    for length in [1, 2, 15, 16, 17, 32, 33, 80, 128] {
        assert_kernels_agree(SHAPE, length, None);
    }
}

/// Queries, keys and values of one sequence as rows.
fn rows_of(sequence: &Sequence) -> [Vec<f32>; 3] {
    [&sequence.queries, &sequence.keys, &sequence.values]
        .map(|tensor| tensor.flatten_all().unwrap().to_vec1().unwrap())
}

#[test]
fn whole_sequences_see_all_of_themselves_and_nothing_of_each_other() {
    let shape = HeadShape {
        heads: 3,
        kv_heads: 3,
        width: 20,
    };
    let lengths = [1, 16, 7, 33, 70];
    let sequences = lengths.map(|length| Sequence::random(length, shape));
    // What an earlier call has left there must not be seen.
    let memory = Mutex::new(vec![f32::NAN; 100_000]);
    let attend = |sequences: &[&Sequence]| {
        let lengths: Vec<usize> = sequences.iter().map(|sequence| sequence.len()).collect();
        let rows: Vec<[Vec<f32>; 3]> = sequences.iter().map(|sequence| rows_of(sequence)).collect();
        let [queries, keys, values] = [0, 1, 2].map(|part| {
            rows.iter()
                .flat_map(|rows| rows[part].clone())
                .collect::<Vec<f32>>()
        });
        let mut output = vec![0.0; queries.len()];
        attend_whole(shape, &lengths, [&queries, &keys, &values], &memory, &mut output).unwrap();
        output
    };
    let together = attend(&sequences.each_ref());
    let alone: Vec<f32> = sequences
        .iter()
        .flat_map(|sequence| attend(&[sequence]))
        .collect();
    assert_eq!(together, alone, "bit for bit");
    let plain = sequences.iter().flat_map(|sequence| {
        let view = View {
            shape,
            first: 0,
            window: None,
            scores: AttentionScores::of_width(shape.width),
            whole: Some(sequence.len()),
        };
        let plain = view.attend(&sequence.queries, &sequence.keys, &sequence.values);
        plain.unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
    });
    let largest = plain.zip(&alone).map(|(plain, ours)| (plain - ours).abs());
    assert!(largest.fold(0.0, f32::max) < 1e-5);
}

#[test]
fn kernels_agree_within_windows() {
    for window in [1, 4, 16, 17, 40, 1000] {
        assert_kernels_agree(SHAPE, 70, Some(window));
    }
}

#[test]
fn kernels_agree_with_a_scale_of_their_own_and_a_bound() {
    for soft_cap in [None, Some(50.0), Some(0.5)] {
        let memory = Memory {
            scores: AttentionScores {
                factor: 0.7,
                soft_cap,
            },
            ..Memory::new(SHAPE, Some(40))
        };
        assert_memory_agrees(&memory, 70);
    }
}

#[test]
fn kernels_agree_for_all_ways_to_share_key_heads() {
    for (heads, kv_heads, width) in [(1, 1, 8), (4, 4, 16), (7, 1, 64), (14, 2, 64), (9, 1, 6)] {
        let shape = HeadShape {
            heads,
            kv_heads,
            width,
        };
        assert_kernels_agree(shape, 37, None);
    }
}

#[test]
fn a_row_is_the_same_wherever_the_prompt_was_cut() {
    for window in [None, Some(20)] {
        let sequence = Sequence::random(100, SHAPE);
        let parts = |parts: &[usize]| Memory::new(SHAPE, window).attend_in_parts(&sequence, &BLOCKS, parts);
        let whole = parts(&[100]);
        assert!(whole.iter().flatten().all(|value| value.is_finite()));
        for cut in [&[1][..], &[7, 1], &[64, 3], &[33, 32, 2], &[99, 1]] {
            assert!(whole == parts(cut), "cut at {cut:?}, window {window:?}");
        }
    }
}

#[test]
fn a_row_is_the_same_in_a_batch_and_in_other_blocks() {
    let (first, second) = (Sequence::random(90, SHAPE), Sequence::random(70, SHAPE));
    let alone = |sequence, blocks| Memory::new(SHAPE, None).attend_in_parts(sequence, blocks, &[20]);
    let (first_alone, second_alone) = (alone(&first, &BLOCKS), alone(&second, &BLOCKS));
    let memory = Memory::new(SHAPE, None);
    let mut together = (Vec::new(), Vec::new());
    for step in 0..70 {
        // A part of a prompt beside single tokens, as in use.
        let rows = if step == 0 { 21 } else { 1 };
        let output = memory.attend(&[
            (&first, together.0.len(), rows, &BLOCKS),
            (&second, step, 1, &OTHER_BLOCKS),
        ]);
        together.0.extend_from_slice(&output[..rows]);
        together.1.extend_from_slice(&output[rows..]);
    }
    assert!(together.0 == first_alone && together.1 == second_alone);
}

#[test]
fn tensors_in_blocks_hold_what_was_written() {
    let sequence = Sequence::random(50, SHAPE);
    let shape = KvShape {
        kv_heads: SHAPE.kv_heads,
        width: SHAPE.width,
    };
    let store = LayerStore::on_device(KvLayout::Heads(shape), 40, DType::F32, &Device::Cpu).unwrap();
    let LayerStore::Device { keys, values } = &store else {
        panic!("made of tensors");
    };
    for (first, rows) in [(0, 30), (30, 1), (31, 19)] {
        let part = |tensor: &Tensor| tensor.narrow(0, first, rows).unwrap();
        let (new_keys, new_values) = (part(&sequence.keys), part(&sequence.values));
        let (all_keys, all_values) =
            append_rows((keys, values), &BLOCKS, first, &new_keys, &new_values).unwrap();
        for (all, expected) in [(all_keys, &sequence.keys), (all_values, &sequence.values)] {
            let expected = expected.narrow(0, 0, first + rows).unwrap();
            let all: Vec<f32> = all.flatten_all().unwrap().to_vec1().unwrap();
            assert_eq!(all, expected.flatten_all().unwrap().to_vec1::<f32>().unwrap());
        }
    }
}

#[test]
fn positions_without_a_block_are_an_error() {
    let sequence = Sequence::random(BLOCK + 1, SHAPE);
    let memory = Memory::new(SHAPE, None);
    let attention = |blocks: &'static [BlockId]| CpuAttention {
        shape: SHAPE,
        window: None,
        scores: AttentionScores::of_width(SHAPE.width),
        whole: false,
        data: &memory.data,
        spans: vec![SpanRows {
            rows: BLOCK + 1,
            first: 0,
            blocks,
        }],
    };
    let rows = projected([&sequence.queries, &sequence.keys, &sequence.values]);
    let attend = |attention: &CpuAttention<'_>| rows.apply_op1_no_bwd(attention);
    assert!(attend(&attention(&[1, 2])).is_ok());
    assert!(attend(&attention(&[1])).is_err(), "too few");
    assert!(attend(&attention(&[1, 40])).is_err(), "beyond the memory");
}
