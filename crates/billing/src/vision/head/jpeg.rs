//! JPEG: the frame header, behind any number of other segments (ITU-T T.81, B.1.1 and B.2.2).

use super::{Head, UnreadableImage};
use crate::vision::ImageSize;

/// Reads on from behind the start of the image.
pub(super) fn size(mut head: Head<'_>) -> Result<ImageSize, UnreadableImage> {
    loop {
        match marker(&mut head)? {
            // Tables and extensions that are numbered among the frame headers.
            0xc4 | 0xc8 | 0xcc => skip_segment(&mut head)?,
            0xc0..=0xcf => return frame(&mut head),
            // Markers without a segment, the end, and the pixels: a frame header had to come first.
            0x00 | 0x01 | 0xd0..=0xda => return Err(UnreadableImage::Malformed),
            _ => skip_segment(&mut head)?,
        }
    }
}

/// A marker is behind a byte of ones, and any number of those may fill up the space before it.
fn marker(head: &mut Head<'_>) -> Result<u8, UnreadableImage> {
    if head.byte()? != 0xff {
        return Err(UnreadableImage::Malformed);
    }
    loop {
        match head.byte()? {
            0xff => {}
            marker => return Ok(marker),
        }
    }
}

/// A segment's length counts its own two bytes.
fn skip_segment(head: &mut Head<'_>) -> Result<(), UnreadableImage> {
    match head.high_u16()? {
        0 | 1 => Err(UnreadableImage::Malformed),
        length => head.skip(usize::from(length) - 2),
    }
}

/// The segment's length and the precision stand before the size.
fn frame(head: &mut Head<'_>) -> Result<ImageSize, UnreadableImage> {
    head.skip(3)?;
    let height = head.high_u16()?;
    let width = head.high_u16()?;
    Ok(ImageSize::new(u32::from(width), u32::from(height))?)
}
