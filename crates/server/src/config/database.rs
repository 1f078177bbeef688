//! `[database]`: where accounts, keys, catalogue and deployments are stored.

use std::borrow::Cow;
use std::path::Path;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use silica_platform::DatabaseUrl;

/// The database of a data folder.
const FILE: &str = "silica.db";

/// The database.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DatabaseConfig {
    /// `postgres://user:password@host:port/name` for PostgreSQL, `sqlite:path` for an SQLite file.
    /// Unset: the SQLite file `silica.db` in the data folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<ConfiguredUrl>,
}

impl DatabaseConfig {
    /// The database to open for a server whose data folder is `data`.
    pub(crate) fn url(&self, data: &Path) -> DatabaseUrl {
        match &self.url {
            Some(ConfiguredUrl(url)) => url.clone(),
            None => DatabaseUrl::sqlite(data.join(FILE)),
        }
    }

    /// Whether it is PostgreSQL, which several servers can share.
    pub(crate) fn is_postgres(&self) -> bool {
        let url = self.url.as_ref();
        url.is_some_and(|ConfiguredUrl(url)| url.sqlite_path().is_none())
    }

    /// Whether there can be something in it: a database of the data folder is made by the first start.
    pub(crate) fn exists(&self, data: &Path) -> bool {
        self.url.is_some() || data.join(FILE).exists()
    }
}

/// A database address in the configuration; printed with its password masked.
#[derive(Debug, Clone)]
struct ConfiguredUrl(DatabaseUrl);

impl<'de> Deserialize<'de> for ConfiguredUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        text.parse().map(Self).map_err(de::Error::custom)
    }
}

impl Serialize for ConfiguredUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl JsonSchema for ConfiguredUrl {
    fn schema_name() -> Cow<'static, str> {
        "database-url".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}
