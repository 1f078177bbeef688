//! `DeepSeek-VL2` (contract platform.md 3.4): 196 tokens for every tile of 384 x 384 pixels.
//!
//! The image is fitted into the grid of up to 9 tiles in which most of its pixels survive, and shown
//! once more as a whole in a tile of its own. Every tile is 14 x 14 tokens; 14 more stand for each
//! column of tiles and for the whole image, and one parts the two.
//!
//! The reference is `select_best_resolution` and `tokenize_with_images` in `processing_deepseek_vl_v2.py`
//! (paper: Wu et al. 2024, arXiv:2412.10302). It fits with binary fractions, which cut a pixel off a few
//! sizes; here it is exact. And it ends every *row* of tokens with a mark, 14 for each row of tiles:
//! the published formula and its examples count the columns, and that is what is charged where nobody
//! reports. An engine may differ by 14 for every row more than columns, at most 112; see [`own_tokens`].

use std::cmp::Reverse;

use super::ImageSize;

/// The side of a tile in pixels.
const TILE_SIDE: u32 = 384;
const TILE: u64 = TILE_SIDE as u64;
const TILE_TOKENS: u32 = 196;
const MARK_TOKENS: u32 = 14;
const MOST_TILES: u32 = 9;

/// A request with more images has each of them resized to one tile, whatever its `detail`.
pub(super) const MOST_IN_DETAIL: usize = 2;

/// An image of low detail becomes one tile.
pub(super) const LOW: u32 = ONE_TILE.tokens();

/// One tile.
pub(super) const LEAST: u32 = ONE_TILE.tokens();

/// The most tiles, all in one row.
pub(super) const MOST: u32 = Grid {
    columns: MOST_TILES,
    rows: 1,
}
.tokens();

const ONE_TILE: Grid = Grid { columns: 1, rows: 1 };

/// Counts an image of high detail.
pub(super) fn tokens(size: ImageSize) -> u32 {
    best(size).tokens()
}

/// Counts an image of high detail as the reference does: fitted in binary fractions, with a mark for each row.
pub(super) fn own_tokens(size: ImageSize) -> u32 {
    let (width, height) = (f64::from(size.width()), f64::from(size.height()));
    let worth = |grid: &Grid| {
        let side = |tiles: u32| f64::from(tiles * TILE_SIDE);
        let (most_width, most_height) = (side(grid.columns), side(grid.rows));
        let scale = (most_width / width).min(most_height / height);
        let fitted = (width * scale).floor() * (height * scale).floor();
        let surviving = fitted.min(width * height);
        (surviving, surviving - most_width * most_height)
    };
    let best = grids().max_by(|one, other| {
        let (one, other) = (worth(one), worth(other));
        one.0.total_cmp(&other.0).then(one.1.total_cmp(&other.1))
    });
    let Grid { columns, rows } = best.unwrap_or(ONE_TILE);
    // Its columns are the published formula's rows.
    let turned = Grid {
        columns: rows,
        rows: columns,
    };
    turned.tokens()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Grid {
    columns: u32,
    rows: u32,
}

impl Grid {
    const fn tokens(self) -> u32 {
        (self.columns * self.rows + 1) * TILE_TOKENS + (self.columns + 1) * MARK_TOKENS + 1
    }

    /// How well it suits an image: by the pixels that survive, then by the fewer that stay empty.
    fn worth(self, size: ImageSize) -> (u64, Reverse<u64>) {
        let (width, height) = (u64::from(size.width()), u64::from(size.height()));
        let (most_width, most_height) = (u64::from(self.columns) * TILE, u64::from(self.rows) * TILE);
        // The image touches the sides of the grid, or its top and bottom.
        let (fitted_width, fitted_height) = if most_width * height <= most_height * width {
            (most_width, height * most_width / width)
        } else {
            (width * most_height / height, most_height)
        };
        let surviving = (fitted_width * fitted_height).min(size.pixels());
        (surviving, Reverse(most_width * most_height - surviving))
    }
}

fn grids() -> impl Iterator<Item = Grid> {
    (1..=MOST_TILES).flat_map(|columns| (1..=MOST_TILES / columns).map(move |rows| Grid { columns, rows }))
}

/// The grid that suits an image best. No two are equally good: what fits into both fits into a smaller one.
fn best(size: ImageSize) -> Grid {
    grids().max_by_key(|grid| grid.worth(size)).unwrap_or(ONE_TILE)
}
