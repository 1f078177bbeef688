//! Where the numbers of a call's usage come from.

crate::code_enum! {
    /// Who counted what a call consumed. Stored with every settled call.
    UsageSource, "usage source", {
        /// The engine reported it.
        Engine = "engine",
        /// The text that went to the client was counted with the model's tokenizer.
        Counted = "counted",
        /// The text that went to the client was measured by the stated estimator.
        Estimated = "estimated",
    }
}

/// Embedded engines count what they do; others must say that they do not.
impl Default for UsageSource {
    fn default() -> Self {
        Self::Engine
    }
}
