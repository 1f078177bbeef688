//! The outermost layer: a trace id for every request, metrics, and a log line for refusals.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::BoxError;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, MatchedPath, Request};
use axum::response::Response;
use futures::future::BoxFuture;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use silica_protocol::{ApiError, ErrorCode};
use silica_types::{SharedClock, SpanParent, TraceId};
use tokio::time::Instant;
use tower::{Layer, Service};

use crate::route_meters::{AllRouteMeters, RouteMeters};
use crate::{Failure, GuardedBody, TRACE_ID_HEADER};

/// The trace id of a request, for handlers.
#[derive(Debug, Clone)]
pub struct RequestTrace(pub TraceId);

impl<S: Send + Sync> FromRequestParts<S> for RequestTrace {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Failure> {
        // Missing only where a router was built without the layer, which is our own mistake.
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or(Failure::from(ErrorCode::Internal))
    }
}

/// Gives each request its trace id and each response its header, counts and times requests by
/// route pattern, and logs refused ones by code (never by content).
#[derive(Debug, Clone)]
pub struct ObserveLayer {
    clock: SharedClock,
    meters: Arc<AllRouteMeters>,
}

impl ObserveLayer {
    /// Makes the layer; the clock dates the ids that it generates.
    pub fn new(clock: SharedClock) -> Self {
        Self {
            clock,
            meters: Arc::default(),
        }
    }
}

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Observe<S> {
        Observe {
            inner,
            clock: SharedClock::clone(&self.clock),
            meters: Arc::clone(&self.meters),
        }
    }
}

/// The service of [`ObserveLayer`].
#[derive(Debug, Clone)]
pub struct Observe<S> {
    inner: S,
    clock: SharedClock,
    meters: Arc<AllRouteMeters>,
}

impl<S, B> Service<Request> for Observe<S>
where
    S: Service<Request, Response = http::Response<B>, Error = Infallible>,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let trace = trace_of(request.headers()).unwrap_or_else(|| TraceId::generate(&*self.clock));
        let route = request.extensions().get::<MatchedPath>();
        let mut timer = RequestTimer::start(self.meters.of(route.map_or("unmatched", MatchedPath::as_str)));
        request.extensions_mut().insert(RequestTrace(trace.clone()));
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            timer.status = response.status();
            if let Some(error) = response.extensions().get::<ApiError>() {
                log_refusal(&trace, timer.meters.route(), error);
            }
            // A trace id is visible ASCII, which every header may carry.
            if let Ok(value) = HeaderValue::from_str(trace.as_str()) {
                response.headers_mut().insert(TRACE_ID_HEADER, value);
            }
            Ok(response.map(|body| Body::new(GuardedBody::new(body, timer))))
        })
    }
}

/// The caller's own trace id, if it sent a usable one (contract section 1.2).
fn trace_of(headers: &HeaderMap) -> Option<TraceId> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let own = text("x-trace-id").and_then(|value| TraceId::from_caller(value).ok());
    let Some(parent) = text("traceparent") else {
        return own;
    };
    match own {
        // The caller's span is known by another name then.
        Some(own) => Some(own.with_parent(SpanParent::from_traceparent(parent).ok())),
        None => TraceId::from_traceparent(parent).ok(),
    }
}

fn log_refusal(trace: &TraceId, route: &str, error: &ApiError) {
    let (code, status) = (error.code.number(), error.code.status().as_u16());
    tracing::info!(trace.id = %trace, route, status, code, "request refused with {code}");
}

/// Counts one request when it is over: when its body is sent, or when the client left.
struct RequestTimer {
    meters: Arc<RouteMeters>,
    status: StatusCode,
    begun: Instant,
}

impl RequestTimer {
    /// Starts with the status of a request whose client leaves before the answer (contract
    /// section 1.4, 60001).
    fn start(meters: Arc<RouteMeters>) -> Self {
        let client_closed = StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST);
        Self {
            meters,
            status: client_closed,
            begun: Instant::now(),
        }
    }
}

impl Drop for RequestTimer {
    fn drop(&mut self) {
        self.meters.ended(self.status, self.begun.elapsed());
    }
}
