//! Qwen2-VL, Qwen2.5-VL and QVQ (contract platform.md 3.2): a token for every block of 28 x 28 pixels.
//!
//! Both sides are first rounded up to whole blocks. What then has too many or too few blocks is
//! scaled in proportion until it fits: down to whole blocks when it shrinks, up to them when it grows
//! (the contract says only the former; the latter is from the reference).
//!
//! The reference is `smart_resize` of the transformers library (`image_processing_qwen2_vl.py`; paper:
//! Wang et al. 2024, arXiv:2409.12191). It rounds the sides to the nearest block instead (halves to the
//! even one) and scales the unrounded ones, so that an engine's own count is often off by a row or a
//! column of blocks; the published rule and its examples are what is counted here.

use super::ImageSize;

/// The side of a block in pixels: 2 x 2 patches of 14.
const BLOCK: u32 = 28;

/// An image of low detail becomes 448 x 448 pixels.
pub(super) const LOW: u32 = 256;

/// The blocks of 56 x 56 pixels (3,136).
pub(super) const LEAST: u32 = 4;

/// The blocks of 3584 x 3584 pixels (12,845,056).
pub(super) const MOST: u32 = 16_384;

/// Counts an image of high detail.
pub(super) fn tokens(size: ImageSize) -> u32 {
    let rows = size.height().div_ceil(BLOCK);
    let columns = size.width().div_ceil(BLOCK);
    // No overflow: no side has more than 2,341 blocks.
    match rows * columns {
        blocks if blocks > MOST => shrunk(rows, columns) * shrunk(columns, rows),
        blocks if blocks < LEAST => grown(rows, columns) * grown(columns, rows),
        blocks => blocks,
    }
}

/// A side's whole blocks after both were scaled to [`MOST`]: the root of `MOST * side / other`, rounded down.
/// At least one, as no side has [`MOST`] times as many blocks as the other.
const fn shrunk(side: u32, other: u32) -> u32 {
    (MOST * side / other).isqrt()
}

/// A side's whole blocks after both were scaled to [`LEAST`]: the root of `LEAST * side / other`, rounded up.
const fn grown(side: u32, other: u32) -> u32 {
    let square = (LEAST * side).div_ceil(other);
    let root = square.isqrt();
    if root * root < square { root + 1 } else { root }
}
