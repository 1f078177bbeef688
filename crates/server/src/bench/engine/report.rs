//! The result of a measurement, as a table or as JSON.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::EngineArguments;
use super::measure::FirstTokens;

/// What was measured, in the order of the rounds. Speeds in tokens per second, memory in megabytes
/// (10^6 bytes). `bench/llama-cpp` writes the same fields but for those of the prefix.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Report {
    engine: &'static str,
    version: &'static str,
    threads: usize,
    load_s: f64,
    /// Of a prompt, up to the first token.
    pub(super) prefill: Vec<f64>,
    /// Of one sequence, after its first token.
    pub(super) decode: Vec<f64>,
    /// Of all sequences together.
    pub(super) batch: Vec<f64>,
    /// Time to the first token of a prompt of which nothing is known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    first_token_cold_ms: Vec<f64>,
    /// Time to the first token of one that begins like it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    first_token_shared_ms: Vec<f64>,
    /// Tokens of the latter that were not computed again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cached_tokens: Vec<u32>,
    resident_mb: Option<f64>,
    pub(super) peak_mb: Option<f64>,
}

impl Report {
    pub(super) fn new(threads: usize, load: Duration, resident_mb: Option<f64>) -> Self {
        Self {
            engine: "silica",
            version: env!("CARGO_PKG_VERSION"),
            threads,
            load_s: load.as_secs_f64(),
            prefill: Vec::new(),
            decode: Vec::new(),
            batch: Vec::new(),
            first_token_cold_ms: Vec::new(),
            first_token_shared_ms: Vec::new(),
            cached_tokens: Vec::new(),
            resident_mb,
            peak_mb: None,
        }
    }

    pub(super) fn add_first_tokens(&mut self, times: &FirstTokens) {
        self.first_token_cold_ms.push(times.cold.as_secs_f64() * 1000.0);
        self.first_token_shared_ms
            .push(times.shared.as_secs_f64() * 1000.0);
        self.cached_tokens.push(times.cached);
    }

    /// How many times sooner the first token comes, round by round.
    fn gains(&self) -> Vec<f64> {
        let pairs = self.first_token_cold_ms.iter().zip(&self.first_token_shared_ms);
        pairs.map(|(cold, shared)| cold / shared).collect()
    }
}

/// The middle value, or the mean of the two in the middle; `None` without values.
fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let upper = sorted.get(sorted.len() / 2)?;
    let lower = sorted.get((sorted.len() - 1) / 2)?;
    Some(f64::midpoint(*lower, *upper))
}

/// Median, least and most.
fn cells(values: &[f64], digits: usize) -> String {
    let Some(median) = median(values) else {
        return "- | - | -".to_owned();
    };
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{median:.digits$} | {least:.digits$} | {most:.digits$}")
}

/// Writes the result as a Markdown table, which a terminal shows well too.
pub(super) fn table(report: &Report, arguments: &EngineArguments) -> String {
    let mut text = String::from("| what | median | least | most |\n|---|--:|--:|--:|\n");
    let (prompt, decode, sequences) = (arguments.prompt, arguments.decode, arguments.sequences);
    let rows = [
        (
            format!("prefill of {prompt}, tokens/s"),
            cells(&report.prefill, 1),
        ),
        (
            format!("decode of {decode} alone, tokens/s"),
            cells(&report.decode, 1),
        ),
        (
            format!("decode of {sequences} sequences, tokens/s of all"),
            cells(&report.batch, 1),
        ),
    ];
    for (what, values) in rows {
        let _ = writeln!(text, "| {what} | {values} |");
    }
    if arguments.prefix > 0 {
        let prefix = arguments.prefix;
        let rows = [
            (
                format!("first token after {prefix} new tokens, ms"),
                cells(&report.first_token_cold_ms, 1),
            ),
            (
                format!("first token after {prefix} shared tokens, ms"),
                cells(&report.first_token_shared_ms, 1),
            ),
            ("times sooner".to_owned(), cells(&report.gains(), 1)),
        ];
        for (what, values) in rows {
            let _ = writeln!(text, "| {what} | {values} |");
        }
    }
    let _ = writeln!(
        text,
        "\n{} threads, {} rounds. Loaded in {:.2} s. Memory: {} MB when loaded, {} MB at the peak.",
        report.threads,
        arguments.rounds,
        report.load_s,
        megabytes(report.resident_mb),
        megabytes(report.peak_mb),
    );
    text
}

fn megabytes(value: Option<f64>) -> String {
    value.map_or_else(|| "?".to_owned(), |value| format!("{value:.0}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_stand_beside_the_least_and_the_most() {
        assert_eq!(cells(&[3.0, 1.0, 2.0], 1), "2.0 | 1.0 | 3.0");
        assert_eq!(cells(&[4.0, 1.0, 2.0, 3.0], 2), "2.50 | 1.00 | 4.00");
        assert_eq!(cells(&[], 1), "- | - | -");
    }

    #[test]
    fn gains_are_taken_within_a_round() {
        let mut report = Report::new(1, Duration::ZERO, None);
        for (cold, shared) in [(1000, 100), (3000, 100)] {
            report.add_first_tokens(&FirstTokens {
                cold: Duration::from_millis(cold),
                shared: Duration::from_millis(shared),
                cached: 2000,
            });
        }
        assert_eq!(cells(&report.gains(), 0), "20 | 10 | 30");
    }
}
