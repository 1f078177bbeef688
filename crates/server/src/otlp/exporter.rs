//! Takes summaries from calls and sends them on, in batches.

use std::time::Duration;

use axum::body::Bytes;
use http::Uri;
use silica_gateway::{CallSink, CallSummary};
use silica_types::TraceId;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::sampler::Sampler;
use super::spans::export;
use crate::config::TelemetryConfig;

/// Calls that wait to be sent; more are dropped.
const QUEUE: usize = 4096;
/// Calls that are sent at once.
const BATCH: usize = 512;
/// How long the first call of a batch waits for others.
const PERIOD: Duration = Duration::from_secs(2);
/// Pause between two warnings.
const QUIET: Duration = Duration::from_mins(1);
/// How long the last batches may take.
const LAST_LIMIT: Duration = Duration::from_secs(3);

/// Where calls leave their summaries.
pub(crate) struct TraceSink {
    sampler: Sampler,
    queue: Sender<CallSummary>,
}

/// What sends them on.
pub(crate) struct Exporter {
    client: Client,
    service: String,
    queue: Receiver<CallSummary>,
    warned_at: Option<Instant>,
}

/// Makes both ends, when traces are configured.
pub(crate) fn traces(config: &TelemetryConfig) -> Option<(TraceSink, Exporter)> {
    let url: Uri = config.traces_url()?;
    let (sender, receiver) = channel(QUEUE);
    let sink = TraceSink {
        sampler: Sampler::new(config.sample_ratio),
        queue: sender,
    };
    let exporter = Exporter {
        client: Client::new(url, config.otlp_headers.as_ref()),
        service: config.service_name.clone(),
        queue: receiver,
        warned_at: None,
    };
    Some((sink, exporter))
}

impl CallSink for TraceSink {
    fn wants(&self, trace: &TraceId) -> bool {
        self.sampler.wants(trace)
    }

    fn take(&self, summary: CallSummary) {
        if self.queue.try_send(summary).is_err() {
            metrics::counter!("silica_traces_dropped_total").increment(1);
        }
    }
}

impl Exporter {
    /// Sends until `shutdown`, and then what is left.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let is_over = tokio::select! {
                () = shutdown.cancelled() => true,
                () = fill(&mut self.queue, &mut batch) => false,
            };
            if is_over {
                break;
            }
            self.send(&mut batch).await;
        }
        self.queue.close();
        let last = async {
            loop {
                while batch.len() < BATCH
                    && let Ok(call) = self.queue.try_recv()
                {
                    batch.push(call);
                }
                if batch.is_empty() {
                    return;
                }
                self.send(&mut batch).await;
            }
        };
        if timeout(LAST_LIMIT, last).await.is_err() {
            tracing::warn!("the last traces cannot be sent in time; leaving them");
        }
    }

    /// Sends a batch, or drops it.
    async fn send(&mut self, batch: &mut Vec<CallSummary>) {
        if batch.is_empty() {
            return;
        }
        let (service, summaries) = (self.service.clone(), std::mem::take(batch));
        let calls = summaries.len();
        // Hundreds of spans take milliseconds.
        let written = spawn_blocking(move || Bytes::from(export(&service, &summaries).to_string())).await;
        let outcome = match written {
            Ok(body) => self.client.send(body).await,
            Err(cut) => Err(cut.into()),
        };
        let Err(error) = outcome else {
            metrics::counter!("silica_traces_sent_total").increment(calls as u64);
            return;
        };
        metrics::counter!("silica_traces_dropped_total").increment(calls as u64);
        if self.warned_at.is_none_or(|at| at.elapsed() >= QUIET) {
            self.warned_at = Some(Instant::now());
            tracing::warn!(
                calls,
                "traces cannot be sent and are dropped: {:#}",
                anyhow::Error::from(error)
            );
        }
    }
}

/// Waits for a batch: until it is full, or for a while after its first call. Cancel-safe: what was
/// taken is in the batch.
async fn fill(queue: &mut Receiver<CallSummary>, batch: &mut Vec<CallSummary>) {
    if batch.is_empty() && queue.recv_many(batch, BATCH).await == 0 {
        // Nobody is left to send; the shutdown comes next.
        std::future::pending::<()>().await;
    }
    let end = Instant::now() + PERIOD;
    while batch.len() < BATCH {
        let room = BATCH - batch.len();
        match timeout_at(end, queue.recv_many(batch, room)).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}
