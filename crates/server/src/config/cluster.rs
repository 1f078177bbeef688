//! `[cluster]`: several servers on one PostgreSQL that count together in Redis or Valkey.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use silica_platform::{ClusterOptions, ClusterSettings, OutagePolicy};
use silica_types::{Money, Secret};
use url::Url;
use uuid::Uuid;

use super::{HumanDuration, InvalidValue};

/// Silence that counts as death must be longer than a pause of the process.
const LEAST_NODE_TIMEOUT: Duration = Duration::from_millis(500);

/// Several servers that count limits and money together, in Redis (7 or later) or Valkey. They share one PostgreSQL
/// database (`database.url`), one master key and one admin key; each has a data folder of its own. See
/// `docs/cluster.md`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ClusterConfig {
    /// `redis://user:password@host:port/database`, or `rediss:` for TLS. Unset: this server is alone. Its
    /// `maxmemory-policy` must be `noeviction`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) redis_url: Option<RedisUrl>,
    /// Names the cluster where several share a Redis: letters, digits, `-` and `_`.
    pub(crate) namespace: String,
    /// How long Redis may take for one command before it counts as gone.
    pub(crate) timeout: HumanDuration,
    /// How long a server may be silent before what its running calls hold is free again.
    pub(crate) node_timeout: HumanDuration,
    /// How long a server may be silent before it counts as lost with its journal: what it had settled and not brought
    /// to the database can be spent again.
    pub(crate) forget_after: HumanDuration,
    /// What a server does without Redis: `allow` (calls go on; limits are divided by the number of servers that were
    /// last alive, and each account may spend `allowance` on each server) or `refuse` (503).
    pub(crate) without_redis: WithoutRedis,
    /// What an account may spend on one server while Redis is away, in CNY. `"0"` lets free models through only.
    #[schemars(with = "String")]
    pub(crate) allowance: Money,
}

/// What to do without Redis.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WithoutRedis {
    /// Go on, within bounds.
    #[default]
    Allow,
    /// Refuse calls.
    Refuse,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            redis_url: None,
            namespace: "silica".to_owned(),
            timeout: HumanDuration(Duration::from_millis(500)),
            node_timeout: HumanDuration(Duration::from_secs(10)),
            forget_after: HumanDuration(Duration::from_hours(24)),
            without_redis: WithoutRedis::Allow,
            allowance: Money::from_nano(100_000_000),
        }
    }
}

impl ClusterConfig {
    /// How the node with this id takes part; `None` when it is alone.
    pub(crate) fn settings(
        &self,
        node: impl FnOnce() -> anyhow::Result<Uuid>,
    ) -> anyhow::Result<Option<ClusterSettings>> {
        let Some(RedisUrl(url)) = &self.redis_url else {
            return Ok(None);
        };
        Ok(Some(ClusterSettings {
            options: ClusterOptions {
                url: url.clone(),
                namespace: self.namespace.clone(),
                node: node()?,
                timeout: self.timeout.0,
                member_timeout: self.node_timeout.0,
                forget_after: self.forget_after.0,
            },
            outage: match self.without_redis {
                WithoutRedis::Refuse => OutagePolicy::Refuse,
                WithoutRedis::Allow => OutagePolicy::Allow {
                    allowance: self.allowance,
                },
            },
        }))
    }

    pub(super) fn validate(&self, is_postgres: bool) -> Result<(), InvalidValue> {
        let invalid = |key, message: &str| {
            Err(InvalidValue {
                key,
                message: message.to_owned(),
            })
        };
        if self.redis_url.is_some() && !is_postgres {
            return invalid(
                "cluster.redis_url",
                "servers that count together need one PostgreSQL database; set database.url",
            );
        }
        let is_name = |name: &str| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        if !is_name(&self.namespace) {
            return invalid("cluster.namespace", "must be letters, digits, - and _");
        }
        self.timeout.not_zero("cluster.timeout")?;
        if self.node_timeout.0 < LEAST_NODE_TIMEOUT {
            return invalid("cluster.node_timeout", "must be at least \"500ms\"");
        }
        if self.timeout.0.saturating_mul(2) > self.node_timeout.0 {
            return invalid(
                "cluster.timeout",
                "must be at most half of cluster.node_timeout, or one slow command counts as death",
            );
        }
        if self.forget_after.0 < self.node_timeout.0 {
            return invalid(
                "cluster.forget_after",
                "must not be shorter than cluster.node_timeout",
            );
        }
        if self.allowance.is_negative() {
            return invalid("cluster.allowance", "must not be negative");
        }
        Ok(())
    }
}

/// An address of Redis; printed with its password masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RedisUrl(Secret);

impl<'de> Deserialize<'de> for RedisUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        let is_good = Url::parse(&text)
            .is_ok_and(|url| matches!(url.scheme(), "redis" | "rediss") && url.host().is_some());
        if !is_good {
            return Err(de::Error::custom("no address of Redis; write redis://host:port"));
        }
        Ok(Self(Secret::new(text.into_owned())))
    }
}

impl Serialize for RedisUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let masked = Url::parse(self.0.expose()).ok().and_then(|mut url| {
            if url.password().is_some() {
                url.set_password(Some("***")).ok()?;
            }
            Some(url.to_string())
        });
        serializer.serialize_str(masked.as_deref().unwrap_or("***"))
    }
}

impl JsonSchema for RedisUrl {
    fn schema_name() -> Cow<'static, str> {
        "redis-url".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ClusterConfig, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn the_password_of_redis_is_never_shown() {
        let config = parse("redis_url = \"redis://silica:geheim@10.0.0.1:6379/2\"").unwrap();
        let shown = toml::to_string(&config).unwrap();
        assert!(shown.contains("redis://silica:***@10.0.0.1:6379/2"), "{shown}");
        assert!(!shown.contains("geheim") && !format!("{config:?}").contains("geheim"));
        let error = parse("redis_url = \"http://u:geheim@h\"").unwrap_err();
        assert!(!error.message().contains("geheim"), "{error}");
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_key() {
        let refused = |text: &str, is_postgres| parse(text).unwrap().validate(is_postgres).unwrap_err().key;
        assert_eq!(refused("redis_url = \"redis://h\"", false), "cluster.redis_url");
        assert_eq!(refused("namespace = \"a b\"", true), "cluster.namespace");
        assert_eq!(refused("namespace = \"\"", true), "cluster.namespace");
        assert_eq!(refused("timeout = \"0ms\"", true), "cluster.timeout");
        assert_eq!(refused("node_timeout = \"499ms\"", true), "cluster.node_timeout");
        assert_eq!(refused("node_timeout = \"900ms\"", true), "cluster.timeout");
        assert_eq!(refused("forget_after = \"5s\"", true), "cluster.forget_after");
        assert_eq!(refused("allowance = \"-0.1\"", true), "cluster.allowance");
        assert!(parse("redis = \"redis://h\"").is_err());
        ClusterConfig::default().validate(false).unwrap();
    }
}
