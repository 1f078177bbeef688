//! Width and height of an image.

/// The pixels of an image, side by side: a size that engines accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ImageSize {
    width: u32,
    height: u32,
}

/// A size that no engine accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidImageSize {
    /// There are no pixels. (A JPEG file may say its height only after its pixels; that is not read.)
    #[error("an image of {width} x {height} pixels has none")]
    Empty {
        /// The width in pixels.
        width: u32,
        /// The height in pixels.
        height: u32,
    },
    /// There are more than [`ImageSize::MOST_SIDE`] in a row or [`ImageSize::MOST_PIXELS`] in all.
    #[error(
        "an image of {width} x {height} pixels is too large: a side has at most {} and all of it {}",
        ImageSize::MOST_SIDE,
        ImageSize::MOST_PIXELS
    )]
    TooLarge {
        /// The width in pixels.
        width: u32,
        /// The height in pixels.
        height: u32,
    },
}

impl ImageSize {
    /// The longest side, which is that of JPEG and GIF.
    pub const MOST_SIDE: u32 = 65_535;

    /// The most pixels. Pillow, with which the engines read images, refuses more as a decompression
    /// bomb (twice its `MAX_IMAGE_PIXELS`).
    pub const MOST_PIXELS: u64 = 178_956_970;

    /// 1024 x 1024 pixels, the contract's own example.
    pub const ORDINARY: Self = Self {
        width: 1024,
        height: 1024,
    };

    /// Makes a size of a width and a height in pixels.
    ///
    /// # Errors
    /// [`InvalidImageSize`] when there are no pixels, or far too many.
    pub const fn new(width: u32, height: u32) -> Result<Self, InvalidImageSize> {
        if width == 0 || height == 0 {
            return Err(InvalidImageSize::Empty { width, height });
        }
        let size = Self { width, height };
        if width > Self::MOST_SIDE || height > Self::MOST_SIDE || size.pixels() > Self::MOST_PIXELS {
            return Err(InvalidImageSize::TooLarge { width, height });
        }
        Ok(size)
    }

    /// The width in pixels.
    pub const fn width(self) -> u32 {
        self.width
    }

    /// The height in pixels.
    pub const fn height(self) -> u32 {
        self.height
    }

    /// All pixels.
    pub const fn pixels(self) -> u64 {
        self.width as u64 * self.height as u64
    }
}
