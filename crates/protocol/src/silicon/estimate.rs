//! `POST /estimate`: what a request would cost. No endpoint of `SiliconFlow`, but in its manner.

mod request;
mod response;

pub use request::{Asked, AskedAnswer, EstimateRequest, EstimateRequestSchema};
pub use response::{CostLine, Costs, Estimate};
