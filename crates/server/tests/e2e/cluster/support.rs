//! Two servers, their database, their Redis and their engine.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use silica_testkit::database::TestDatabase;
use silica_testkit::{OwnRedis, ServerBuilder, TestServer, Upstream, database, ledger_discrepancies};

use crate::support::bare;
use crate::till::{open_shop, put};

/// How long what must come within a second may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

pub(super) struct Cluster {
    pub(super) redis: OwnRedis,
    pub(super) upstream: Upstream,
    pub(super) servers: Vec<TestServer>,
    database: TestDatabase,
    without_redis: &'static str,
}

impl Cluster {
    /// Two servers that count together, with the models of the till.
    pub(super) async fn start(without_redis: &'static str) -> Self {
        let mut cluster = Self {
            redis: OwnRedis::start().await,
            upstream: Upstream::start().await,
            servers: Vec::new(),
            database: database::postgres().await,
            without_redis,
        };
        for _ in 0..2 {
            let server = cluster.builder().start().await;
            cluster.servers.push(server);
        }
        open_shop(&cluster.servers[0], &cluster.upstream).await;
        cluster.is_together().await;
        cluster
    }

    pub(super) fn builder(&self) -> ServerBuilder {
        bare()
            .environment("SILICA__DATABASE__URL", self.database.url_text())
            .environment("SILICA__CLUSTER__REDIS_URL", self.redis.url())
            .environment("SILICA__CLUSTER__NODE_TIMEOUT", "1s")
            .environment("SILICA__CLUSTER__WITHOUT_REDIS", self.without_redis)
            .environment("SILICA__CLUSTER__ALLOWANCE", "5")
    }

    /// Waits until all servers count together.
    pub(super) async fn is_together(&self) {
        for server in &self.servers {
            server
                .metric_until("silica_cluster_member", LIMIT, |is_member| is_member > 0.5)
                .await;
        }
    }

    /// Waits until no server does.
    pub(super) async fn is_apart(&self) {
        for server in &self.servers {
            server
                .metric_until("silica_cluster_member", LIMIT, |is_member| is_member < 0.5)
                .await;
        }
    }

    /// Puts a free model with limits, on both servers.
    pub(super) async fn put_model(&self, model: &str, limits: &Value) {
        let body = json!({"id": model, "type": "text", "sub_type": "chat", "limits": limits});
        put(&self.servers[0], "/models", &body).await;
        let deployment = json!({"name": model, "models": [model], "replicas": [{
            "engine": "openai",
            "url": self.upstream.base_url(),
            "upstream_model": "scripted",
            "allow_private": true,
        }]});
        put(&self.servers[0], "/deployments", &deployment).await;
        let key = self.servers[0].api_key();
        for server in &self.servers {
            is_soon("the model is listed", async || {
                let models = server.get("/v1/models", &key).await.text().await.unwrap();
                models.contains(model)
            })
            .await;
        }
    }

    /// The ledger adds up.
    pub(super) async fn is_sound(&self) {
        let discrepancies = ledger_discrepancies(&self.database.storage()).await;
        assert!(discrepancies.is_empty(), "{discrepancies:#?}");
    }
}

/// Waits until something is so.
pub(super) async fn is_soon(what: &str, is_so: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !is_so().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
