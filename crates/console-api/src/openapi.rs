//! The `OpenAPI` document of the operator API.

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::admin::{accounts, deployments, keys, metrics, models};

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
        models::put::put_model,
        models::list::list_models,
        deployments::put::put_deployment,
        deployments::list::list_deployments,
        deployments::delete::delete_deployment,
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
