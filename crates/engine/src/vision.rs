//! The tokens of images, as whoever knows the model's rule has counted them.

use silica_types::TokenCount;

/// What all images of a request take together. Engines that count by themselves have no use for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageTokens {
    /// What they are if nobody counts better; one of unknown size as of little detail.
    pub likely: TokenCount,
    /// What ordinary images are, those of unknown size included.
    pub ordinary: TokenCount,
    /// What they do not exceed, whatever the engine makes of the client's wishes.
    pub most: TokenCount,
}
