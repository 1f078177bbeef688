//! The result of a measurement, as a table or as JSON.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::percentile::Durations;
use super::probe::Probed;
use super::stream::Sample;

/// What one level of concurrency was like. Times in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Level {
    pub(super) concurrency: usize,
    pub(super) requests: usize,
    pub(super) failed: usize,
    pub(super) prompt_tokens_mean: f64,
    pub(super) completion_tokens: u64,
    pub(super) first_token_p50_ms: Option<f64>,
    pub(super) first_token_p99_ms: Option<f64>,
    pub(super) between_tokens_p50_ms: Option<f64>,
    pub(super) between_tokens_p99_ms: Option<f64>,
    pub(super) tokens_per_second: f64,
    pub(super) requests_per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) probe: Option<ProbeLevel>,
}

/// What the probes saw meanwhile. Times in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct ProbeLevel {
    pub(super) samples: usize,
    pub(super) models_p50_ms: Option<f64>,
    pub(super) models_p99_ms: Option<f64>,
    pub(super) health_p50_ms: Option<f64>,
    pub(super) health_p99_ms: Option<f64>,
}

impl ProbeLevel {
    /// Sums up what a probe saw.
    pub(super) fn new(probed: &Probed) -> Self {
        Self {
            samples: probed.models.len(),
            models_p50_ms: milliseconds(&probed.models, 50),
            models_p99_ms: milliseconds(&probed.models, 99),
            health_p50_ms: milliseconds(&probed.health, 50),
            health_p99_ms: milliseconds(&probed.health, 99),
        }
    }
}

impl Level {
    /// Sums up the good `samples` of a level that took `elapsed` as a whole.
    pub(super) fn new(
        concurrency: usize,
        samples: &[Sample],
        failed: usize,
        elapsed: Duration,
        probe: Option<ProbeLevel>,
    ) -> Self {
        let first: Durations = samples.iter().map(|sample| sample.first_token).collect();
        let gaps: Durations = samples
            .iter()
            .flat_map(|sample| sample.gaps.iter().copied())
            .collect();
        let tokens: u64 = samples
            .iter()
            .map(|sample| u64::from(sample.completion_tokens))
            .sum();
        let prompt_tokens: u64 = samples.iter().map(|sample| u64::from(sample.prompt_tokens)).sum();
        let seconds = elapsed.as_secs_f64().max(f64::EPSILON);
        Self {
            concurrency,
            requests: samples.len() + failed,
            failed,
            prompt_tokens_mean: ratio(prompt_tokens, samples.len() as u64),
            completion_tokens: tokens,
            first_token_p50_ms: milliseconds(&first, 50),
            first_token_p99_ms: milliseconds(&first, 99),
            between_tokens_p50_ms: milliseconds(&gaps, 50),
            between_tokens_p99_ms: milliseconds(&gaps, 99),
            tokens_per_second: ratio(tokens, 1) / seconds,
            requests_per_second: ratio(samples.len() as u64, 1) / seconds,
            probe,
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a benchmark are far below 2^52"
)]
fn ratio(numerator: u64, denominator: u64) -> f64 {
    numerator as f64 / denominator.max(1) as f64
}

fn milliseconds(durations: &Durations, percent: u8) -> Option<f64> {
    durations
        .percentile(percent)
        .map(|duration| duration.as_secs_f64() * 1000.0)
}

/// Writes the levels as a Markdown table, which a terminal shows well too.
pub(super) fn table(levels: &[Level]) -> String {
    let mut text = String::from(
        "| streams | requests | prompt tokens | first token p50 / p99 ms | between tokens p50 / p99 ms | tokens/s | requests/s |\n\
         |--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for level in levels {
        let _ = writeln!(
            text,
            "| {} | {} | {:.0} | {} / {} | {} / {} | {:.1} | {:.2} |",
            level.concurrency,
            level.requests,
            level.prompt_tokens_mean,
            cell(level.first_token_p50_ms),
            cell(level.first_token_p99_ms),
            cell(level.between_tokens_p50_ms),
            cell(level.between_tokens_p99_ms),
            level.tokens_per_second,
            level.requests_per_second,
        );
    }
    if levels.iter().any(|level| level.probe.is_some()) {
        text.push_str(
            "\n| streams | probes | GET /v1/models p50 / p99 ms | GET /healthz p50 / p99 ms |\n|--:|--:|--:|--:|\n",
        );
    }
    for (level, probe) in levels
        .iter()
        .filter_map(|level| Some((level, level.probe.as_ref()?)))
    {
        let _ = writeln!(
            text,
            "| {} | {} | {} / {} | {} / {} |",
            level.concurrency,
            probe.samples,
            cell(probe.models_p50_ms),
            cell(probe.models_p99_ms),
            cell(probe.health_p50_ms),
            cell(probe.health_p99_ms),
        );
    }
    text
}

fn cell(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_counts_good_requests_only_and_prints_as_a_row() {
        let sample = Sample {
            first_token: Duration::from_millis(20),
            gaps: vec![Duration::from_millis(4); 9],
            prompt_tokens: 100,
            completion_tokens: 10,
        };
        let level = Level::new(4, &[sample.clone(), sample], 1, Duration::from_secs(2), None);
        assert_eq!((level.requests, level.failed), (3, 1));
        assert!((level.tokens_per_second - 10.0).abs() < 1e-9);
        let table = table(&[level]);
        assert!(
            table.contains("| 4 | 3 | 100 | 20.0 / 20.0 | 4.0 / 4.0 | 10.0 | 1.00 |"),
            "{table}"
        );
    }

    #[test]
    fn a_level_without_good_requests_has_no_times() {
        let level = Level::new(1, &[], 2, Duration::from_secs(1), None);
        assert_eq!(level.first_token_p50_ms, None);
        assert!(table(&[level]).contains("- / -"));
    }
}
