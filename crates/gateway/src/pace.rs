//! How evenly the text of an answer comes.

use metrics::Histogram;
use silica_types::ModelName;
use tokio::time::Instant;

/// Measures the gaps between the pieces of one answer's text.
#[derive(Default)]
pub(crate) struct Pace {
    last: Option<Instant>,
    /// Looked up with the second piece: a call has many pieces or one.
    gaps: Option<Histogram>,
}

impl Pace {
    /// Takes notice of a piece of text.
    pub(crate) fn text_came(&mut self, now: Instant, model: &ModelName) {
        let Some(last) = self.last.replace(now) else {
            return;
        };
        let gaps = self.gaps.get_or_insert_with(
            || metrics::histogram!("silica_inter_chunk_seconds", "model" => model.as_str().to_owned()),
        );
        gaps.record(now.duration_since(last).as_secs_f64());
    }
}
