//! `silica models`: the built command against a scripted hub, with and without a server.

mod adapter;
mod cut;
mod served;
mod told;

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::Value;
use silica_testkit::ModelHub;
use tokio::process::Command;

use crate::support::{MODEL, shipped_models};

/// A hub with the model that ships with Silica.
async fn hub() -> ModelHub {
    let hub = ModelHub::start().await;
    hub.put_folder(MODEL, &shipped_models().join("tiny-chat"));
    hub
}

/// `silica models` on a data folder, with no environment but `variables`.
fn command(data: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_silica"));
    command
        .arg("models")
        .args(arguments)
        .arg("--data")
        .arg(data)
        .env_clear()
        .env("SILICA__MODELS__HUB_ALLOW_PRIVATE", "true")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Runs it to its end.
async fn run(data: &Path, arguments: &[&str]) -> Output {
    let ran = command(data, arguments, &[]).output().await;
    ran.expect("the command runs")
}

/// What a command that did well said.
async fn said(data: &Path, arguments: &[&str]) -> String {
    let output = run(data, arguments).await;
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// The same as JSON.
async fn json(data: &Path, arguments: &[&str]) -> Value {
    let text = said(data, arguments).await;
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}"))
}

/// What a command that refused complained of.
async fn complaint(data: &Path, arguments: &[&str]) -> String {
    let output = run(data, arguments).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    last_line(&output)
}

fn last_line(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines().last().unwrap_or_default().to_owned()
}

/// The length of the longest unfinished file of the store.
fn longest_part(data: &Path) -> u64 {
    fn walk(folder: &Path) -> u64 {
        let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
        let lengths = entries.map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => walk(&entry.path()),
            Ok(metadata) if entry.path().extension().is_some_and(|end| end == "part") => metadata.len(),
            _ => 0,
        });
        lengths.max().unwrap_or(0)
    }
    walk(&data.join("models/.partial"))
}
