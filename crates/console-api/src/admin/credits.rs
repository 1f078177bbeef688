//! `POST /admin/v1/accounts/{account}/credits`.

use axum::extract::{FromRequestParts, State};
use http::request::Parts;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use silica_api::{Failure, Json};
use silica_platform::{BucketKind, Credited, NewCredit};
use silica_protocol::{ApiError, ErrorBody};
use silica_types::{AccountId, BucketId, CreditId, Money};

use super::accounts::Text;
use crate::auth::Operator;
use crate::path::AccountPath;
use crate::wire::MoneyBody;
use crate::{AdminState, failure};

const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The money to put into the account.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateCredit {
    /// gift, charge or voucher.
    #[schema(value_type = String, example = "charge")]
    bucket: BucketKind,
    /// How much, in CNY: a decimal string, or a number, which is read by its digits.
    #[schema(value_type = String, example = "100.00")]
    amount: MoneyBody,
    /// When a voucher ends; vouchers need it, others have none.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// A credit that was booked.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct CreditView {
    /// The credit's id.
    #[schema(value_type = String)]
    id: Text<CreditId>,
    /// Who got it.
    #[schema(value_type = String)]
    account: Text<AccountId>,
    /// gift, charge or voucher.
    #[schema(value_type = String)]
    bucket: BucketKind,
    /// The id of what it filled: vouchers have one each.
    #[schema(value_type = String)]
    bucket_id: Text<BucketId>,
    /// How much.
    #[schema(value_type = String, example = "100.00")]
    amount: Money,
    /// When the voucher ends.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// When it was booked.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Whether the idempotency key was used before: nothing was booked now, and this is the earlier
    /// credit.
    repeated: bool,
}

/// The text that marks repetitions of one request.
pub(crate) struct IdempotencyKey(pub(crate) Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Failure> {
        let mut values = parts.headers.get_all(IDEMPOTENCY_KEY).iter();
        let (first, second) = (values.next(), values.next());
        if second.is_some() {
            return Err(ApiError::invalid("Idempotency-Key: given twice").into());
        }
        // What is no text becomes a text that the domain refuses.
        Ok(Self(
            first.map(|value| value.to_str().unwrap_or_default().to_owned()),
        ))
    }
}

impl From<Credited> for CreditView {
    fn from(credited: Credited) -> Self {
        let credit = credited.credit;
        Self {
            id: Text(credit.id),
            account: Text(credit.account),
            bucket: credit.kind,
            bucket_id: Text(credit.bucket),
            amount: credit.amount,
            expires_at: credit.expires_at,
            created_at: credit.created_at,
            repeated: credited.repeated,
        }
    }
}

/// Puts money into an account. It can be spent at once.
///
/// With an `Idempotency-Key`, a request that is sent again books nothing and is answered with the
/// first credit.
#[utoipa::path(
    post,
    path = "/admin/v1/accounts/{account}/credits",
    operation_id = "create_credit",
    tag = "admin",
    params(
        ("account" = String, Path, description = "The account's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 128 visible ASCII characters; marks repetitions of one request"),
    ),
    request_body = CreateCredit,
    responses(
        (status = 200, description = "The credit", body = CreditView),
        (status = 400, description = "A field is missing, unknown or not usable", body = ErrorBody),
        (status = 401, description = "Not the admin key", body = ErrorBody),
        (status = 404, description = "There is no such account", body = ErrorBody),
        (status = 409, description = "The idempotency key belongs to another credit, or the balance would be too large", body = ErrorBody),
    ),
    security(("admin" = [])),
)]
pub(crate) async fn create_credit(
    State(state): State<AdminState>,
    _operator: Operator,
    AccountPath(account): AccountPath,
    IdempotencyKey(idempotency_key): IdempotencyKey,
    Json(body): Json<CreateCredit>,
) -> Result<Json<CreditView>, Failure> {
    let new = NewCredit {
        bucket: body.bucket,
        amount: body.amount.0,
        expires_at: body.expires_at,
        idempotency_key,
    };
    let credited = state.platform.credit(account, new).await;
    Ok(Json(credited.map_err(failure::platform)?.into()))
}
