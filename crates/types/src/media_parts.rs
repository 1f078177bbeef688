//! What a request has beside its texts.

use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

/// The parts of messages that are no text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaParts {
    /// How many images.
    pub images: u32,
    /// How many videos.
    pub videos: u32,
    /// How many sounds.
    pub sounds: u32,
    /// What they all take in the request, in bytes of JSON: the media themselves, or their addresses.
    pub bytes: usize,
}

impl MediaParts {
    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.images == 0 && self.videos == 0 && self.sounds == 0
    }
}

impl Add for MediaParts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            images: self.images.saturating_add(other.images),
            videos: self.videos.saturating_add(other.videos),
            sounds: self.sounds.saturating_add(other.sounds),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

impl AddAssign for MediaParts {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl std::iter::Sum for MediaParts {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), Add::add)
    }
}
