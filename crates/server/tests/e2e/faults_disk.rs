//! A disk that fills up under a running server: a real small file system, not a mock.

use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::json;
use silica_testkit::{ServerBuilder, TestServer, Upstream, UpstreamOutcome, UpstreamScript};

use crate::small_disk::{SmallDisk, on_a_small_disk};
use crate::support::bare;
use crate::till::{
    CALL_COST, Customer, PAID, booked, complete, complete_many, credit, customer, logged, open_shop,
    own_balance, refusal, script, send,
};

/// The size of the disk, in MiB.
const SIZE: u32 = 24;
/// How long the server may take to notice that its disk has or has not room.
const NOTICED: Duration = Duration::from_secs(20);

#[test]
fn a_full_data_folder_stops_admission_and_loses_nothing() {
    on_a_small_disk("faults_disk::scenario_data_folder", SIZE);
}

#[test]
fn a_full_database_disk_makes_settled_calls_wait() {
    on_a_small_disk("faults_disk::scenario_database", SIZE);
}

/// A server whose journal keeps little in reserve, so that a small disk is large enough for it.
fn frugal() -> ServerBuilder {
    bare()
        .environment("SILICA__JOURNAL__PREALLOCATE", "1MiB")
        .environment("SILICA__JOURNAL__MIN_FREE", "1MiB")
}

/// Calls until the answer is `status`; returns the markers of the calls that were answered well.
async fn call_until(server: &TestServer, who: &Customer, name: &str, status: StatusCode) -> Vec<String> {
    let deadline = Instant::now() + NOTICED;
    let mut markers = Vec::new();
    loop {
        let marker = format!("{name}-{}", markers.len());
        let response = send(server, &who.key, PAID, &script(&marker), false).await;
        let answered = response.status();
        if answered == StatusCode::OK {
            response.text().await.expect("a whole answer");
            markers.push(marker);
        } else {
            assert_eq!(refusal(response).await, (503, json!(50508)));
        }
        if answered == status {
            return markers;
        }
        assert!(
            Instant::now() < deadline,
            "the answer is still {answered}, not {status}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn scenario_data_folder() {
    let Some(disk) = SmallDisk::given() else { return };
    let upstream = Upstream::start().await;
    let server = frugal().data_at(disk.folder.join("data")).start().await;
    open_shop(&server, &upstream).await;
    let who = customer(&server, "disk", "100").await;
    let mut markers = complete_many(&server, &who.key, PAID, "before", 10).await;

    // Streams that run until long after the disk is full.
    let slow = |number: usize| UpstreamScript {
        tokens: 60,
        delay: Duration::from_millis(50),
        ..script(&format!("running-{number}"))
    };
    let slow: Vec<UpstreamScript> = (0..16).map(slow).collect();
    let streams = join_all(slow.iter().map(|call| send(&server, &who.key, PAID, call, true))).await;
    disk.fill();
    let is_running = |call: &silica_testkit::UpstreamCall| {
        call.marker.starts_with("running") && call.outcome == UpstreamOutcome::Running
    };
    assert_eq!(
        upstream.calls().into_iter().filter(is_running).count(),
        slow.len(),
        "the machine is too slow for this test"
    );
    markers.extend(call_until(&server, &who, "filling", StatusCode::SERVICE_UNAVAILABLE).await);
    for stream in streams {
        assert_eq!(stream.status(), StatusCode::OK);
        let text = stream.text().await.expect("the whole stream");
        assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    }
    markers.extend(slow.iter().map(|call| call.marker.clone()));
    for stream in [false, true] {
        let refused = send(&server, &who.key, PAID, &script("refused"), stream).await;
        assert_eq!(refusal(refused).await, (503, json!(50508)));
    }
    // What costs nothing to answer is answered.
    assert!(own_balance(&server, &who.key).await < 100_000_000_000);
    let complaint = "the usage journal refuses new calls";
    assert_eq!(server.log().matches(complaint).count(), 1, "{}", server.log());

    disk.free();
    markers.extend(call_until(&server, &who, "after", StatusCode::OK).await);
    booked(&server, &who, &markers).await;
    logged(&server, "the usage journal has recovered").await;
    assert_eq!(server.log().matches(complaint).count(), 1, "{}", server.log());
    server.stop().await;
}

#[tokio::test]
async fn scenario_database() {
    let Some(disk) = SmallDisk::given() else { return };
    let upstream = Upstream::start().await;
    let url = format!("sqlite:{}", disk.folder.join("silica.db").display());
    let on_it = || frugal().environment("SILICA__DATABASE__URL", &*url);
    let server = on_it().start().await;
    open_shop(&server, &upstream).await;
    let who = customer(&server, "disk", "100").await;
    let mut markers = complete_many(&server, &who.key, PAID, "before", 10).await;
    booked(&server, &who, &markers).await;

    disk.fill();
    for round in 0..4 {
        markers.extend(complete_many(&server, &who.key, PAID, &format!("full-{round}"), 10).await);
    }
    logged(&server, "settled calls wait in the journal; calls go on").await;
    let spent = i64::try_from(markers.len()).unwrap() * CALL_COST;
    assert_eq!(own_balance(&server, &who.key).await, 100_000_000_000 - spent);
    let credits = format!("/accounts/{}/credits", who.account);
    let money = json!({"bucket": "gift", "amount": "1"});
    let (status, refused) = server.admin(reqwest::Method::POST, &credits, Some(&money)).await;
    assert_eq!(status, 503, "{refused}");
    assert_eq!(own_balance(&server, &who.key).await, 100_000_000_000 - spent);

    // Not even the sudden end of the process loses what waits.
    let killed = server.kill().await;
    disk.free();
    let server = on_it().data_of(killed).start().await;
    booked(&server, &who, &markers).await;
    credit(&server, &who, &money).await;
    complete(&server, &who.key, PAID, "last", true).await;
    markers.push("last".to_owned());
    booked(&server, &who, &markers).await;
    server.stop().await;
}
