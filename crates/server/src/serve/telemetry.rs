//! The metrics recorder behind `/metrics`. The names are listed here once, with their meaning.

use std::time::Duration;

use anyhow::Context as _;
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

/// Upper borders of duration buckets in seconds: from a cached list to a long answer.
const SECONDS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0,
];
/// How often the recorder folds its samples into buckets.
const UPKEEP: Duration = Duration::from_secs(5);

/// Starts recording; the handle renders the text format.
///
/// # Errors
/// When the process records already.
pub(super) fn start() -> anyhow::Result<PrometheusHandle> {
    let builder =
        PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?;
    let handle = builder
        .install_recorder()
        .context("cannot start recording metrics")?;
    describe();
    Ok(handle)
}

/// Keeps the recorder's memory bounded until `shutdown`.
pub(super) async fn upkeep(handle: PrometheusHandle, shutdown: CancellationToken) {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => handle.run_upkeep(),
        }
    }
}

fn describe() {
    describe_counter!(
        "silica_http_requests_total",
        "Requests by route pattern and status"
    );
    describe_histogram!(
        "silica_http_request_seconds",
        Unit::Seconds,
        "Time to the response's head, by route pattern"
    );
    describe_counter!(
        "silica_calls_total",
        "Inference calls by model, route and outcome: complete, cancelled, failed, refused"
    );
    describe_counter!(
        "silica_tokens_total",
        "Tokens by model and kind: prompt, completion"
    );
    describe_histogram!(
        "silica_first_token_seconds",
        Unit::Seconds,
        "Time to the first token, by model"
    );
    describe_histogram!(
        "silica_inter_chunk_seconds",
        Unit::Seconds,
        "Time between two pieces of text of a streamed answer, by model"
    );
    describe_counter!(
        "silica_retries_total",
        "Attempts at a further replica after one had failed, by model"
    );
    describe_gauge!(
        "silica_ledger_discrepancies",
        "Balances that the last check found not to be what credits and calls make"
    );
    describe_counter!("silica_traces_sent_total", "Calls whose trace the collector took");
    describe_counter!(
        "silica_traces_dropped_total",
        "Calls whose trace was dropped, since the collector did not take it or the queue was full"
    );
    describe_gauge!(
        "silica_catalogue_file_good",
        "Whether what the catalogue file says is in force: 0 or 1; absent without a file"
    );
    describe_replicas();
    describe_counter!(
        "silica_engine_steps_total",
        "Steps that an embedded engine has computed"
    );
    describe_gauge!(
        "silica_engine_sequences",
        "Sequences that an embedded engine is computing"
    );
    describe_gauge!(
        "silica_engine_waiting",
        "Sequences that wait for a place in an embedded engine"
    );
    describe_counter!(
        "silica_engine_cancelled_total",
        "Sequences that ended because the client had left"
    );
}

/// Labels are the deployment and the replica's position in it.
fn describe_replicas() {
    describe_gauge!("silica_replica_running", "Calls that run on a replica");
    describe_gauge!(
        "silica_replica_healthy",
        "Whether a replica answers its health checks, or is not asked: 0 or 1; NaN when it is gone"
    );
    describe_gauge!(
        "silica_replica_breaker_open",
        "Whether a replica failed several times in a row and is left alone: 0 or 1; NaN when it is gone"
    );
    describe_counter!(
        "silica_replica_calls_total",
        "Calls that a replica was given by outcome: answered, failed, busy, limited, unanswered"
    );
    describe_counter!(
        "silica_replica_ejections_total",
        "How often a replica was left alone because it failed most of its calls"
    );
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    /// Adds the quoted names that begin with `silica_` in the sources below a folder.
    fn names_below(folder: &Path, names: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                names_below(&path, names);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                // The opening quote and the prefix are apart, so that this line is none of them.
                let pieces = text.split(concat!('"', "silica_")).skip(1);
                let ends = pieces.filter_map(|piece| piece.split_once('"'));
                let is_name = |name: &str| {
                    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
                };
                let found = ends.map(|(name, _)| name).filter(|name| is_name(name));
                names.extend(found.map(|name| format!("silica_{name}")));
            }
        }
    }

    #[test]
    fn every_metric_is_documented_and_every_documented_one_exists() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut recorded = BTreeSet::new();
        for entry in fs::read_dir(root.join("crates")).unwrap() {
            let sources = entry.unwrap().path().join("src");
            if sources.is_dir() {
                names_below(&sources, &mut recorded);
            }
        }
        let page = fs::read_to_string(root.join("docs/metrics.md")).unwrap();
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
        let documented: BTreeSet<String> = rows
            .filter_map(|row| row.split_once('`'))
            .map(|(name, _)| name.to_owned())
            .collect();
        assert_eq!(documented, recorded);
    }
}
