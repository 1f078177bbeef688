//! Traces of calls for an OpenTelemetry collector: OTLP over HTTP, in JSON (OTLP 1.x, "JSON Protobuf
//! Encoding"), with the semantic conventions for generative AI.
//!
//! Written by hand: what is sent is one shape of two kinds of spans, and the SDK would bring a second
//! way of everything that is here already. Spans are made when a call is over, off its way: the
//! call hands over a summary, and what cannot be sent is dropped, never waited for.

mod client;
mod exporter;
mod ids;
mod sampler;
mod spans;

pub(crate) use exporter::traces;
