use candle_core::{D, Device, Tensor};

use super::super::super::causal_mask;
use super::*;

/// Heads, and a latent that is no multiple of what is computed side by side.
const HEADS: usize = 21;
const SHAPE: LatentShape = LatentShape { rank: 37, rope: 10 };
const SCALE: f32 = 0.21;

/// Blocks of a sequence, in no order.
const BLOCKS: [BlockId; 8] = [5, 0, 30, 7, 6, 1, 2, 39];
const OTHER_BLOCKS: [BlockId; 8] = [4, 31, 3, 8, 10, 12, 11, 9];

/// Queries and latents of consecutive positions.
struct Sequence {
    queries: Tensor,
    latents: Tensor,
}

impl Sequence {
    fn random(length: usize, heads: usize, shape: LatentShape) -> Self {
        let random = |size: &[usize]| Tensor::randn(0.0_f32, 1.0, size, &Device::Cpu).unwrap();
        Self {
            queries: random(&[length, heads, shape.row()]),
            latents: random(&[length, shape.row()]),
        }
    }

    fn len(&self) -> usize {
        self.latents.dim(0).unwrap()
    }
}

struct Memory {
    data: Mutex<Vec<f32>>,
    heads: usize,
    shape: LatentShape,
}

impl Memory {
    fn new(heads: usize, shape: LatentShape) -> Self {
        // What others have left there must not be seen, not even as a number that is none.
        let data = Mutex::new(vec![f32::NAN; 40 * shape.block()]);
        Self { data, heads, shape }
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
        let attention = CpuLatentAttention {
            heads: self.heads,
            shape: self.shape,
            scale: SCALE,
            data: &self.data,
            spans: spans.collect(),
        };
        let latents = join(|sequence| &sequence.latents);
        let output = join(|sequence| &sequence.queries).apply_op2_no_bwd(&latents, &attention);
        output.unwrap().flatten_from(1).unwrap().to_vec2().unwrap()
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

/// The same out of plain tensor operations.
fn plain(sequence: &Sequence, shape: LatentShape) -> Vec<Vec<f32>> {
    let length = sequence.len();
    let queries = sequence.queries.transpose(0, 1).unwrap().contiguous().unwrap();
    let keys = sequence.latents.t().unwrap().unsqueeze(0).unwrap();
    let logits = (queries.broadcast_matmul(&keys).unwrap() * f64::from(SCALE)).unwrap();
    let mask = causal_mask(0, length, length, &Device::Cpu).unwrap();
    let weights = candle_nn::ops::softmax(&logits.broadcast_add(&mask).unwrap(), D::Minus1).unwrap();
    let values = sequence.latents.narrow(1, 0, shape.rank).unwrap();
    let values = values.contiguous().unwrap().unsqueeze(0).unwrap();
    let sums = weights
        .broadcast_matmul(&values)
        .unwrap()
        .transpose(0, 1)
        .unwrap();
    sums.flatten_from(1).unwrap().to_vec2().unwrap()
}

fn assert_kernel_is_plain(heads: usize, shape: LatentShape, length: usize) {
    let sequence = Sequence::random(length, heads, shape);
    let own = Memory::new(heads, shape).attend_in_parts(&sequence, &BLOCKS, &[length]);
    let plain = plain(&sequence, shape);
    assert_eq!(own.len(), length);
    for (position, (own, plain)) in own.iter().zip(&plain).enumerate() {
        assert_eq!(own.len(), plain.len());
        for (own, plain) in own.iter().zip(plain) {
            let difference = (own - plain).abs();
            assert!(
                difference < 1e-5,
                "position {position} of {length}: {own} is not {plain}"
            );
        }
    }
}

#[test]
fn kernels_agree_whatever_the_length() {
    for length in [1, 2, 15, 16, 17, 32, 33, 80, 128] {
        assert_kernel_is_plain(HEADS, SHAPE, length);
    }
}

#[test]
fn kernels_agree_for_all_numbers_of_heads_and_widths() {
    for (heads, rank, rope) in [(1, 32, 8), (2, 16, 4), (3, 5, 2), (16, 64, 16), (35, 24, 8)] {
        assert_kernel_is_plain(heads, LatentShape { rank, rope }, 37);
    }
}

#[test]
fn a_row_is_the_same_wherever_the_prompt_was_cut() {
    let sequence = Sequence::random(100, HEADS, SHAPE);
    let parts = |parts: &[usize]| Memory::new(HEADS, SHAPE).attend_in_parts(&sequence, &BLOCKS, parts);
    let whole = parts(&[100]);
    assert!(whole.iter().flatten().all(|value| value.is_finite()));
    for cut in [&[1][..], &[7, 1], &[64, 3], &[33, 32, 2], &[99, 1]] {
        assert!(whole == parts(cut), "cut at {cut:?}");
    }
}

#[test]
fn a_row_is_the_same_in_a_batch_and_in_other_blocks() {
    let random = |length| Sequence::random(length, HEADS, SHAPE);
    let (first, second) = (random(90), random(70));
    let alone = |sequence, blocks| Memory::new(HEADS, SHAPE).attend_in_parts(sequence, blocks, &[20]);
    let (first_alone, second_alone) = (alone(&first, &BLOCKS), alone(&second, &BLOCKS));
    let memory = Memory::new(HEADS, SHAPE);
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

/// A query that is one of the others' too gets what they get, whichever place it has among them.
#[test]
fn a_head_is_the_same_among_any_others() {
    let sequence = Sequence::random(40, 1, SHAPE);
    let alone = Memory::new(1, SHAPE).attend_in_parts(&sequence, &BLOCKS, &[40]);
    for heads in [2, 3, 4, 7, 16, 19] {
        let queries = sequence.queries.broadcast_as((40, heads, SHAPE.row())).unwrap();
        let copies = Sequence {
            queries: queries.contiguous().unwrap(),
            latents: sequence.latents.clone(),
        };
        let together = Memory::new(heads, SHAPE).attend_in_parts(&copies, &BLOCKS, &[40]);
        for (together, alone) in together.iter().zip(&alone) {
            assert!(
                together.chunks_exact(SHAPE.rank).all(|head| head == alone),
                "{heads} heads"
            );
        }
    }
}

#[test]
fn positions_without_a_block_are_an_error() {
    let sequence = Sequence::random(BLOCK + 1, HEADS, SHAPE);
    let memory = Memory::new(HEADS, SHAPE);
    let attend = |blocks: &'static [BlockId]| {
        let attention = CpuLatentAttention {
            heads: HEADS,
            shape: SHAPE,
            scale: SCALE,
            data: &memory.data,
            spans: vec![SpanRows {
                rows: BLOCK + 1,
                first: 0,
                blocks,
            }],
        };
        sequence.queries.apply_op2_no_bwd(&sequence.latents, &attention)
    };
    assert!(attend(&[1, 2]).is_ok());
    assert!(attend(&[1]).is_err(), "too few");
    assert!(attend(&[1, 40]).is_err(), "beyond the memory");
}
