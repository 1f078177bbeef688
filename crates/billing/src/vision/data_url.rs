//! Images inside addresses: `data:image/png;base64,...` (RFC 2397).

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::head::HEAD_BYTES;
use super::{ImageSize, UnreadableImage};

/// How much of an image is decoded first. Nearly all say their size in it.
const FIRST_BYTES: usize = 4 * 1024;

/// Takes what decoders of engines take: padding or none, and any bits below the last byte.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

impl ImageSize {
    /// Reads the size out of an image that stands in its own address, a `data:` URL in base64. No more
    /// than the first 256 KiB are decoded, however long it is; blanks and line ends are passed over.
    /// What the address says about the format is not believed.
    ///
    /// # Errors
    /// [`UnreadableImage::Elsewhere`] for any other address; what else [`ImageSize::of_file`] refuses.
    pub fn of_data_url(url: &str) -> Result<Self, UnreadableImage> {
        let text = base64_text(url)?;
        match Self::of_begin(text, FIRST_BYTES) {
            Err(UnreadableImage::Truncated) => Self::of_begin(text, HEAD_BYTES),
            told => told,
        }
    }

    /// Reads it out of about so many bytes of the image.
    fn of_begin(text: &[u8], bytes: usize) -> Result<Self, UnreadableImage> {
        let most = bytes / 3 * 4;
        let begin = without_blanks(text.get(..most).unwrap_or(text));
        // Whole groups of four characters, so that a cut does not look like an error.
        let rest = if text.len() > most { begin.len() % 4 } else { 0 };
        let groups = begin.get(..begin.len() - rest).unwrap_or_default();
        let file = BASE64.decode(groups).map_err(|_| UnreadableImage::NotBase64)?;
        Self::of_file(&file)
    }
}

/// What follows `data:...;base64,`.
fn base64_text(url: &str) -> Result<&[u8], UnreadableImage> {
    let (scheme, rest) = url.split_at_checked(5).ok_or(UnreadableImage::Elsewhere)?;
    if !scheme.eq_ignore_ascii_case("data:") {
        return Err(UnreadableImage::Elsewhere);
    }
    let (kind, text) = rest.split_once(',').ok_or(UnreadableImage::NotBase64)?;
    match kind.rsplit_once(';') {
        Some((_, encoding)) if encoding.trim().eq_ignore_ascii_case("base64") => Ok(text.as_bytes()),
        _ => Err(UnreadableImage::NotBase64),
    }
}

fn without_blanks(text: &[u8]) -> Cow<'_, [u8]> {
    if text.iter().any(u8::is_ascii_whitespace) {
        let kept = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace());
        Cow::Owned(kept.collect())
    } else {
        Cow::Borrowed(text)
    }
}
