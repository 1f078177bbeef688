//! Qwen2-VL, Qwen2.5-VL and QVQ (contract platform.md 3.2): a token for every block of 28 x 28 pixels.
//!
//! Both sides are first rounded up to whole blocks. What then has too many or too few blocks is
//! scaled in proportion until it fits: down to whole blocks when it shrinks, up to them when it grows
//! (the contract says only the former; the latter is from the reference).
//!
//! The reference is `smart_resize` of the transformers library (`image_processing_qwen2_vl.py`; paper:
//! Wang et al. 2024, arXiv:2409.12191). It rounds the sides to the nearest block instead (halves to the
//! even one) and scales the unrounded ones, so that an engine's own count is often off by a row or a
//! column of blocks. The published rule and its examples are what is charged where nobody reports; what is
//! reserved is no less than the reference has, see [`own_tokens`].

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

/// Counts an image of high detail as the reference does, in the same binary fractions. Some of its versions leave
/// a side no block, others one at least; it is the larger number of both.
pub(super) fn own_tokens(size: ImageSize) -> u32 {
    let (height, width) = (f64::from(size.height()), f64::from(size.width()));
    let rounded = |side: f64| (side / f64::from(BLOCK)).round_ties_even();
    let of = |least: f64| {
        let blocks = rounded(height).max(least) * rounded(width).max(least);
        if blocks > f64::from(MOST) {
            let shrink = (height * width / pixels(MOST)).sqrt();
            let whole = |side: f64| (side / shrink / f64::from(BLOCK)).floor().max(1.0);
            whole(height) * whole(width)
        } else if blocks < f64::from(LEAST) {
            let grow = (pixels(LEAST) / (height * width)).sqrt();
            let whole = |side: f64| (side * grow / f64::from(BLOCK)).ceil();
            whole(height) * whole(width)
        } else {
            blocks
        }
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number from 1 to 16,384"
    )]
    let tokens = of(0.0).max(of(1.0)) as u32;
    tokens
}

/// The pixels of so many blocks.
fn pixels(blocks: u32) -> f64 {
    f64::from(blocks * BLOCK * BLOCK)
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
