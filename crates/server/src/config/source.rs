//! The only place that reads the process environment. Everything else is handed an [`Environment`],
//! so tests never set process variables.

use std::collections::BTreeMap;

use silica_types::Secret;

/// Variables of configuration keys begin with this; section and key are joined by two underscores.
pub(super) const PREFIX: &str = "SILICA__";
/// Sets the operator's bearer key for `/admin/v1`.
pub(crate) const ADMIN_KEY: &str = "SILICA_ADMIN_KEY";
/// Sets the master key that seals upstream keys.
pub(crate) const MASTER_KEY: &str = "SILICA_MASTER_KEY";
/// The master key that `silica secrets rotate` is to put in its place.
pub(crate) const NEW_MASTER_KEY: &str = "SILICA_NEW_MASTER_KEY";
/// The API key that `silica bench` presents.
const API_KEY: &str = "SILICA_API_KEY";

/// A snapshot of the process environment.
#[derive(Clone, Default)]
pub(crate) struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Reads the process environment. A variable that is no UTF-8 cannot be one that is asked for.
    pub(crate) fn of_process() -> Self {
        let readable = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self(readable.collect())
    }

    /// The configuration variables, by name.
    pub(super) fn configuration(&self) -> impl Iterator<Item = (&str, &str)> {
        let ours = self.0.iter().filter(|(name, _)| name.starts_with(PREFIX));
        ours.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The operator's bearer key, if the environment sets one.
    pub(crate) fn admin_key(&self) -> Option<Secret> {
        self.0.get(ADMIN_KEY).map(Secret::new)
    }

    /// The secret in the variable that the catalogue file names.
    pub(crate) fn secret(&self, name: &str) -> Option<Secret> {
        self.0.get(name).map(Secret::new)
    }

    /// The master keys that seal upstream keys, if the environment sets any.
    pub(crate) fn master_key(&self) -> Option<Secret> {
        self.0.get(MASTER_KEY).map(Secret::new)
    }

    /// The master key that a rotation is to put in the place of the present one.
    pub(crate) fn new_master_key(&self) -> Option<Secret> {
        self.0.get(NEW_MASTER_KEY).map(Secret::new)
    }

    /// The API key for commands that call a server, if the environment sets one.
    pub(crate) fn api_key(&self) -> Option<Secret> {
        self.0.get(API_KEY).map(Secret::new)
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(variables: [(&str, &str); N]) -> Self {
        Self(
            variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        )
    }
}
