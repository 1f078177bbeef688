//! The wire shapes of OpenAI's chat completions, as a client writes and reads them.

mod chunk;
mod request;

pub(crate) use chunk::{
    Chunk, ChunkChoice, ChunkDelta, Fault, ToolCallPiece, UsageReport, finish_reason, reported_fault,
};
pub(crate) use request::ChatBody;
