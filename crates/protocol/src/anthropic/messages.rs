//! `POST /messages` (contract section 5).

mod content;
mod event;
mod request;
mod response;
mod schema;
mod tool;

pub use event::{BlockDelta, MessageDelta, MessageEvent};
pub use request::{MessagesRequest, ThinkingSetting, TokenCountRequest};
pub use response::{ContentBlock, Message, MessageUsage, StopReason, TokenCount, ToolInput};
pub use schema::{MessagesRequestSchema, TokenCountRequestSchema};
