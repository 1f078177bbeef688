//! `/admin/v1/accounts/{account}/level-packages`.

use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use silica_api::{Failure, Json};
use silica_platform::{NewLevelPackage, SoldPackage, UsageLevel};
use silica_protocol::ErrorBody;
use silica_types::{AccountId, BucketId, LevelPackageId, Money};

use super::accounts::Text;
use super::credits::IdempotencyKey;
use crate::auth::Operator;
use crate::page::{List, PageQuery};
use crate::path::AccountPath;
use crate::{AdminState, failure};

/// The level to buy.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateLevelPackage {
    /// L1 to L5. The price is the consumption that earns the level: 50, 200, 2000, 5000 or 10000 CNY.
    #[schema(value_type = String, example = "L3")]
    level: UsageLevel,
}

/// A level package that was sold.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct LevelPackageView {
    /// The package's id.
    #[schema(value_type = String)]
    id: Text<LevelPackageId>,
    /// Who bought it.
    #[schema(value_type = String)]
    account: Text<AccountId>,
    /// L1 to L5.
    #[schema(value_type = String)]
    level: UsageLevel,
    /// What was paid from the charge balance, and what the voucher was worth.
    #[schema(value_type = String, example = "2000.00")]
    price: Money,
    /// The end of the month after that of the purchase; the level is the account's until then.
    #[schema(value_type = String, format = DateTime)]
    level_until: Timestamp,
    /// The id of the voucher.
    #[schema(value_type = String)]
    voucher_id: Text<BucketId>,
    /// When the voucher ends.
    #[schema(value_type = String, format = DateTime)]
    voucher_expires_at: Timestamp,
    /// When it was bought.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Whether the idempotency key was used before: nothing was bought now, and this is the earlier
    /// package.
    repeated: bool,
}

impl From<&SoldPackage> for LevelPackageView {
    fn from(sold: &SoldPackage) -> Self {
        let package = &sold.package;
        Self {
            id: Text(package.id),
            account: Text(package.account),
            level: package.level,
            price: package.price,
            level_until: sold.level_until,
            voucher_id: Text(package.voucher),
            voucher_expires_at: package.voucher_expires_at,
            created_at: package.created_at,
            repeated: sold.repeated,
        }
    }
}

/// Sells an account a usage level. It is in force at once, in this month and the next.
///
/// The price leaves the charge balance, and a voucher of the same value comes, which calls spend
/// first. With an `Idempotency-Key`, a request that is sent again buys nothing and is answered with
/// the first package.
#[utoipa::path(
    post,
    path = "/admin/v1/accounts/{account}/level-packages",
    operation_id = "create_level_package",
    tag = "admin",
    params(
        ("account" = String, Path, description = "The account's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 128 visible ASCII characters; marks repetitions of one request"),
    ),
    request_body = CreateLevelPackage,
    responses(
        (status = 200, description = "The package", body = LevelPackageView),
        (status = 400, description = "A field is missing, unknown or not usable", body = ErrorBody),
        (status = 401, description = "Not the admin key", body = ErrorBody),
        (status = 403, description = "The charge balance has less free than the price (code 30001)", body = ErrorBody),
        (status = 404, description = "There is no such account", body = ErrorBody),
        (status = 409, description = "The idempotency key belongs to another purchase", body = ErrorBody),
    ),
    security(("admin" = [])),
)]
pub(crate) async fn create_level_package(
    State(state): State<AdminState>,
    _operator: Operator,
    AccountPath(account): AccountPath,
    IdempotencyKey(idempotency_key): IdempotencyKey,
    Json(body): Json<CreateLevelPackage>,
) -> Result<Json<LevelPackageView>, Failure> {
    let new = NewLevelPackage {
        level: body.level,
        idempotency_key,
    };
    let sold = state.platform.buy_level(account, new).await;
    Ok(Json((&sold.map_err(failure::platform)?).into()))
}

/// Lists the level packages that an account bought, oldest first.
#[utoipa::path(
    get,
    path = "/admin/v1/accounts/{account}/level-packages",
    operation_id = "list_level_packages",
    tag = "admin",
    params(
        ("account" = String, Path, description = "The account's id"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
        ("limit" = Option<u32>, Query, description = "1 to 1000; 100 when absent"),
    ),
    responses(
        (status = 200, description = "The packages", body = List<LevelPackageView>),
        (status = 400, description = "The cursor or the limit is not usable", body = ErrorBody),
        (status = 401, description = "Not the admin key", body = ErrorBody),
        (status = 404, description = "There is no such account", body = ErrorBody),
    ),
    security(("admin" = [])),
)]
pub(crate) async fn list_level_packages(
    State(state): State<AdminState>,
    _operator: Operator,
    AccountPath(account): AccountPath,
    query: PageQuery,
) -> Result<Json<List<LevelPackageView>>, Failure> {
    let page = state
        .platform
        .level_packages(account, query.cursor()?, query.limit)
        .await
        .map_err(failure::platform)?;
    Ok(Json(List::new(page, |sold| LevelPackageView::from(sold))))
}
