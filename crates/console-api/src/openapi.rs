//! The `OpenAPI` document of the operator API.

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::admin::{
    accounts, bills, credits, deployments, keys, ledger, level_packages, metrics, models, prices, replicas,
};

#[derive(OpenApi)]
#[openapi(
    paths(
        accounts::create::create_account,
        accounts::get::get_account,
        accounts::list::list_accounts,
        accounts::update::update_account,
        keys::create::create_key,
        keys::list::list_keys,
        keys::update::update_key,
        keys::delete::delete_key,
        credits::create_credit,
        level_packages::create_level_package,
        level_packages::list_level_packages,
        ledger::list_ledger,
        bills::get_bill,
        prices::create::create_price,
        prices::list::list_prices,
        models::put::put_model,
        models::list::list_models,
        deployments::put::put_deployment,
        deployments::list::list_deployments,
        deployments::delete::delete_deployment,
        replicas::list_replicas,
        metrics::get_metrics,
    ),
    tags((name = "admin", description = "Operation; served on the operator's listener")),
    modifiers(&AdminKey),
)]
struct Document;

/// Returns the operator API's part of the `OpenAPI` document.
pub fn openapi() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// The operator's bearer key.
struct AdminKey;

impl Modify for AdminKey {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The admin key"))
            .build();
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("admin", SecurityScheme::Http(scheme));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn every_operation_has_an_id_of_its_own_and_its_key() {
        let document = serde_json::to_value(openapi()).unwrap();
        let paths = document["paths"].as_object().unwrap();
        let operations: Vec<(&String, &Value)> = paths
            .iter()
            .flat_map(|(path, item)| {
                item.as_object()
                    .unwrap()
                    .values()
                    .map(move |operation| (path, operation))
            })
            .collect();
        let ids: BTreeSet<&str> = operations
            .iter()
            .map(|(_, operation)| operation["operationId"].as_str().unwrap())
            .collect();
        assert_eq!((operations.len(), ids.len()), (22, 22));
        for (path, operation) in operations {
            let open = path == "/metrics";
            assert_eq!(operation.get("security").is_none(), open, "{path}");
            assert!(open || path.starts_with("/admin/v1/"), "{path}");
        }
    }
}
