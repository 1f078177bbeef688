//! The wire shapes of OpenAI's chat completions, as a client writes and reads them.

mod chunk;
mod request;
mod scalar;

pub(crate) use chunk::{
    Chunk, ChunkChoice, ChunkDelta, ToolCallPiece, UsageReport, finish_reason, reported_fault,
};
pub(crate) use request::ChatBody;
pub(crate) use scalar::{Fault, MOST_ITEMS, Scalar};
