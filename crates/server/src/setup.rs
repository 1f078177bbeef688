//! The first start on an empty data folder: demo models, the operator's account, the first key.

mod admin_key;
mod data_folder;
mod demo_models;
mod master_key;
mod node_id;
mod private_file;

use std::env;
use std::io;
use std::path::Path;

use anyhow::Context as _;
use silica_gateway::Gateway;
use silica_platform::{NewAccount, Platform, PlatformError};
use silica_types::Secret;

pub(crate) use admin_key::{KeyPlace, load_or_make};
pub(crate) use data_folder::{DataFolder, make_private_folder};
use demo_models::DemoModel;
pub(crate) use master_key::{KeyFileRotation, MasterKeyPlace, parse as parse_master_keys};
pub(crate) use node_id::load_or_make_node_id;

use crate::config::{ModelsConfig, OnLoadError};

/// What an operator is told when a start ends because of a model.
pub(crate) const LOAD_FAILED: &str =
    "a model cannot be loaded (models.on_load_error = \"skip\" starts without it)";

/// Whether nobody has an account yet, which makes this the first start (also after one that failed
/// half-way).
///
/// # Errors
/// When the database fails.
pub(crate) async fn is_first_start(platform: &Platform) -> anyhow::Result<bool> {
    Ok(platform.accounts(None, 1).await?.rows.is_empty())
}

/// Puts the demo models into the catalogue and deploys them; returns their names.
///
/// # Errors
/// When a folder is damaged (unless the configuration says to skip it) or the database fails.
pub(crate) async fn deploy_demo_models(
    platform: &Platform,
    gateway: &Gateway,
    config: &ModelsConfig,
) -> anyhow::Result<Vec<String>> {
    let working = env::current_dir().context("the working folder is gone")?;
    let executable = env::current_exe().ok();
    let models = demo_models::find(config.dir.as_deref(), &working, executable.as_deref())?;
    let mut deployed = Vec::new();
    for model in models {
        match deploy(platform, gateway, &model).await {
            Ok(()) => deployed.push(model.name().to_owned()),
            Err(error) => match config.on_load_error {
                OnLoadError::Fail => return Err(error).context(LOAD_FAILED),
                OnLoadError::Skip => {
                    tracing::error!(model.name = model.name(), "skipping a demo model: {error:#}");
                }
            },
        }
    }
    Ok(deployed)
}

/// The same steps as `PUT /admin/v1/models` and `PUT /admin/v1/deployments`: a model that cannot
/// be loaded is never stored as a deployment.
async fn deploy(platform: &Platform, gateway: &Gateway, model: &DemoModel) -> anyhow::Result<()> {
    match platform.put_model(model.model()).await {
        // A start that failed after the catalogue file had named it: the file knows better.
        Err(PlatformError::Managed { .. }) => return Ok(()),
        outcome => outcome.with_context(|| format!("model {}", model.name()))?,
    };
    let deployment = platform.check_deployment(model.deployment())?;
    let prepared = gateway.prepare(&deployment).await?;
    platform.put_deployment(deployment).await?;
    gateway.commit(prepared);
    Ok(())
}

/// Makes the operator's account and its first key, which `show` hands out before either is kept.
/// From here on no start is the first. Does nothing when another server on the same database has
/// just made an account.
///
/// # Errors
/// When the database fails or the key cannot be shown.
pub(crate) async fn make_operator(
    platform: &Platform,
    email: &str,
    show: impl FnOnce(&Secret) -> io::Result<()>,
) -> anyhow::Result<()> {
    let account = NewAccount {
        email: email.to_owned(),
        name: "Operator".to_owned(),
    };
    platform
        .create_first_operator(account, "made by the first start", show)
        .await
        .context("cannot make the operator's account (an API key shown above does not work)")?;
    Ok(())
}

/// What a person needs to know after the first start.
pub(crate) struct Welcome<'a> {
    pub(crate) data: &'a Path,
    pub(crate) public: &'a str,
    pub(crate) admin: &'a str,
    pub(crate) operator_email: &'a str,
    pub(crate) key_place: &'a KeyPlace,
    pub(crate) models: &'a [String],
    pub(crate) api_key: &'a Secret,
}

impl Welcome<'_> {
    /// Writes it down. This is the only text that ever holds the API key.
    pub(crate) fn text(&self) -> String {
        let admin_key = match self.key_place {
            KeyPlace::Environment => "as SILICA_ADMIN_KEY says".to_owned(),
            KeyPlace::File(path) => format!("in {}", path.display()),
        };
        let models = if self.models.is_empty() {
            "none found".to_owned()
        } else {
            self.models.join(", ")
        };
        format!(
            "Silica {version} is set up in {data}\n\n\
             \x20 API        {public}/v1\n\
             \x20 API key    {api_key}   (shown this once)\n\
             \x20 models     {models}\n\
             \x20 admin API  {admin}/admin/v1\n\
             \x20 admin key  {admin_key}\n\
             \x20 operator   {email}\n",
            version = env!("CARGO_PKG_VERSION"),
            data = self.data.display(),
            public = self.public,
            // The reason to expose it: its owner sees it here and nowhere else.
            api_key = self.api_key.expose(),
            admin = self.admin,
            email = self.operator_email,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_welcome_names_everything_once() {
        let key = Secret::new("sk-abc");
        let welcome = Welcome {
            data: Path::new("data"),
            public: "http://127.0.0.1:8080",
            admin: "http://127.0.0.1:9090",
            operator_email: "operator@localhost",
            key_place: &KeyPlace::File("data/admin.key".into()),
            models: &["silica/tiny-chat".to_owned()],
            api_key: &key,
        };
        let text = welcome.text();
        for part in [
            "http://127.0.0.1:8080/v1",
            "sk-abc",
            "silica/tiny-chat",
            "data/admin.key",
            "operator@localhost",
        ] {
            assert_eq!(text.matches(part).count(), 1, "{part} in {text}");
        }
    }
}
