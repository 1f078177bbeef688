//! How evenly the text of an answer comes.

use tokio::time::Instant;

use crate::model_meters::ModelMeters;

/// Measures the gaps between the pieces of one answer's text.
#[derive(Default)]
pub(crate) struct Pace {
    last: Option<Instant>,
}

impl Pace {
    /// Takes notice of a piece of text.
    pub(crate) fn text_came(&mut self, now: Instant, meters: &ModelMeters) {
        if let Some(last) = self.last.replace(now) {
            meters.gap(now.duration_since(last));
        }
    }
}
