//! How many tokens the images of a prompt are, by the rules of each family of models.
//!
//! The rules are those that the platform publishes (contract platform.md, section 3), in whole
//! numbers. What a call may take at most also counts as the models' own preprocessing does. They serve where nobody else counts: for the reservation before a call, and for its
//! usage when the engine reports none. An engine that reports is believed instead: its own
//! preprocessing may differ by a little, as each rule says.
//!
//! Only an image's width and height are looked at, see [`ImageSize`]. An image that stands at an address
//! is not fetched for it; [`VisionTokens`] has the bounds for those.

mod data_url;
mod deepseek;
mod head;
mod intern;
mod qwen;
mod size;
#[cfg(test)]
mod tests;

use silica_types::{Image, ImageDetail, TokenCount, code_enum};

pub use head::UnreadableImage;
pub use size::{ImageSize, InvalidImageSize};

code_enum! {
    /// How a family of models turns images into tokens.
    VisionRule, "vision rule", {
        /// Qwen2-VL, Qwen2.5-VL and QVQ: a token for every 28 x 28 pixels.
        QwenVl = "qwen-vl",
        /// `InternVL2`: 256 tokens for every tile of 448 x 448 pixels.
        InternVl2 = "internvl2",
        /// `DeepSeek-VL2`: 196 tokens for every tile of 384 x 384 pixels, and marks between them.
        DeepSeekVl2 = "deepseek-vl2",
    }
}

/// What is known of an image before a model looks at it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VisionImage {
    /// Its size; `None` if that cannot be told.
    pub size: Option<ImageSize>,
    /// How closely the client wants it looked at. `None` is as closely as [`ImageDetail::High`].
    pub detail: Option<ImageDetail>,
}

/// The tokens of all images of a request; all but the most are the same number where they are known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VisionTokens {
    /// What they have in any case.
    pub least: TokenCount,
    /// What is charged when nobody reports: those of unknown size are of low detail.
    pub likely: TokenCount,
    /// What they have if those of unknown size are of [`ImageSize::ORDINARY`].
    pub ordinary: TokenCount,
    /// What they do not exceed, neither by the published rule nor by the models' own preprocessing.
    pub most: TokenCount,
}

/// Looks into images that stand in their own address, a part of a millisecond each at most. What
/// is elsewhere or cannot be read has no known size: that is for the engine to refuse.
impl From<&Image> for VisionImage {
    fn from(image: &Image) -> Self {
        Self {
            size: ImageSize::of_data_url(&image.url).ok(),
            detail: image.detail,
        }
    }
}

/// The names of well-known models, in lower case, and what they go by.
const KNOWN: [(&str, VisionRule); 6] = [
    ("qwen/qwen2-vl", VisionRule::QwenVl),
    ("qwen/qwen2.5-vl", VisionRule::QwenVl),
    ("qwen/qvq", VisionRule::QwenVl),
    ("opengvlab/internvl2-", VisionRule::InternVl2),
    ("opengvlab/internvl2_5-", VisionRule::InternVl2),
    ("deepseek-ai/deepseek-vl2", VisionRule::DeepSeekVl2),
];

impl VisionRule {
    /// The rule of models whose names begin so, such as `Qwen/Qwen2.5-VL-7B-Instruct`, also below `Pro/`; `None`
    /// for other names.
    pub fn of_model(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let name = name.strip_prefix("pro/").unwrap_or(&name);
        let known = KNOWN.iter().find(|(begin, _)| name.starts_with(begin));
        known.map(|(_, rule)| *rule)
    }

    /// Counts the images of one request: all of them, of all messages, since some rules depend on
    /// how many there are.
    pub fn tokens(self, images: &[VisionImage]) -> VisionTokens {
        let mut all = VisionTokens::default();
        for image in images {
            let tokens = self.of_one(*image, images.len());
            all.least += tokens.least;
            all.likely += tokens.likely;
            all.ordinary += tokens.ordinary;
            all.most += tokens.most;
        }
        all
    }

    /// Counts one image of so many.
    fn of_one(self, image: VisionImage, images: usize) -> VisionTokens {
        if self.is_low(image.detail, images) {
            return VisionTokens::known(self.low(), self.low());
        }
        match image.size {
            Some(size) => VisionTokens::known(self.high(size), self.own(size)),
            None => VisionTokens {
                least: TokenCount(self.least()),
                likely: TokenCount(self.low()),
                ordinary: TokenCount(self.high(ImageSize::ORDINARY)),
                most: TokenCount(self.most()),
            },
        }
    }

    /// Whether an image of so many is made small first, whatever its size (contract, 3.1).
    const fn is_low(self, detail: Option<ImageDetail>, images: usize) -> bool {
        match (self, detail) {
            (Self::DeepSeekVl2, _) if images > deepseek::MOST_IN_DETAIL => true,
            (_, Some(ImageDetail::Low | ImageDetail::Auto)) => true,
            (_, Some(ImageDetail::High) | None) => false,
        }
    }

    const fn low(self) -> u32 {
        match self {
            Self::QwenVl => qwen::LOW,
            Self::InternVl2 => intern::LOW,
            Self::DeepSeekVl2 => deepseek::LOW,
        }
    }

    fn high(self, size: ImageSize) -> u32 {
        match self {
            Self::QwenVl => qwen::tokens(size),
            Self::InternVl2 => intern::tokens(size),
            Self::DeepSeekVl2 => deepseek::tokens(size),
        }
    }

    /// Counts an image of high detail as the model's own preprocessing does, where that differs.
    fn own(self, size: ImageSize) -> u32 {
        match self {
            Self::QwenVl => qwen::own_tokens(size),
            Self::InternVl2 => intern::tokens(size),
            Self::DeepSeekVl2 => deepseek::own_tokens(size),
        }
    }

    /// What no image of high detail is below.
    const fn least(self) -> u32 {
        match self {
            Self::QwenVl => qwen::LEAST,
            Self::InternVl2 => intern::LEAST,
            Self::DeepSeekVl2 => deepseek::LEAST,
        }
    }

    /// What no image of high detail is above.
    const fn most(self) -> u32 {
        match self {
            Self::QwenVl => qwen::MOST,
            Self::InternVl2 => intern::MOST,
            Self::DeepSeekVl2 => deepseek::MOST,
        }
    }
}

impl VisionTokens {
    /// Of a known image, by the published rule and by the model's own preprocessing.
    fn known(published: u32, own: u32) -> Self {
        Self {
            least: TokenCount(published),
            likely: TokenCount(published),
            ordinary: TokenCount(published),
            most: TokenCount(published.max(own)),
        }
    }

    /// Returns the published rule's number if it is known: every size is, or does not matter.
    pub fn exact(self) -> Option<TokenCount> {
        // One of an ordinary size has more than the least by every rule.
        (self.least == self.ordinary).then_some(self.least)
    }
}
