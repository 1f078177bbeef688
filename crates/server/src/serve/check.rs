//! Checks a catalogue file without a server: down to loading its engines, without a database.

use anyhow::Context as _;
use silica_gateway::EngineLoader as _;
use silica_platform::CheckedCatalogue;
use silica_types::{Clock as _, SystemClock};

use super::loader::Engines;
use crate::catalogue_file::CatalogueSource;
use crate::config::Config;

/// Checks the file and loads the engine of each of its replicas, one after the other.
///
/// # Errors
/// The first fault.
pub(crate) fn check_catalogue_file(
    config: &Config,
    source: &CatalogueSource,
) -> anyhow::Result<CheckedCatalogue> {
    let (_, checked) = source.check(SystemClock.now())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let engines = Engines::new(config, std::sync::Arc::new(SystemClock)).await?;
        for deployment in checked.deployments() {
            for (index, replica) in deployment.replicas.iter().enumerate() {
                let loaded = engines
                    .load(deployment, replica, checked.sub_type_of(deployment))
                    .await;
                loaded.with_context(|| format!("deployment {:?}, replica {index}", deployment.name))?;
            }
        }
        anyhow::Ok(())
    })?;
    Ok(checked)
}
