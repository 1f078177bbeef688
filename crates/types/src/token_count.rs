//! A number of tokens.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

/// A number of tokens; additions saturate, so a counter can never wrap to a small bill.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenCount(pub u32);

impl TokenCount {
    /// No tokens.
    pub const ZERO: Self = Self(0);

    /// Counts the tokens of a sequence; more than `u32::MAX` count as `u32::MAX`.
    pub fn of<T>(tokens: &[T]) -> Self {
        Self(u32::try_from(tokens.len()).unwrap_or(u32::MAX))
    }

    /// Returns the count as a plain number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl Add for TokenCount {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for TokenCount {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for TokenCount {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for TokenCount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
