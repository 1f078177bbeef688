//! `GET /user/info` (contract section 14).

use axum::extract::State;
use silica_platform::Platform;
use silica_protocol::ErrorBody;
use silica_protocol::silicon::{Envelope, UserInfo};

use crate::{CallerAuth, Json};

/// Shows the caller's account and what it can spend.
///
/// Answered from memory (on several nodes from what they count together), so also while the database is down. Vouchers count into `balance`.
#[utoipa::path(
    get,
    path = "/v1/user/info",
    operation_id = "get_user_info",
    tag = "user",
    responses(
        (status = 200, description = "The account", body = Envelope<UserInfo>),
        (status = 401, description = "The key is missing or invalid", body = ErrorBody),
        (status = 403, description = "The account is disabled or the address not allowed", body = ErrorBody),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn get_user_info(
    State(platform): State<Platform>,
    CallerAuth(caller): CallerAuth,
) -> Json<Envelope<UserInfo>> {
    let balances = platform.balances_now(caller.account).await;
    let profile = caller.profile();
    Json(Envelope::new(UserInfo {
        id: caller.account.to_string(),
        name: profile.name.clone(),
        image: "",
        email: profile.email.clone(),
        is_admin: false,
        balance: balances.gift.saturating_add(balances.voucher),
        status: "normal",
        introduction: "",
        role: "",
        charge_balance: balances.charge,
        total_balance: balances.total(),
    }))
}
