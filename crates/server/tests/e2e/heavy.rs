//! What the machine must grant: memory and time to start. Run one at a time.

use std::time::{Duration, Instant};

use crate::support::{bare, server};

#[tokio::test]
async fn a_server_without_a_model_takes_less_than_25_mb() {
    let server = bare().start().await;
    // What only the start took goes back to the system within seconds.
    let deadline = Instant::now() + Duration::from_secs(5);
    while server.taken_bytes() >= 25_000_000 {
        assert!(
            Instant::now() < deadline,
            "{} bytes are taken",
            server.taken_bytes()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn the_shipped_model_is_ready_within_a_second() {
    // The best of three: the test shares its two cores with the rest of the run.
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let started = Instant::now();
        let server = server().start().await;
        best = best.min(started.elapsed());
        drop(server);
    }
    assert!(best < Duration::from_secs(1), "ready after {best:?}");
}
