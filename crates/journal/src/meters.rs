//! The journal's metrics.

use metrics::{describe_gauge, gauge};

const BACKLOG: &str = "silica_journal_backlog";
const OPEN: &str = "silica_journal_open";

pub(crate) fn describe() {
    describe_gauge!(
        BACKLOG,
        "Settled calls in the usage journal that the database does not have yet"
    );
    describe_gauge!(OPEN, "1 while the usage journal lets new calls in, else 0");
}

/// Tells how many events are not forgotten, and whether the gate admits calls.
pub(crate) fn report(backlog: u64, is_open: bool) {
    // The recorder is looked up each time, as it may be installed after the journal was opened.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a gauge is a float; exact up to 2^53 events"
    )]
    gauge!(BACKLOG).set(backlog as f64);
    gauge!(OPEN).set(if is_open { 1.0 } else { 0.0 });
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[test]
    fn gauges_show_the_backlog_and_the_gate() {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            describe();
            report(3, true);
        });
        let text = recorder.handle().render();
        assert!(text.contains("\nsilica_journal_backlog 3\n"), "{text}");
        assert!(text.contains("\nsilica_journal_open 1\n"), "{text}");
        assert!(text.contains("# HELP silica_journal_open"), "{text}");
        metrics::with_local_recorder(&recorder, || report(0, false));
        let text = recorder.handle().render();
        assert!(text.contains("\nsilica_journal_backlog 0\n"), "{text}");
        assert!(text.contains("\nsilica_journal_open 0\n"), "{text}");
    }
}
