//! `y += scale B (A x)` for some rows.

use std::ops::Range;

use super::loops::Instructions;
use super::numbers::{AdapterFormat, Arena, LANES};

/// Rows of `A` that are multiplied with all rows of a task before the next ones are read.
const RANK_TURN: usize = 4;
/// Pieces of `B` that are multiplied with all rows of a task before the next ones are read.
const PIECE_TURN: usize = 32;

/// What an adapter adds to the outputs of a site. The projections there have the same input, so that their `A` are
/// one matrix.
pub(super) struct Delta {
    /// The first group of `A`: the rows of all parts below each other, `[rank, inputs]`.
    down: usize,
    /// What a product with a row of `A` is multiplied with: the adapter's factor, and what undoes the factors that
    /// make the numbers fit their format.
    scales: Vec<f32>,
    parts: Vec<Part>,
    inputs: usize,
}

/// `B` of one projection.
struct Part {
    /// Its outputs among those of the site.
    outputs: Range<usize>,
    /// Its rows in the common `A`.
    ranks: Range<usize>,
    /// The first group of the pieces of [`LANES`] outputs, `[rank, LANES]` each; the last one is filled up with
    /// zeros.
    up: usize,
}

/// A [`Delta`] with the numbers of its adapter.
#[derive(Clone, Copy)]
pub(super) struct Product<'adapter> {
    pub(super) delta: &'adapter Delta,
    pub(super) arena: &'adapter Arena,
}

/// The matrices of one projection, as the file has them.
pub(super) struct Matrices {
    /// The first of its outputs among those of the site.
    pub(super) first: usize,
    pub(super) outputs: usize,
    pub(super) rank: usize,
    /// The adapter's factor.
    pub(super) scale: f64,
    /// `A`, `[rank, inputs]`.
    pub(super) a: Vec<f32>,
    /// `B`, `[outputs, rank]`.
    pub(super) b: Vec<f32>,
}

/// A row that an adapter adds to.
pub(super) struct Row<'pass> {
    pub(super) input: &'pass [f32],
    /// All outputs of the site.
    pub(super) output: &'pass mut [f32],
    /// As many as [`Product::rank`]; overwritten.
    pub(super) factors: &'pass mut [f32],
}

/// Outputs of a projection, with what is added to them.
pub(super) struct Piece<'pass> {
    arena: &'pass Arena,
    part: &'pass Part,
    /// The first piece of `B`.
    first: usize,
    factors: &'pass [f32],
    output: &'pass mut [f32],
}

/// What the projection of this index adds is too large for f32.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLarge(pub(super) usize);

impl Delta {
    /// Of the projections of a site, by their outputs; their numbers go into the arena.
    ///
    /// # Errors
    /// When the product of the largest numbers and the adapter's factor is too large for f32.
    pub(super) fn new(arena: &mut Arena, inputs: usize, projections: &[Matrices]) -> Result<Self, TooLarge> {
        let down = arena.used();
        let (mut scales, mut columns) = (Vec::new(), Vec::new());
        for (projection, matrices) in projections.iter().enumerate() {
            for (index, row) in matrices.a.chunks_exact(inputs).enumerate() {
                let (largest_down, largest_up) = (largest(row.iter()), largest(matrices.column(index)));
                let row_factor = arena.format().row_factor(largest_down);
                let column_factor = arena.format().column_factor(largest_up);
                let most = f64::from(largest_down) * f64::from(largest_up);
                let scale = matrices.scale_of(most, row_factor * column_factor);
                scales.push(scale.ok_or(TooLarge(projection))?);
                columns.push(column_factor);
                arena.push_row(row, row_factor);
            }
        }
        let (mut parts, mut rank) = (Vec::with_capacity(projections.len()), 0);
        for matrices in projections {
            let ranks = rank..rank + matrices.rank;
            rank = ranks.end;
            parts.push(Part {
                outputs: matrices.first..matrices.first + matrices.outputs,
                ranks: ranks.clone(),
                up: arena.used(),
            });
            for rows in matrices.b.chunks(LANES * matrices.rank) {
                arena.push_piece(rows, &columns[ranks.clone()]);
            }
        }
        Ok(Self {
            down,
            scales,
            parts,
            inputs,
        })
    }

    /// The groups of one projection's numbers.
    pub(super) fn groups(format: AdapterFormat, rank: usize, inputs: usize, outputs: usize) -> usize {
        rank * inputs.div_ceil(LANES) + outputs.div_ceil(LANES) * format.piece_groups(rank)
    }
}

