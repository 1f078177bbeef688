//! The turmoil: clients call, an operator credits, the server is killed and started again.

use std::path::Path;
use std::time::{Duration, Instant};

use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use silica_testkit::database::TestDatabase;
use silica_testkit::{ServerBuilder, TestServer};
use tokio::time::sleep;

use crate::client::Seen;
use crate::plan::Call;
use crate::world::World;

/// How many clients call at once.
pub(crate) const CLIENTS: u64 = 32;

/// Where the random numbers of a run begin; a run is as random as its timing anyway.
pub(crate) const SEED: u64 = 20_261_123;

/// Lets clients call for a while and returns what there is to see, with a server that runs well.
pub(crate) async fn run(database: &TestDatabase, time: Duration) -> (World, TestServer) {
    let server = builder(database).start().await;
    let world = World::new(&server).await;
    let until = Instant::now() + time;
    let clients = join_all((0..CLIENTS).map(|client| calls(&world, client, until)));
    let (_, (), server) = tokio::join!(
        clients,
        credits(&world, until),
        kills(&world, database, server, until)
    );
    // A proper end and a start bring everything that was settled to the database.
    world.move_to(0, None);
    let stopped = server.stop().await;
    let server = builder(database).data_of(stopped).start().await;
    world.move_to(0, Some(&server));
    (world, server)
}

pub(crate) fn builder(database: &TestDatabase) -> ServerBuilder {
    let no_models = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bench");
    TestServer::of(env!("CARGO_BIN_EXE_silica"))
        .models(&no_models)
        .environment("SILICA__DATABASE__URL", database.url_text())
}

pub(crate) async fn calls(world: &World, client: u64, until: Instant) {
    let mut random = StdRng::seed_from_u64(SEED + client);
    let mut number = 0;
    while Instant::now() < until {
        let marker = format!("client{client}-{number}");
        let call = Call::random(&mut random, marker, world.accounts.len());
        let seen = Seen::of(world, client, call).await;
        world.seen.lock().unwrap().push(seen);
        number += 1;
    }
}

/// An operator who helps the poor, and who is as often interrupted as anybody.
pub(crate) async fn credits(world: &World, until: Instant) {
    let mut random = StdRng::seed_from_u64(SEED - 1);
    let mut number = 0;
    while Instant::now() < until {
        sleep(Duration::from_millis(random.random_range(50..400))).await;
        let account = random.random_range(1..world.accounts.len());
        let bucket = ["gift", "charge"][random.random_range(0..2)];
        let amount = format!("0.00{:07}", random.random_range(1..3_000_000));
        world
            .give(account, bucket, &amount, None, &format!("later-{number}"))
            .await;
        number += 1;
    }
}

/// Kills the server at random moments and starts it again.
async fn kills(world: &World, database: &TestDatabase, server: TestServer, until: Instant) -> TestServer {
    let mut random = StdRng::seed_from_u64(SEED - 2);
    let mut server = server;
    while Instant::now() < until {
        sleep(Duration::from_millis(random.random_range(200..2_500))).await;
        world.kills.lock().unwrap().push(Instant::now());
        world.move_to(0, None);
        let killed = server.kill().await;
        server = builder(database).data_of(killed).start().await;
        world.move_to(0, Some(&server));
    }
    server
}
