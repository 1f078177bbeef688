//! The metrics of routes. Handles are made at the first request that needs them and kept, so that no
//! later request looks a metric up. Labels are patterns of routes and statuses, of which there are few.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use http::StatusCode;
use metrics::{Counter, Histogram, counter, histogram};

/// Those of all routes that were asked for.
#[derive(Default)]
pub(crate) struct AllRouteMeters(RwLock<HashMap<String, Arc<RouteMeters>>>);

impl AllRouteMeters {
    /// Those of one route, by its pattern.
    pub(crate) fn of(&self, route: &str) -> Arc<RouteMeters> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(meters) = known.get(route) {
            return Arc::clone(meters);
        }
        drop(known);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let meters = known
            .entry(route.to_owned())
            .or_insert_with(|| Arc::new(RouteMeters::new(route)));
        Arc::clone(meters)
    }
}

impl fmt::Debug for AllRouteMeters {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AllRouteMeters").finish_non_exhaustive()
    }
}

/// What is counted of one route's requests.
pub(crate) struct RouteMeters {
    route: String,
    /// By status. Few, and looked at in the order in which they first came.
    requests: RwLock<Vec<(StatusCode, Counter)>>,
    seconds: OnceLock<Histogram>,
}

impl RouteMeters {
    fn new(route: &str) -> Self {
        Self {
            route: route.to_owned(),
            requests: RwLock::default(),
            seconds: OnceLock::new(),
        }
    }

    /// The route's pattern.
    pub(crate) fn route(&self) -> &str {
        &self.route
    }

    /// Counts a request that is over.
    pub(crate) fn ended(&self, status: StatusCode, after: Duration) {
        self.count(status);
        let seconds = self
            .seconds
            .get_or_init(|| histogram!("silica_http_request_seconds", "route" => self.route.clone()));
        seconds.record(after.as_secs_f64());
    }

    fn count(&self, status: StatusCode) {
        let known = self.requests.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, counter)) = known.iter().find(|(other, _)| *other == status) {
            counter.increment(1);
            return;
        }
        drop(known);
        let route = self.route.clone();
        let counter =
            counter!("silica_http_requests_total", "route" => route, "status" => status.as_u16().to_string());
        counter.increment(1);
        let mut known = self.requests.write().unwrap_or_else(PoisonError::into_inner);
        // Another request may have been quicker; both counters are the same one.
        if !known.iter().any(|(other, _)| *other == status) {
            known.push((status, counter));
        }
    }
}
