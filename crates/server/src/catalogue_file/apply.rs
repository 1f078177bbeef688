//! Puts a catalogue file in force.

use silica_gateway::{DeployError, Gateway};
use silica_platform::{AppliedCatalogue, CatalogueEntry, CheckedCatalogue, Platform};

use super::document::line_of_entry;
use super::{CatalogueFileError, CatalogueSource};

/// Checks a text, loads the engines that it needs, stores it and puts it in force: all or nothing.
///
/// # Errors
/// What is wrong with it; nothing has changed then.
pub(super) async fn apply(
    source: &CatalogueSource,
    text: &str,
    platform: &Platform,
    gateway: &Gateway,
) -> Result<AppliedCatalogue, CatalogueFileError> {
    let (reader, read) = (source.clone(), text.to_owned());
    let parsed = tokio::task::spawn_blocking(move || reader.parse(&read));
    let new = parsed.await.map_err(CatalogueFileError::Cut)??;
    let checked = platform
        .check_catalogue(new)
        .await
        .map_err(|fault| source.fault(text, fault))?;
    let mut prepared = Vec::new();
    for deployment in checked.changed_deployments(&platform.catalogue()) {
        let loaded = gateway
            .prepare_for(deployment, checked.sub_type_of(deployment))
            .await;
        prepared.push(loaded.map_err(|error| blame(source, text, &checked, error))?);
    }
    let path = source.path().display().to_string();
    let applied =
        platform
            .apply_catalogue(&path, &checked)
            .await
            .map_err(|error| CatalogueFileError::NotApplied {
                path: source.path().to_owned(),
                source: error,
            })?;
    for prepared in prepared {
        gateway.commit(prepared);
    }
    for name in &applied.deleted_deployments {
        gateway.remove(name);
    }
    Ok(applied)
}

/// Finds the replica whose engine cannot be loaded.
fn blame(
    source: &CatalogueSource,
    text: &str,
    checked: &CheckedCatalogue,
    error: DeployError,
) -> CatalogueFileError {
    let deployments = checked.deployments();
    let index = deployments
        .iter()
        .position(|deployment| deployment.name == error.deployment)
        .unwrap_or_default();
    let field = format!("replicas[{}]", error.replica);
    CatalogueFileError::Engine {
        path: source.path().to_owned(),
        line: line_of_entry(text, CatalogueEntry::Deployment(index), &field),
        source: error,
    }
}
