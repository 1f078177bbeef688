//! Who calls: a handler that names [`CallerAuth`] cannot run without a valid key.

use axum::extract::{FromRef, FromRequestParts};
use http::request::Parts;
use http::{HeaderMap, header};
use silica_platform::{AuthError, Caller, Platform};

use crate::{Failure, TrustedProxies};

/// The account and key of an authenticated request. Its address is that of [`PeerAddress`](crate::PeerAddress),
/// or what trusted proxies say.
#[derive(Debug, Clone)]
pub struct CallerAuth(pub Caller);

impl<S: Send + Sync> FromRequestParts<S> for CallerAuth
where
    Platform: FromRef<S>,
    TrustedProxies: FromRef<S>,
{
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let key = bearer_token(&parts.headers);
        identify(parts, state, key).await.map(Self)
    }
}

/// As [`CallerAuth`]; the key may also stand in `x-api-key`, where clients of Anthropic put it. A
/// bearer token wins.
#[derive(Debug, Clone)]
pub(crate) struct AnthropicAuth(pub(crate) Caller);

impl<S: Send + Sync> FromRequestParts<S> for AnthropicAuth
where
    Platform: FromRef<S>,
    TrustedProxies: FromRef<S>,
{
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let own = || parts.headers.get("x-api-key")?.to_str().ok().map(str::trim);
        let key = bearer_token(&parts.headers).or_else(own);
        identify(parts, state, key.filter(|key| !key.is_empty()))
            .await
            .map(Self)
    }
}

async fn identify<S>(parts: &Parts, state: &S, key: Option<&str>) -> Result<Caller, Failure>
where
    Platform: FromRef<S>,
    TrustedProxies: FromRef<S>,
{
    let key = key.ok_or(AuthError::Missing)?;
    let address = TrustedProxies::from_ref(state).client_of(parts);
    Ok(Platform::from_ref(state).identify(key, address).await?)
}

/// The token of `Authorization: Bearer <token>`; `None` when the header is absent, blank or of
/// another scheme.
pub fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn token(value: &'static str) -> Option<String> {
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))]);
        bearer_token(&headers).map(str::to_owned)
    }

    #[test]
    fn the_scheme_is_read_in_any_case_and_spaces_are_trimmed() {
        assert_eq!(token("Bearer sk-a").as_deref(), Some("sk-a"));
        assert_eq!(token("bearer   sk-a ").as_deref(), Some("sk-a"));
    }

    #[test]
    fn blank_and_foreign_headers_carry_no_token() {
        for value in ["", "Bearer", "Bearer ", "Basic c2s6YQ==", "sk-a"] {
            assert_eq!(token(value), None, "{value:?}");
        }
        assert_eq!(bearer_token(&HeaderMap::new()), None);
    }
}
