//! The usage journal.
