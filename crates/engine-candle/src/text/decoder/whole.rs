//! Whole sequences that are read and not continued: layer by layer, so that the keys and values of one layer
//! at a time are kept, and a long text needs no cache of its own.

use candle_core::{DType, Result, Tensor};

use super::{Decoder, LogitsOf, Span};
use crate::text::cache::KvView;
use crate::text::cache::blocks::{BLOCK, BlockPool, BlockTable};
use crate::text::cache::store::KvStore;
use crate::text::lora::AdapterRows;
use crate::text::rope::Rotation;

/// Tokens that go through a layer together: more would not be faster, and take more memory.
const PART_TOKENS: usize = 512;

/// Some tokens of one sequence: which one's, the first one's position, how many.
#[derive(Clone, Copy)]
struct Piece {
    sequence: usize,
    first: usize,
    count: usize,
}

/// Pieces that go through a layer together, and their rows.
struct Part {
    pieces: Vec<Piece>,
    rotation: Rotation,
    hidden: Tensor,
}

impl Decoder {
    /// Computes what the last norm says about the last token of each sequence, `[sequences, hidden]` in f32.
    /// `None` when `goes_on` says no before the end; it is asked several times a layer.
    ///
    /// # Errors
    /// For an empty sequence, one longer than the context, an id outside the vocabulary, and failures of the
    /// device.
    pub(crate) fn read(&self, sequences: &[&[u32]], goes_on: &dyn Fn() -> bool) -> Result<Option<Tensor>> {
        let count = sequences.iter().map(|tokens| tokens.len().div_ceil(BLOCK)).sum();
        let store = KvStore::shared(self.kv_layout(), count, self.dtype, &self.device)?;
        let pool = BlockPool::new(count);
        let mut tables: Vec<BlockTable> = sequences.iter().map(|_| pool.table(0)).collect();
        let mut parts = Vec::new();
        for pieces in cut(sequences) {
            parts.push(self.part(sequences, pieces)?);
        }
        for (index, layer) in self.layers.iter().enumerate() {
            for (table, tokens) in tables.iter_mut().zip(sequences) {
                table.clear();
                table.reserve(tokens.len());
            }
            for part in &mut parts {
                if !goes_on() {
                    return Ok(None);
                }
                let spans = spans(&store, &mut tables, sequences, &part.pieces);
                let none = AdapterRows::default();
                part.hidden = layer.forward(&part.hidden, &spans, &part.rotation, index, &none)?;
                drop(spans);
                for piece in &part.pieces {
                    tables[piece.sequence].advance(piece.count);
                }
            }
        }
        self.last_rows(sequences, &parts).map(Some)
    }

    fn part(&self, sequences: &[&[u32]], pieces: Vec<Piece>) -> Result<Part> {
        let tokens: Vec<u32> = pieces
            .iter()
            .flat_map(|piece| &sequences[piece.sequence][piece.first..piece.first + piece.count])
            .copied()
            .collect();
        let rotations = pieces.iter().map(|piece| {
            let length = sequences[piece.sequence].len();
            if length > self.context_length as usize {
                candle_core::bail!("a sequence of {length} tokens is longer than the context");
            }
            self.rope
                .rotation(piece.first, piece.count, length, self.dtype, &self.device)
        });
        Ok(Part {
            rotation: Rotation::join(rotations.collect::<Result<_>>()?)?,
            hidden: self.rows_of(&tokens)?,
            pieces,
        })
    }

    fn last_rows(&self, sequences: &[&[u32]], parts: &[Part]) -> Result<Tensor> {
        let mut rows = Vec::with_capacity(sequences.len());
        for part in parts {
            let mut end = 0;
            for piece in &part.pieces {
                end += piece.count;
                if piece.first + piece.count == sequences[piece.sequence].len() {
                    rows.push(part.hidden.narrow(0, end - 1, 1)?);
                }
            }
        }
        self.norm.forward(&Tensor::cat(&rows, 0)?)?.to_dtype(DType::F32)
    }
}

/// Cuts sequences into parts of at most [`PART_TOKENS`], in order.
fn cut(sequences: &[&[u32]]) -> Vec<Vec<Piece>> {
    let mut parts = vec![Vec::new()];
    let mut room = PART_TOKENS;
    for (sequence, tokens) in sequences.iter().enumerate() {
        let mut first = 0;
        while first < tokens.len() {
            if room == 0 {
                parts.push(Vec::new());
                room = PART_TOKENS;
            }
            let count = room.min(tokens.len() - first);
            if let Some(part) = parts.last_mut() {
                part.push(Piece {
                    sequence,
                    first,
                    count,
                });
            }
            first += count;
            room -= count;
        }
    }
    parts
}

/// The spans of a part. Each sequence has at most one piece in it.
fn spans<'pass>(
    store: &'pass KvStore,
    tables: &'pass mut [BlockTable],
    sequences: &[&'pass [u32]],
    pieces: &[Piece],
) -> Vec<Span<'pass>> {
    let mut pieces = pieces.iter().peekable();
    let mut spans = Vec::new();
    for ((index, table), tokens) in tables.iter_mut().enumerate().zip(sequences) {
        let Some(piece) = pieces.next_if(|piece| piece.sequence == index) else {
            continue;
        };
        spans.push(Span {
            tokens: &tokens[piece.first..piece.first + piece.count],
            cache: KvView { store, table },
            rope_length: tokens.len(),
            logits: LogitsOf::Nothing,
        });
    }
    spans
}
