//! Usage levels.

use silica_types::code_enum;

code_enum! {
    /// The usage level that picks an account's rate limits.
    UsageLevel, "usage level", {
        /// Below CNY 50 in the month.
        L0 = "L0",
        /// From CNY 50.
        L1 = "L1",
        /// From CNY 200.
        L2 = "L2",
        /// From CNY 2,000.
        L3 = "L3",
        /// From CNY 5,000.
        L4 = "L4",
        /// From CNY 10,000.
        L5 = "L5",
    }
}
