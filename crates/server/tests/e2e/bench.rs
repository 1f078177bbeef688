//! `silica bench chat` against a started server; `silica bench engine` and `logits` without one.

use std::path::{Path, PathBuf};
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

fn tiny_chat() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tiny-chat")
}

async fn without_server(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_silica"))
        .arg("bench")
        .args(arguments)
        .env_clear()
        .output()
        .await
        .expect("the benchmark runs")
}

// One sequence at once: several of such a small model may miss each other on a busy machine.
const SMALL_ENGINE: [&str; 12] = [
    "--rounds",
    "2",
    "--threads",
    "1",
    "--prompt",
    "48",
    "--decode",
    "8",
    "--sequences",
    "1",
    "--prefix",
    "160",
];

#[tokio::test]
async fn an_engine_is_measured_without_a_server() {
    let folder = tiny_chat();
    let arguments = [&["engine", folder.to_str().unwrap(), "--json"][..], &SMALL_ENGINE].concat();
    let output = without_server(&arguments).await;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["threads"], 1);
    for figure in [
        "prefill",
        "decode",
        "batch",
        "first_token_cold_ms",
        "first_token_shared_ms",
    ] {
        let rounds = report[figure].as_array().unwrap();
        assert_eq!(rounds.len(), 2, "{figure} in {report}");
        assert!(
            rounds.iter().all(|round| round.as_f64().unwrap() > 0.0),
            "{figure} in {report}"
        );
    }
    // Only the second prompt of a round finds what it begins with; blocks are of 16 tokens.
    assert_eq!(report["cached_tokens"], serde_json::json!([160, 160]));
    #[cfg(target_os = "linux")]
    assert!(
        report["peak_mb"].as_f64() >= report["resident_mb"].as_f64(),
        "{report}"
    );
}

#[tokio::test]
async fn an_engine_s_table_has_a_row_for_each_figure() {
    let folder = tiny_chat();
    let arguments = [&["engine", folder.to_str().unwrap()][..], &SMALL_ENGINE].concat();
    let table = String::from_utf8(without_server(&arguments).await.stdout).unwrap();
    for row in [
        "prefill of 48",
        "decode of 8 alone",
        "decode of 1 sequences",
        "times sooner",
    ] {
        assert!(
            table.lines().any(|line| line.starts_with(&format!("| {row}"))),
            "{row} in {table}"
        );
    }
}

#[tokio::test]
async fn the_logits_of_every_position_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let model = tiny_chat();
    let mut written = Vec::new();
    for dtype in ["f32", "f32", "bf16"] {
        let out = folder.path().join(dtype);
        let arguments = ["logits", model.to_str().unwrap(), "--dtype", dtype];
        let positions = ["--positions", "5", "--out", out.to_str().unwrap()];
        let output = without_server(&[&arguments[..], &positions[..]].concat()).await;
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        written.push(std::fs::read(out).unwrap());
    }
    let config = std::fs::read(model.join("config.json")).unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    let vocabulary = usize::try_from(config["vocab_size"].as_u64().unwrap()).unwrap();
    assert_eq!(written[0].len(), 5 * vocabulary * 4);
    assert_eq!(written[0], written[1], "the same each time");
    assert_ne!(written[0], written[2], "rounded weights compute other logits");
}

#[tokio::test]
async fn a_model_that_cannot_be_loaded_is_refused_by_name() {
    let output = without_server(&["engine", "/nowhere/model"]).await;
    assert!(!output.status.success());
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(complaint.contains("/nowhere/model"), "{complaint}");
}
