//! The operator: a handler that names [`Operator`] cannot run without the admin key.

use axum::extract::FromRequestParts;
use http::request::Parts;
use sha2::{Digest, Sha256};
use silica_api::{Failure, bearer_token};
use silica_protocol::ErrorCode;
use silica_types::Secret;
use subtle::ConstantTimeEq;

use crate::AdminState;

/// Proof that the request carries the admin key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operator;

impl FromRequestParts<AdminState> for Operator {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &AdminState) -> Result<Self, Failure> {
        let presented = bearer_token(&parts.headers).ok_or(ErrorCode::TokenMissing)?;
        if is_admin_key(&state.admin_key, presented) {
            Ok(Self)
        } else {
            Err(ErrorCode::TokenInvalid.into())
        }
    }
}

/// Compares digests, so that the time tells neither the length nor a common beginning.
fn is_admin_key(admin_key: &Secret, presented: &str) -> bool {
    let expected = Sha256::digest(admin_key.expose().as_bytes());
    Sha256::digest(presented.as_bytes())
        .as_slice()
        .ct_eq(expected.as_slice())
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_key_is_the_key() {
        let key = Secret::new("0123456789abcdef0123456789abcdef");
        assert!(is_admin_key(&key, "0123456789abcdef0123456789abcdef"));
        for wrong in [
            "",
            "0123456789abcdef",
            "0123456789abcdef0123456789abcdeF",
            "0123456789abcdef0123456789abcdef0",
        ] {
            assert!(!is_admin_key(&key, wrong), "{wrong}");
        }
    }
}
