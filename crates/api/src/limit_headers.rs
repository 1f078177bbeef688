//! What responses say about rate limits: `x-ratelimit-*` as OpenAI's API names them, `Retry-After`
//! (RFC 9110 section 10.2.3) on refusals.
//!
//! The contract found no such headers on the wire (platform.md 1.1); clients that do not know them
//! ignore them, and those that do can pace themselves.

use std::io::Write as _;
use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use silica_platform::{LimitReached, Metric, Standing};

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Requests,
    Tokens,
    Images,
}

/// The three headers of one kind of limit.
struct Names {
    limit: HeaderName,
    remaining: HeaderName,
    reset: HeaderName,
}

static REQUESTS: Names = Names {
    limit: HeaderName::from_static("x-ratelimit-limit-requests"),
    remaining: HeaderName::from_static("x-ratelimit-remaining-requests"),
    reset: HeaderName::from_static("x-ratelimit-reset-requests"),
};
static TOKENS: Names = Names {
    limit: HeaderName::from_static("x-ratelimit-limit-tokens"),
    remaining: HeaderName::from_static("x-ratelimit-remaining-tokens"),
    reset: HeaderName::from_static("x-ratelimit-reset-tokens"),
};
static IMAGES: Names = Names {
    limit: HeaderName::from_static("x-ratelimit-limit-images"),
    remaining: HeaderName::from_static("x-ratelimit-remaining-images"),
    reset: HeaderName::from_static("x-ratelimit-reset-images"),
};

impl Kind {
    const ALL: [Self; 3] = [Self::Requests, Self::Tokens, Self::Images];

    const fn of(metric: Metric) -> Self {
        match metric {
            Metric::Rpm | Metric::Rph | Metric::Rpd => Self::Requests,
            Metric::Tpm | Metric::Tpd => Self::Tokens,
            Metric::Ipm | Metric::Ipd => Self::Images,
        }
    }

    fn names(self) -> &'static Names {
        match self {
            Self::Requests => &REQUESTS,
            Self::Tokens => &TOKENS,
            Self::Images => &IMAGES,
        }
    }
}

/// The names of all of them, for browsers that ask what they may read.
pub(crate) fn all() -> impl Iterator<Item = HeaderName> {
    Kind::ALL
        .map(Kind::names)
        .into_iter()
        .flat_map(|names| [&names.limit, &names.remaining, &names.reset].map(HeaderName::clone))
}

/// Writes how an admitted call left its limits. Of several limits on the same thing (minute, hour,
/// day) the one with the least left speaks.
pub(crate) fn standing(headers: &mut HeaderMap, standings: &[Standing]) {
    for kind in Kind::ALL {
        let tightest = standings
            .iter()
            .filter(|standing| Kind::of(standing.metric) == kind)
            .min_by_key(|standing| standing.remaining);
        if let Some(standing) = tightest {
            write(
                headers,
                kind.names(),
                standing.limit,
                standing.remaining,
                standing.reset,
            );
        }
    }
}

/// The header that says when to come back: in at least a second.
pub(crate) fn retry_after(left: Duration) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(1);
    headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(left).max(1)));
    headers
}

/// The headers of a refusal.
pub(crate) fn refused(reached: &LimitReached) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(4);
    headers.extend(retry_after(reached.retry_after));
    write(
        &mut headers,
        Kind::of(reached.metric).names(),
        reached.limit,
        0,
        reached.retry_after,
    );
    headers
}

fn write(headers: &mut HeaderMap, names: &Names, limit: u64, remaining: u64, reset: Duration) {
    headers.insert(&names.limit, HeaderValue::from(limit));
    headers.insert(&names.remaining, HeaderValue::from(remaining));
    let mut text = [0; LONGEST_SECONDS];
    let mut rest = text.as_mut_slice();
    // There is room for every number.
    let _ = write!(rest, "{}s", whole_seconds(reset));
    let left = rest.len();
    if let Some(Ok(reset)) = text.get(..LONGEST_SECONDS - left).map(HeaderValue::from_bytes) {
        headers.insert(&names.reset, reset);
    }
}

/// The digits of the largest number, and the unit.
const LONGEST_SECONDS: usize = 21;

/// Rounds up: a client that comes back too early is refused again.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
