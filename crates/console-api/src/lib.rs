//! The operator API under `/admin/v1`, and `/metrics` beside it (and, later, the console's own API).
//!
//! Handlers parse, authorize, call one function of the platform or the gateway, and map the
//! result. Fields that the API does not know are refused by name, because an operator's typo must
//! not pass for a setting. `/metrics` asks for no key: the listener is on the loopback address
//! unless the operator opens it, and the numbers hold nothing secret.

mod admin;
mod auth;
mod bodies;
mod failure;
mod openapi;
mod page;
mod path;
mod router;
mod wire;

pub use bodies::{BodyFault, deployment_from_json, model_from_json};
pub use openapi::openapi;
pub use router::{AdminState, admin_router};
