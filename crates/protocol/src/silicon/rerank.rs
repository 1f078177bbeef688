//! `POST /rerank` (contract section 7).

mod request;
mod response;

pub use request::{RerankRequest, RerankRequestSchema};
pub use response::{BilledUnits, Rerank, RerankDocument, RerankMeta, RerankResult, RerankTokens};
