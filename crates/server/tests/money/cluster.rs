//! The same turmoil on two servers that count together, whose Redis dies too and comes back empty.

use std::time::{Duration, Instant};

use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use silica_testkit::database::TestDatabase;
use silica_testkit::{OwnRedis, ServerBuilder, TestServer};
use tokio::time::sleep;

use crate::run::{self, CLIENTS, SEED};
use crate::world::World;

/// One for both servers, as in every cluster.
const MASTER_KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Two servers, and what they count in.
struct Cluster<'a> {
    database: &'a TestDatabase,
    redis: OwnRedis,
    servers: [Option<TestServer>; 2],
}

impl Cluster<'_> {
    fn builder(&self) -> ServerBuilder {
        run::builder(self.database)
            .environment("SILICA_MASTER_KEY", MASTER_KEY)
            .environment("SILICA__CLUSTER__REDIS_URL", self.redis.url())
            .environment("SILICA__CLUSTER__NODE_TIMEOUT", "1s")
            .environment("SILICA__CLUSTER__WITHOUT_REDIS", "refuse")
    }

    /// Kills a server and starts it again on its data.
    async fn kill_server(&mut self, world: &World, place: usize) {
        world.move_to(place, None);
        let killed = self.servers[place].take().expect("a running server").kill().await;
        let server = self.builder().data_of(killed).start().await;
        world.move_to(place, Some(&server));
        self.servers[place] = Some(server);
    }

    /// Kills Redis, with everything in it, and starts it again.
    async fn kill_redis(&mut self, away: Duration) {
        self.redis.kill();
        sleep(away).await;
        self.redis.restart().await;
    }
}

/// Lets clients call for a while and returns what there is to see, with a server that runs well and the Redis that
/// it needs.
pub(crate) async fn run(database: &TestDatabase, time: Duration) -> (World, TestServer, OwnRedis) {
    let mut cluster = Cluster {
        database,
        redis: OwnRedis::start().await,
        servers: [None, None],
    };
    let first = cluster.builder().start().await;
    let second = cluster.builder().start().await;
    let world = World::new(&first).await;
    world.move_to(1, Some(&second));
    cluster.servers = [Some(first), Some(second)];
    let until = Instant::now() + time;
    let clients = join_all((0..CLIENTS).map(|client| run::calls(&world, client, until)));
    let (_, (), ()) = tokio::join!(
        clients,
        run::credits(&world, until),
        kills(&world, &mut cluster, until)
    );
    // A proper end and a start bring everything that was settled to the database.
    let mut data = None;
    for (place, server) in cluster.servers.iter_mut().enumerate().rev() {
        world.move_to(place, None);
        data = Some(server.take().expect("a running server").stop().await);
    }
    let server = cluster
        .builder()
        .data_of(data.expect("two servers"))
        .start()
        .await;
    world.move_to(0, Some(&server));
    (world, server, cluster.redis)
}

/// Kills a server or Redis at random moments.
async fn kills(world: &World, cluster: &mut Cluster<'_>, until: Instant) {
    let mut random = StdRng::seed_from_u64(SEED - 3);
    while Instant::now() < until {
        sleep(Duration::from_millis(random.random_range(800..2_500))).await;
        match random.random_range(0..3) {
            0 => {
                let away = Duration::from_millis(random.random_range(0..500));
                cluster.kill_redis(away).await;
            }
            place => {
                world.kills.lock().unwrap().push(Instant::now());
                cluster.kill_server(world, place - 1).await;
            }
        }
    }
}
