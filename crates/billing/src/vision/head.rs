//! An image's width and height from the first bytes of its file: PNG, JPEG, GIF, WebP and BMP, the
//! formats that engines take.
//!
//! Written out rather than left to a library, as the number is billed: it has to be what the engine's
//! decoder sees, and `imagesize` (0.15, the smallest one that is kept up) sees something else in a BMP
//! file from top to bottom, in a JPEG file with fill bytes, in a WebP file with a scale, and in a GIF
//! file whose picture is larger than its screen. What does not look as its standard says is refused
//! rather than guessed at.
//!
//! The orientation in EXIF data is not looked at. To an engine that turns the image by it, the sides
//! are exchanged, which changes nothing for Qwen-VL and little for the others.

mod gif;
mod jpeg;

use super::{ImageSize, InvalidImageSize};

/// How much of a file is looked at. The sizes of all formats stand at the very begin, but in a JPEG
/// file behind a preview and a color profile of up to 64 KiB and more.
pub(super) const HEAD_BYTES: usize = 256 * 1024;

/// Why an image's size cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableImage {
    /// The first bytes are those of another format.
    #[error("the image is none of PNG, JPEG, GIF, WebP and BMP")]
    UnknownFormat,
    /// The bytes end before the size, or it does not stand in the first 256 KiB.
    #[error("the image ends before its size")]
    Truncated,
    /// The bytes before the size are not as the format's standard says.
    #[error("the head of the image is damaged")]
    Malformed,
    /// It is a size, but none of an image.
    #[error(transparent)]
    Size(#[from] InvalidImageSize),
    /// The address is no `data:` URL: the image is elsewhere.
    #[error("the address of the image does not hold the image")]
    Elsewhere,
    /// The `data:` URL is not base64.
    #[error("the image in the address is not base64")]
    NotBase64,
}

impl ImageSize {
    /// Reads the size out of an image's file, or of the begin of it.
    ///
    /// # Errors
    /// [`UnreadableImage`] when it is no image, not enough of one, or an impossible one.
    pub fn of_file(bytes: &[u8]) -> Result<Self, UnreadableImage> {
        let bytes = bytes.get(..HEAD_BYTES).unwrap_or(bytes);
        if let Some(rest) = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n") {
            png(Head(rest))
        } else if let Some(rest) = bytes.strip_prefix(b"\xff\xd8") {
            jpeg::size(Head(rest))
        } else if let Some(rest) = bytes.strip_prefix(b"GIF87a").or(bytes.strip_prefix(b"GIF89a")) {
            gif::size(Head(rest))
        } else if let Some(rest) = bytes.strip_prefix(b"RIFF") {
            webp(Head(rest))
        } else if let Some(rest) = bytes.strip_prefix(b"BM") {
            bmp(Head(rest))
        } else {
            Err(UnreadableImage::UnknownFormat)
        }
    }
}

/// The bytes of a file that are still to be read.
struct Head<'a>(&'a [u8]);

impl Head<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], UnreadableImage> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(UnreadableImage::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn skip(&mut self, bytes: usize) -> Result<(), UnreadableImage> {
        self.0 = self.0.get(bytes..).ok_or(UnreadableImage::Truncated)?;
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, UnreadableImage> {
        self.take().map(u8::from_be_bytes)
    }

    /// Two bytes, the lower one first.
    fn low_u16(&mut self) -> Result<u16, UnreadableImage> {
        self.take().map(u16::from_le_bytes)
    }

    /// Two bytes, the higher one first.
    fn high_u16(&mut self) -> Result<u16, UnreadableImage> {
        self.take().map(u16::from_be_bytes)
    }

    fn low_u24(&mut self) -> Result<u32, UnreadableImage> {
        let [low, middle, high] = self.take()?;
        Ok(u32::from_le_bytes([low, middle, high, 0]))
    }

    fn low_u32(&mut self) -> Result<u32, UnreadableImage> {
        self.take().map(u32::from_le_bytes)
    }

    fn high_u32(&mut self) -> Result<u32, UnreadableImage> {
        self.take().map(u32::from_be_bytes)
    }

    /// Fails unless these bytes come next.
    fn expect<const N: usize>(&mut self, bytes: &[u8; N]) -> Result<(), UnreadableImage> {
        if self.take()? == *bytes {
            Ok(())
        } else {
            Err(UnreadableImage::Malformed)
        }
    }
}

/// The first chunk (W3C PNG, 11.2.1).
fn png(mut head: Head<'_>) -> Result<ImageSize, UnreadableImage> {
    head.expect(b"\0\0\0\x0dIHDR")?;
    Ok(ImageSize::new(head.high_u32()?, head.high_u32()?)?)
}

/// The first chunk of the container (RFC 9649), of which there are three kinds.
fn webp(mut head: Head<'_>) -> Result<ImageSize, UnreadableImage> {
    head.skip(4)?;
    if head.take()? != *b"WEBP" {
        // RIFF has other things in it as well, such as sound.
        return Err(UnreadableImage::UnknownFormat);
    }
    let kind: [u8; 4] = head.take()?;
    head.skip(4)?;
    let (width, height) = match &kind {
        b"VP8 " => webp_lossy(&mut head)?,
        b"VP8L" => webp_lossless(&mut head)?,
        b"VP8X" => {
            head.skip(4)?;
            (head.low_u24()? + 1, head.low_u24()? + 1)
        }
        _ => return Err(UnreadableImage::Malformed),
    };
    Ok(ImageSize::new(width, height)?)
}

/// The head of a key frame (RFC 6386, 9.1): 14 bits each, the two above them ask for scaling, which
/// decoders do not do.
fn webp_lossy(head: &mut Head<'_>) -> Result<(u32, u32), UnreadableImage> {
    let [frame, ..]: [u8; 3] = head.take()?;
    if frame & 1 != 0 {
        return Err(UnreadableImage::Malformed);
    }
    head.expect(b"\x9d\x01\x2a")?;
    let mut side = || head.low_u16().map(|side| u32::from(side & 0x3fff));
    Ok((side()?, side()?))
}

/// Two times 14 bits, one less than the side each (RFC 9649, 3.4).
fn webp_lossless(head: &mut Head<'_>) -> Result<(u32, u32), UnreadableImage> {
    head.expect(b"\x2f")?;
    let bits = head.low_u32()?;
    Ok(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
}

/// The header behind that of the file: the one of OS/2, or one of those that begin like
/// `BITMAPINFOHEADER`. A negative height is that of an image from top to bottom.
fn bmp(mut head: Head<'_>) -> Result<ImageSize, UnreadableImage> {
    head.skip(12)?;
    let (width, height) = match head.low_u32()? {
        12 => (u32::from(head.low_u16()?), u32::from(head.low_u16()?)),
        40 | 52 | 56 | 64 | 108 | 124 => {
            let width = head.low_u32()?;
            (width, head.low_u32()?.cast_signed().unsigned_abs())
        }
        _ => return Err(UnreadableImage::Malformed),
    };
    Ok(ImageSize::new(width, height)?)
}
