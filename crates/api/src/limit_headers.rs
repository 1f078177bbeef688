//! What responses say about rate limits: `x-ratelimit-*` as OpenAI's API names them, `Retry-After`
//! (RFC 9110 section 10.2.3) on refusals.
//!
//! The contract found no such headers on the wire (platform.md 1.1); clients that do not know them
//! ignore them, and those that do can pace themselves.

use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use silica_platform::{LimitReached, Metric, Standing};

/// The three headers of one kind of limit.
#[derive(Debug, PartialEq, Eq)]
struct Names {
    limit: &'static str,
    remaining: &'static str,
    reset: &'static str,
}

static REQUESTS: Names = Names {
    limit: "x-ratelimit-limit-requests",
    remaining: "x-ratelimit-remaining-requests",
    reset: "x-ratelimit-reset-requests",
};
static TOKENS: Names = Names {
    limit: "x-ratelimit-limit-tokens",
    remaining: "x-ratelimit-remaining-tokens",
    reset: "x-ratelimit-reset-tokens",
};
static IMAGES: Names = Names {
    limit: "x-ratelimit-limit-images",
    remaining: "x-ratelimit-remaining-images",
    reset: "x-ratelimit-reset-images",
};

fn names(metric: Metric) -> &'static Names {
    match metric {
        Metric::Rpm | Metric::Rph | Metric::Rpd => &REQUESTS,
        Metric::Tpm | Metric::Tpd => &TOKENS,
        Metric::Ipm | Metric::Ipd => &IMAGES,
    }
}

/// The names of all of them, for browsers that ask what they may read.
pub(crate) fn all() -> impl Iterator<Item = HeaderName> {
    [&REQUESTS, &TOKENS, &IMAGES]
        .into_iter()
        .flat_map(|names| [names.limit, names.remaining, names.reset])
        .map(HeaderName::from_static)
}

/// Writes how an admitted call left its limits. Of several limits on the same thing (minute, hour,
/// day) the one with the least left speaks.
pub(crate) fn standing(headers: &mut HeaderMap, standings: &[Standing]) {
    for kind in [&REQUESTS, &TOKENS, &IMAGES] {
        let tightest = standings
            .iter()
            .filter(|standing| names(standing.metric) == kind)
            .min_by_key(|standing| standing.remaining);
        if let Some(standing) = tightest {
            write(headers, kind, standing.limit, standing.remaining, standing.reset);
        }
    }
}

/// The headers of a refusal.
pub(crate) fn refused(reached: &LimitReached) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(4);
    let seconds = whole_seconds(reached.retry_after).max(1);
    headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    write(
        &mut headers,
        names(reached.metric),
        reached.limit,
        0,
        reached.retry_after,
    );
    headers
}

fn write(headers: &mut HeaderMap, names: &Names, limit: u64, remaining: u64, reset: Duration) {
    headers.insert(names.limit, HeaderValue::from(limit));
    headers.insert(names.remaining, HeaderValue::from(remaining));
    if let Ok(reset) = HeaderValue::try_from(format!("{}s", whole_seconds(reset))) {
        headers.insert(names.reset, reset);
    }
}

/// Rounds up: a client that comes back too early is refused again.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
