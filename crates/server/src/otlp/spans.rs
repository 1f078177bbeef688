//! Calls as spans, in the JSON of OTLP.

use http::Uri;
use jiff::Timestamp;
use serde_json::{Value, json};
use silica_gateway::{CallAttempt, CallSummary, FinishReason};

use super::ids::SpanIds;

/// `SPAN_KIND_SERVER` and `SPAN_KIND_CLIENT`.
const SERVER: u8 = 2;
const CLIENT: u8 = 3;
/// `STATUS_CODE_ERROR`.
const ERROR: u8 = 2;

/// The body of one export.
pub(super) fn export(service: &str, calls: &[CallSummary]) -> Value {
    let spans: Vec<Value> = calls.iter().flat_map(spans_of).collect();
    json!({ "resourceSpans": [{
        "resource": { "attributes": [
            text("service.name", service),
            text("service.version", env!("CARGO_PKG_VERSION")),
        ] },
        "scopeSpans": [{
            "scope": { "name": "silica", "version": env!("CARGO_PKG_VERSION") },
            "spans": spans,
        }],
    }] })
}

/// The span of a call, and those of its attempts.
fn spans_of(call: &CallSummary) -> Vec<Value> {
    let ids = SpanIds::of(call);
    let start = call.started_at;
    let mut spans = vec![call_span(call, ids, nanoseconds(start))];
    let attempts = call.attempts.iter().enumerate();
    spans.extend(attempts.map(|(index, attempt)| attempt_span(call, attempt, ids, index)));
    spans
}

fn call_span(call: &CallSummary, ids: SpanIds, start: i128) -> Value {
    let usage = call.usage;
    let mut attributes = vec![
        text("gen_ai.operation.name", call.operation),
        text("gen_ai.provider.name", "silica"),
        text("gen_ai.request.model", call.model.as_str()),
        text("gen_ai.response.model", call.model.as_str()),
        text("gen_ai.response.id", &call.id.to_string()),
        number("gen_ai.usage.input_tokens", usage.prompt.get().into()),
        number("gen_ai.usage.output_tokens", usage.completion.get().into()),
        number("gen_ai.usage.cache_read.input_tokens", usage.cached.get().into()),
        text("silica.trace_id", call.trace.as_str()),
        text("silica.outcome", call.outcome),
    ];
    if !call.finish_reasons.is_empty() {
        let reasons: Vec<Value> = call
            .finish_reasons
            .iter()
            .map(|reason| json!({ "stringValue": reason_name(*reason) }))
            .collect();
        let value = json!({ "arrayValue": { "values": reasons } });
        attributes.push(json!({ "key": "gen_ai.response.finish_reasons", "value": value }));
    }
    if let Some(answered) = call.attempts.last() {
        attributes.extend(place(answered));
    }
    let mut span = json!({
        "traceId": format!("{:032x}", ids.trace),
        "spanId": format!("{:016x}", ids.span),
        "flags": 1,
        "name": format!("{} {}", call.operation, call.model),
        "kind": SERVER,
        "startTimeUnixNano": start.to_string(),
        "endTimeUnixNano": after(start, call.duration).to_string(),
    });
    if let Some(parent) = ids.parent {
        span["parentSpanId"] = format!("{parent:016x}").into();
    }
    if let Some(first_token) = call.first_token {
        let at = after(start, first_token).to_string();
        span["events"] = json!([{ "name": "first_token", "timeUnixNano": at }]);
    }
    end(span, attributes, call.error)
}

fn attempt_span(call: &CallSummary, attempt: &CallAttempt, ids: SpanIds, index: usize) -> Value {
    let start = after(nanoseconds(call.started_at), attempt.begun);
    let mut attributes = place(attempt);
    attributes.push(text("gen_ai.operation.name", call.operation));
    let span = json!({
        "traceId": format!("{:032x}", ids.trace),
        "spanId": format!("{:016x}", ids.attempt(index)),
        "parentSpanId": format!("{:016x}", ids.span),
        "flags": 1,
        "name": format!("attempt {}", attempt.deployment),
        "kind": CLIENT,
        "startTimeUnixNano": start.to_string(),
        "endTimeUnixNano": after(start, attempt.duration).to_string(),
    });
    end(span, attributes, attempt.error)
}

/// Adds the attributes, and the error if there is one.
fn end(mut span: Value, mut attributes: Vec<Value>, error: Option<&'static str>) -> Value {
    if let Some(error) = error {
        attributes.push(text("error.type", error));
        span["status"] = json!({ "code": ERROR });
    }
    span["attributes"] = attributes.into();
    span
}

/// Which replica it was. Of its address, host and port only.
fn place(attempt: &CallAttempt) -> Vec<Value> {
    let replica = i64::try_from(attempt.replica).unwrap_or(i64::MAX);
    let mut attributes = vec![
        text("silica.deployment", &attempt.deployment),
        number("silica.replica", replica),
    ];
    let server: Option<Uri> = attempt.server.as_deref().and_then(|url| url.parse().ok());
    if let Some((server, host)) = server.as_ref().and_then(|server| Some((server, server.host()?))) {
        attributes.push(text("server.address", host));
        let port = match (server.port_u16(), server.scheme_str()) {
            (Some(port), _) => port,
            (None, Some("https")) => 443,
            (None, _) => 80,
        };
        attributes.push(number("server.port", port.into()));
    }
    attributes
}

const fn reason_name(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_calls",
    }
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// A whole number, which the JSON of protocol buffers writes as a text.
fn number(key: &str, value: i64) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

fn nanoseconds(time: Timestamp) -> i128 {
    time.as_nanosecond()
}

fn after(start: i128, duration: std::time::Duration) -> i128 {
    start.saturating_add_unsigned(duration.as_nanos())
}
