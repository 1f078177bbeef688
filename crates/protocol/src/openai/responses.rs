//! `POST /responses`, in OpenAI's newer form, as far as it needs no memory of earlier answers.

mod event;
mod input;
mod request;
mod response;
mod schema;
mod settings;
mod tool;

pub use event::{NumberedEvent, ResponseEvent};
pub use request::{Effort, ResponsesRequest, TextFormat};
pub use response::{
    ContentPart, FunctionCallItem, IncompleteDetails, ItemStatus, MessageItem, OutputItem, ReasoningItem,
    Response, ResponseError, ResponseStatus, ResponseUsage,
};
pub use schema::ResponsesRequestSchema;
pub use settings::Settings;
pub use tool::{AllowedTools, NamedTool, ToolMode, ToolSelection};
