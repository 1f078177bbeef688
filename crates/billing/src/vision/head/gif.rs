//! GIF: the screen, and the first picture on it (`GIF89a` specification, 17 to 26).

use super::{Head, UnreadableImage};
use crate::vision::ImageSize;

const EXTENSION: u8 = 0x21;
const PICTURE: u8 = 0x2c;

/// Reads on from behind the version.
pub(super) fn size(mut head: Head<'_>) -> Result<ImageSize, UnreadableImage> {
    let screen_width = head.low_u16()?;
    let screen_height = head.low_u16()?;
    let [colors, _background, _aspect] = head.take()?;
    if colors & 0x80 != 0 {
        head.skip(3 << ((colors & 7) + 1))?;
    }
    loop {
        match head.byte()? {
            EXTENSION => skip_extension(&mut head)?,
            PICTURE => break,
            _ => return Err(UnreadableImage::Malformed),
        }
    }
    let left = head.low_u16()?;
    let top = head.low_u16()?;
    // Decoders enlarge a screen that the first picture does not fit on.
    let right = u32::from(left) + u32::from(head.low_u16()?);
    let bottom = u32::from(top) + u32::from(head.low_u16()?);
    let width = right.max(screen_width.into());
    let height = bottom.max(screen_height.into());
    Ok(ImageSize::new(width, height)?)
}

/// A label, and blocks that begin with their length; an empty one is the last.
fn skip_extension(head: &mut Head<'_>) -> Result<(), UnreadableImage> {
    head.skip(1)?;
    loop {
        match head.byte()? {
            0 => return Ok(()),
            length => head.skip(length.into())?,
        }
    }
}