impl<'adapter> Product<'adapter> {
    /// The rank of all projections together.
    pub(super) fn rank(self) -> usize {
        self.delta.scales.len()
    }

    /// The multiplications of a row.
    pub(super) fn work(self) -> usize {
        let up = |part: &Part| part.ranks.len() * part.outputs.len();
        self.rank() * self.delta.inputs + self.delta.parts.iter().map(up).sum::<usize>()
    }

    /// Adds onto the rows, each for itself.
    pub(super) fn add(self, rows: &mut [Row<'_>]) {
        // One row needs nothing twice.
        let (ranks, outputs) = if rows.len() == 1 {
            (usize::MAX, usize::MAX / LANES * LANES)
        } else {
            (RANK_TURN, PIECE_TURN * LANES)
        };
        for first in (0..self.rank()).step_by(ranks) {
            let ranks = first..self.rank().min(first.saturating_add(ranks));
            for row in rows.iter_mut() {
                self.factors(ranks.start, row.input, &mut row.factors[ranks.clone()]);
            }
        }
        for part in &self.delta.parts {
            for first in (0..part.outputs.len()).step_by(outputs) {
                let end = part.outputs.len().min(first.saturating_add(outputs));
                for row in rows.iter_mut() {
                    let output = &mut row.output[part.outputs.clone()];
                    part.spread(self.arena, first / LANES, row.factors, &mut output[first..end]);
                }
            }
        }
    }

    /// Computes the products of the rows of `A` from `first` on with an input, as many as there is room for.
    pub(super) fn factors(self, first: usize, input: &[f32], factors: &mut [f32]) {
        let Delta {
            down, scales, inputs, ..
        } = self.delta;
        let (ranks, width) = (first..first + factors.len(), inputs.div_ceil(LANES));
        let rows = self
            .arena
            .groups(down + ranks.start * width..down + ranks.end * width);
        Instructions::best().dots(rows, &scales[ranks], input, factors);
    }

    /// Cuts what is to be added to a row, whose factors are computed, into pieces of about so many outputs.
    pub(super) fn pieces<'pass>(self, row: Row<'pass>, outputs: usize) -> impl Iterator<Item = Piece<'pass>>
    where
        'adapter: 'pass,
    {
        let factors: &'pass [f32] = row.factors;
        let width = outputs.next_multiple_of(LANES).max(LANES);
        let (mut rest, mut start) = (row.output, 0);
        self.delta.parts.iter().flat_map(move |part| {
            let (own, behind) = std::mem::take(&mut rest)
                .split_at_mut(part.outputs.start - start)
                .1
                .split_at_mut(part.outputs.len());
            (rest, start) = (behind, part.outputs.end);
            let pieces = own.chunks_mut(width).enumerate();
            pieces.map(move |(index, output)| Piece {
                arena: self.arena,
                part,
                first: index * width / LANES,
                factors,
                output,
            })
        })
    }
}

impl Part {
    /// Adds onto the outputs from those of the piece `first` on.
    fn spread(&self, arena: &Arena, first: usize, factors: &[f32], output: &mut [f32]) {
        let size = arena.format().piece_groups(self.ranks.len());
        let end = first + output.len().div_ceil(LANES);
        let pieces = arena.groups(self.up + first * size..self.up + end * size);
        Instructions::best().spread(pieces, &factors[self.ranks.clone()], output);
    }
}

impl Piece<'_> {
    /// Adds onto the outputs.
    pub(super) fn add(&mut self) {
        self.part
            .spread(self.arena, self.first, self.factors, self.output);
    }
}

impl Matrices {
    /// A column of `B`.
    fn column(&self, index: usize) -> impl Iterator<Item = &f32> {
        self.b.iter().skip(index).step_by(self.rank)
    }

    /// What a product with a row of `A` is multiplied with, where the row and the column of `B` that it meets were
    /// multiplied with `factor`, and the product of their largest numbers is `most`. `None` when it is too large.
    fn scale_of(&self, most: f64, factor: f64) -> Option<f32> {
        let scale = self.scale / factor;
        let fits = |value: f64| value.abs() < f64::from(f32::MAX);
        #[expect(clippy::cast_possible_truncation, reason = "f32 is what is computed in")]
        (fits(self.scale * most) && fits(scale) && fits(self.scale)).then_some(scale as f32)
    }
}

fn largest<'data>(values: impl Iterator<Item = &'data f32>) -> f32 {
    values.fold(0.0, |largest, value| largest.max(value.abs()))
}

#[cfg(test)]
mod tests;
