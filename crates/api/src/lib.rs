//! The public API: `/v1` handlers, one endpoint a file, and what stands around them: caller
//! extractor, validated bodies, error envelope, trace ids, SSE.
//!
//! Handlers parse, authorize, call the gateway or the platform, and map the result; they hold no
//! logic of their own. The operator API reuses the layers, the extractors and the envelope.

mod ai_label;
mod answer;
mod auth;
mod body;
mod body_budget;
mod chat;
mod client_address;
mod completions;
mod config;
mod drain;
mod embeddings;
mod estimate;
mod failure;
mod guarded_body;
mod layers;
mod limit_headers;
mod messages;
mod models;
mod moderations;
mod observe;
mod openapi;
mod rerank;
mod responses;
mod route_meters;
mod router;
mod sse;
mod user;

pub use ai_label::{AiLabel, InvalidAiLabel};
pub use auth::{CallerAuth, bearer_token};
pub use body::{BodyLimits, ForwardableJson, Json, RawBody, ValidJson};
pub use client_address::{InvalidNetwork, PeerAddress, TrustedProxies, parse_network};
pub use config::{ApiConfig, CorsOrigins, InvalidOrigin};
pub use drain::drain_unread;
pub use failure::Failure;
pub use guarded_body::GuardedBody;
pub use layers::{TRACE_ID_HEADER, install_panic_hook, panic_barrier};
pub use observe::{ObserveLayer, RequestTrace};
pub use openapi::openapi;
pub use router::{ApiState, method_not_allowed, not_found, router, routes, with_layers};
pub use user::{BillFormat, BillQuery, BillView, respond_with_bill};
