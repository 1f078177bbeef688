//! `silica bench chat`: a fixed number of streamed answers at each level of concurrency.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use futures::{StreamExt as _, stream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::probe::{Probed, probe};
use super::prompt::{Calibration, prompt};
use super::report::{Level, ProbeLevel, table};
use super::stream::{Sample, Target, measure};
use crate::config::Environment;
use crate::terminal;

/// A stream that stands still for this long counts as failed.
const READ_TIMEOUT: Duration = Duration::from_mins(2);

/// Arguments of `silica bench chat`.
#[derive(Debug, Args)]
pub(crate) struct ChatArguments {
    /// The API under test, with its `/v1`.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080/v1")]
    base_url: String,
    /// An API key; without it the environment variable `SILICA_API_KEY` is taken.
    #[arg(long, value_name = "KEY")]
    api_key: Option<String>,
    /// The model to ask.
    #[arg(long, default_value = "silica/tiny-chat")]
    model: String,
    /// Numbers of streams to run at once, one level after the other.
    #[arg(long, value_delimiter = ',', default_value = "1,4,16", value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: Vec<u16>,
    /// Requests per level.
    #[arg(long, default_value_t = 48, value_parser = clap::value_parser!(u32).range(1..))]
    requests: u32,
    /// The most tokens of each answer.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    max_tokens: u32,
    /// The length of each prompt in tokens, met within a few tokens.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    prompt_tokens: u32,
    /// Also ask `GET /v1/models` and `GET /healthz` all the time and report their p99.
    #[arg(long)]
    probe: bool,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// Runs all levels and prints the result.
///
/// # Errors
/// When a request failed, after printing what was measured: the run is void then.
pub(super) async fn run(arguments: ChatArguments, environment: &Environment) -> anyhow::Result<()> {
    let target = target(&arguments, environment)?;
    let words = calibrate(&target)
        .await
        .context("the first request failed")?
        .words_for(arguments.prompt_tokens);
    let mut levels = Vec::new();
    let mut first_fault = None;
    for (number, &concurrency) in arguments.concurrency.iter().enumerate() {
        let first_prompt = Calibration::SAMPLES.len() + number * arguments.requests as usize;
        let (level, fault) =
            run_level(&target, &arguments, usize::from(concurrency), words, first_prompt).await?;
        levels.push(level);
        first_fault = first_fault.or(fault);
    }
    if arguments.json {
        terminal::say(&serde_json::to_string_pretty(&levels)?);
    } else {
        terminal::say(table(&levels).trim_end());
    }
    match first_fault {
        None => Ok(()),
        Some(fault) => {
            let failed: usize = levels.iter().map(|level| level.failed).sum();
            Err(fault.context(format!(
                "this run is void: {failed} requests failed, the first with"
            )))
        }
    }
}

fn target(arguments: &ChatArguments, environment: &Environment) -> anyhow::Result<Target> {
    let given = arguments.api_key.clone();
    let Some(api_key) = given.or_else(|| environment.api_key().map(|key| key.expose().to_owned())) else {
        bail!("no API key: give --api-key or set SILICA_API_KEY");
    };
    let client = reqwest::Client::builder()
        .read_timeout(READ_TIMEOUT)
        .tcp_nodelay(true)
        .build()?;
    let base_url = arguments.base_url.trim_end_matches('/').to_owned();
    Ok(Target {
        client,
        base_url,
        api_key,
        model: arguments.model.clone(),
    })
}

/// Lets the server count prompts of known length. This warms it up, too.
async fn calibrate(target: &Target) -> anyhow::Result<Calibration> {
    let mut counts = [0; 2];
    for (number, (count, words)) in counts.iter_mut().zip(Calibration::SAMPLES).enumerate() {
        *count = measure(target, &prompt(number, words), 1).await?.prompt_tokens;
    }
    Ok(Calibration::from_counts(counts))
}

/// Runs one level; also returns the first fault of its failed requests.
async fn run_level(
    target: &Target,
    arguments: &ChatArguments,
    concurrency: usize,
    words: u32,
    first_prompt: usize,
) -> anyhow::Result<(Level, Option<anyhow::Error>)> {
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let probing = arguments
        .probe
        .then(|| tasks.spawn(probe(target.clone(), stop.clone())));
    let started = Instant::now();
    let asked = stream::iter(0..arguments.requests as usize).map(|number| {
        let prompt = prompt(first_prompt + number, words);
        async move { measure(target, &prompt, arguments.max_tokens).await }
    });
    let results: Vec<anyhow::Result<Sample>> = asked.buffer_unordered(concurrency).collect().await;
    let elapsed = started.elapsed();
    stop.cancel();
    let probed: Option<Probed> = match probing {
        Some(task) => Some(task.await??),
        None => None,
    };
    let mut samples = Vec::new();
    let mut faults = Vec::new();
    for result in results {
        match result {
            Ok(sample) => samples.push(sample),
            Err(fault) => faults.push(fault),
        }
    }
    let level = Level::new(
        concurrency,
        &samples,
        faults.len(),
        elapsed,
        probed.as_ref().map(ProbeLevel::new),
    );
    Ok((level, faults.into_iter().next()))
}
