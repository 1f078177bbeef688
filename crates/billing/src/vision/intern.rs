//! `InternVL2` (contract platform.md 3.3): 256 tokens for every tile of 448 x 448 pixels.
//!
//! The image is stretched onto the grid of up to 12 tiles whose shape is closest to its own, and
//! shown once more as a whole in a tile of its own if it fills more than one.
//!
//! The reference is `dynamic_preprocess` of the model's card with `use_thumbnail` (paper: Chen et al. 2024,
//! arXiv:2404.16821). "Closest" is the smallest difference between width by height and columns by rows.
//! The reference takes it of binary fractions; here it is exact, which differs only for an image
//! that lies precisely between two grids.

use super::ImageSize;

/// The side of a tile in pixels.
const TILE: u64 = 448;
const TILE_TOKENS: u32 = 256;
const MOST_TILES: u32 = 12;

/// An image of low detail becomes one tile.
pub(super) const LOW: u32 = TILE_TOKENS;

/// One tile.
pub(super) const LEAST: u32 = TILE_TOKENS;

/// The most tiles, and the whole image in one.
pub(super) const MOST: u32 = (MOST_TILES + 1) * TILE_TOKENS;

/// Counts an image of high detail.
pub(super) fn tokens(size: ImageSize) -> u32 {
    match closest(size).tiles() {
        1 => TILE_TOKENS,
        tiles => (tiles + 1) * TILE_TOKENS,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Grid {
    columns: u32,
    rows: u32,
}

impl Grid {
    const fn tiles(self) -> u32 {
        self.columns * self.rows
    }

    /// How far its shape is from the image's, as a fraction of the image's height.
    fn distance(self, size: ImageSize) -> Fraction {
        let (width, height) = (u64::from(size.width()), u64::from(size.height()));
        let (columns, rows) = (u64::from(self.columns), u64::from(self.rows));
        Fraction {
            above: (width * rows).abs_diff(height * columns),
            below: rows,
        }
    }
}

struct Fraction {
    above: u64,
    below: u64,
}

impl Fraction {
    /// How this one compares to another: both, multiplied by both denominators.
    const fn crossed(&self, other: &Self) -> (u64, u64) {
        (self.above * other.below, other.above * self.below)
    }
}

/// The closest grid; of several the larger one only if the image fills more than half of it.
///
/// Grids of one number of tiles may come in any order: two of them are never equally close and closer
/// than all others.
fn closest(size: ImageSize) -> Grid {
    let mut best = Grid { columns: 1, rows: 1 };
    for grid in (1..=MOST_TILES).flat_map(grids_of) {
        let (distance, least) = grid.distance(size).crossed(&best.distance(size));
        let fills_half = size.pixels() * 2 > u64::from(grid.tiles()) * TILE * TILE;
        if distance < least || (distance == least && fills_half) {
            best = grid;
        }
    }
    best
}

fn grids_of(tiles: u32) -> impl Iterator<Item = Grid> {
    (1..=tiles)
        .filter(move |columns| tiles.is_multiple_of(*columns))
        .map(move |columns| Grid {
            columns,
            rows: tiles / columns,
        })
}
