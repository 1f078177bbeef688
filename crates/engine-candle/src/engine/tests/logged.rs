//! What the operator is told in the log.

use super::*;

/// Counts what is logged.
struct Logged(Arc<AtomicUsize>);

impl tracing::Subscriber for Logged {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn a_prompt_that_memory_refuses_is_told_to_the_operator_once() {
    let mut harness = start(1, 1);
    let refuse = |engine: &CandleEngine, length| {
        let refused = engine.generate(request(&vec![1; length], 1)).err();
        assert!(matches!(refused, Some(EngineError::ContextExceeded { .. })));
    };
    let count = Arc::new(AtomicUsize::new(0));
    tracing::subscriber::with_default(Logged(Arc::clone(&count)), || {
        refuse(&harness.engine, 5000);
        harness.engine.shortened = Some(Shortened {
            context: 6000,
            needed_mb: 7,
        });
        // Beyond the model's own context too.
        refuse(&harness.engine, 6000);
        assert_eq!(count.load(Ordering::SeqCst), 0);
        for length in [5000, 5500, 5999] {
            refuse(&harness.engine, length);
        }
    });
    assert_eq!(count.load(Ordering::SeqCst), 1);
}
