//! `GET /user/info` (contract section 14).

use serde::Serialize;
use silica_types::Money;

/// The caller's account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserInfo {
    /// The account's id.
    #[schema(example = "019516ecd5791194e7ce760dcc227413")]
    pub id: String,
    /// The display name.
    pub name: String,
    /// Always empty.
    pub image: &'static str,
    /// The e-mail address.
    pub email: String,
    /// Always false.
    pub is_admin: bool,
    /// What is left of the gift and of vouchers, in CNY.
    #[schema(value_type = String, example = "0.88")]
    pub balance: Money,
    /// Always `normal`: other accounts get no answer.
    #[schema(example = "normal")]
    pub status: &'static str,
    /// Always empty.
    pub introduction: &'static str,
    /// Always empty.
    pub role: &'static str,
    /// What is left of what was paid in, in CNY.
    #[schema(value_type = String, example = "88.00")]
    pub charge_balance: Money,
    /// Both together.
    #[schema(value_type = String, example = "88.88")]
    pub total_balance: Money,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::silicon::Envelope;

    #[test]
    fn an_account_looks_as_in_the_contract() {
        let info = UserInfo {
            id: "019516ecd5791194e7ce760dcc227413".to_owned(),
            name: "Ann".to_owned(),
            image: "",
            email: "ann@example.org".to_owned(),
            is_admin: false,
            balance: "0.88".parse().unwrap(),
            status: "normal",
            introduction: "",
            role: "",
            charge_balance: "88".parse().unwrap(),
            total_balance: "88.88".parse().unwrap(),
        };
        assert_eq!(
            serde_json::to_value(Envelope::new(info)).unwrap(),
            json!({
                "code": 20000,
                "message": "OK",
                "status": true,
                "data": {
                    "id": "019516ecd5791194e7ce760dcc227413",
                    "name": "Ann",
                    "image": "",
                    "email": "ann@example.org",
                    "isAdmin": false,
                    "balance": "0.88",
                    "status": "normal",
                    "introduction": "",
                    "role": "",
                    "chargeBalance": "88.00",
                    "totalBalance": "88.88",
                },
            })
        );
    }
}
