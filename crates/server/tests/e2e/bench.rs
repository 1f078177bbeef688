//! `silica bench chat` against a started server.

use std::process::Output;

use serde_json::Value;
use silica_testkit::TestServer;
use tokio::process::Command;

use crate::support::server;

async fn bench(server: &TestServer, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_silica"))
        .args([
            "bench",
            "chat",
            "--base-url",
            &format!("{}/v1", server.base_url()),
        ])
        .args(arguments)
        .env_clear()
        .env("SILICA_API_KEY", server.api_key())
        .output()
        .await
        .expect("the benchmark runs")
}

const SMALL: [&str; 6] = ["--concurrency", "1,3", "--requests", "6", "--max-tokens", "8"];

#[tokio::test]
async fn every_level_is_measured_with_prompts_of_the_wanted_length() {
    let server = server().start().await;
    let output = bench(
        &server,
        &[&SMALL[..], &["--prompt-tokens", "100", "--probe", "--json"]].concat(),
    )
    .await;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let levels: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        levels
            .iter()
            .map(|level| level["concurrency"].as_u64().unwrap())
            .collect::<Vec<_>>(),
        [1, 3]
    );
    for level in &levels {
        assert_eq!(
            (level["requests"].as_u64(), level["failed"].as_u64()),
            (Some(6), Some(0)),
            "{level}"
        );
        let prompt_tokens = level["prompt_tokens_mean"].as_f64().unwrap();
        assert!((80.0..120.0).contains(&prompt_tokens), "{level}");
        assert!(level["tokens_per_second"].as_f64().unwrap() > 0.0, "{level}");
        assert!(
            level["first_token_p99_ms"].as_f64() >= level["first_token_p50_ms"].as_f64(),
            "{level}"
        );
        assert!(level["probe"]["samples"].as_u64().unwrap() > 0, "{level}");
    }
}

#[tokio::test]
async fn the_table_has_a_row_for_each_level() {
    let server = server().start().await;
    let output = bench(&server, &SMALL).await;
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.lines().any(|line| line.starts_with("| 1 | 6 |")), "{table}");
    assert!(table.lines().any(|line| line.starts_with("| 3 | 6 |")), "{table}");
}

#[tokio::test]
async fn a_run_with_failed_requests_is_void() {
    let server = server().start().await;
    // Prompts longer than the context; those that calibrate are short and succeed.
    let output = bench(&server, &[&SMALL[..], &["--prompt-tokens", "5000"]].concat()).await;
    assert!(!output.status.success());
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(
        complaint.contains("this run is void: 12 requests failed") && complaint.contains("20015"),
        "{complaint}"
    );
}
