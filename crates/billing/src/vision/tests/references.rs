//! The rules beside the models' own preprocessing, written down once more in binary fractions.

use proptest::prelude::*;

use super::bounds::sides;
use super::*;

/// What the models' preprocessing in Python chose: width and height, then columns and rows for
/// `InternVL2` and for `DeepSeek-VL2`.
const CHOSEN: [[(u32, u32); 3]; 16] = [
    [(1, 1), (1, 1), (1, 1)],
    [(640, 480), (4, 3), (2, 2)],
    [(480, 640), (3, 4), (2, 2)],
    [(1920, 1080), (4, 2), (4, 2)],
    [(1080, 1920), (2, 4), (2, 4)],
    [(4000, 3000), (4, 3), (3, 3)],
    [(3024, 4032), (3, 4), (3, 3)],
    [(300, 250), (4, 3), (1, 1)],
    [(2480, 3508), (2, 3), (3, 3)],
    [(800, 200), (4, 1), (3, 1)],
    [(200, 800), (1, 4), (1, 3)],
    [(5000, 400), (12, 1), (9, 1)],
    [(449, 448), (1, 1), (2, 2)],
    [(10_000, 100), (12, 1), (9, 1)],
    [(385, 384), (1, 1), (2, 1)],
    [(1000, 1500), (2, 3), (2, 3)],
];

fn intern_tokens((columns, rows): (u32, u32)) -> u32 {
    match columns * rows {
        1 => 256,
        tiles => (tiles + 1) * 256,
    }
}

fn deepseek_tokens((columns, rows): (u32, u32)) -> u32 {
    (columns * rows + 1) * 196 + (columns + 1) * 14 + 1
}

#[test]
fn grids_are_those_of_the_models_own_preprocessing() {
    for [(width, height), intern, deepseek] in CHOSEN {
        let of = |rule| high(rule, height, width);
        assert_eq!(
            of(VisionRule::InternVl2),
            intern_tokens(intern),
            "{width} x {height}"
        );
        assert_eq!(
            of(VisionRule::DeepSeekVl2),
            deepseek_tokens(deepseek),
            "{width} x {height}"
        );
    }
}

/// Grids of up to so many tiles, columns and rows.
fn grids(most: u32) -> impl Iterator<Item = (u32, u32)> {
    (1..=most).flat_map(move |columns| (1..=most / columns).map(move |rows| (columns, rows)))
}

/// Scales in binary fractions, as `smart_resize` does, but blocks that were rounded up.
fn qwen_in_fractions(width: u32, height: u32) -> f64 {
    let (rows, columns) = (
        f64::from(height.div_ceil(28) * 28),
        f64::from(width.div_ceil(28) * 28),
    );
    let pixels = rows * columns;
    if pixels > 12_845_056.0 {
        let shrink = (pixels / 12_845_056.0).sqrt();
        (rows / shrink / 28.0).floor() * (columns / shrink / 28.0).floor()
    } else if pixels < 3136.0 {
        let grow = (3136.0 / pixels).sqrt();
        (rows * grow / 28.0).ceil() * (columns * grow / 28.0).ceil()
    } else {
        rows * columns / 784.0
    }
}

/// The share of an image's pixels that survive in a grid, and the share of the grid that they fill,
/// without whole pixels.
fn deepseek_in_fractions(width: f64, height: f64, (columns, rows): (u32, u32)) -> (f64, f64) {
    let (most_width, most_height) = (f64::from(columns) * 384.0, f64::from(rows) * 384.0);
    let scale = (most_width / width).min(most_height / height);
    let surviving = (width * height * scale * scale).min(width * height);
    (surviving, most_width * most_height)
}

/// What `smart_resize` in Python makes of some images (height, width, and the blocks), the larger number of its
/// versions.
const RESIZED: [(u32, u32, u32); 8] = [
    (3585, 3584, 128 * 128),
    (3584, 3584, 128 * 128),
    (1024, 1024, 37 * 37),
    (1022, 1022, 36 * 36),
    (1050, 1050, 38 * 38),
    (1006, 28, 36),
    (13, 20, 2 * 3),
    (13, 100, 6),
];

#[test]
fn the_most_is_no_less_than_the_models_own_preprocessing_takes() {
    let both = |rule: VisionRule, height, width| {
        let tokens = rule.tokens(&[image(width, height, None)]);
        (tokens.ordinary.get(), tokens.most.get())
    };
    for (height, width, own) in RESIZED {
        let (published, most) = both(VisionRule::QwenVl, height, width);
        assert_eq!(most, published.max(own), "{height} x {width}");
    }
    assert_eq!(both(VisionRule::QwenVl, 3585, 3584), (16_256, 16_384));
    // The published rule marks the columns of tiles, the models their rows.
    assert_eq!(both(VisionRule::DeepSeekVl2, 3456, 384), (1989, 2101));
    assert_eq!(both(VisionRule::DeepSeekVl2, 384, 3456), (2101, 2101));
    for [(width, height), _, (columns, rows)] in CHOSEN {
        let expected = deepseek_tokens((columns.max(rows), columns.min(rows)));
        assert_eq!(both(VisionRule::DeepSeekVl2, height, width).1, expected);
    }
}

proptest! {
    #[test]
    fn qwen_counts_what_binary_fractions_count((width, height) in sides()) {
        let tokens = f64::from(high(VisionRule::QwenVl, height, width));
        prop_assert!((tokens - qwen_in_fractions(width, height)).abs() < 0.5);
    }

    #[test]
    fn internvl2_takes_a_grid_that_none_is_closer_than((width, height) in sides()) {
        let tokens = high(VisionRule::InternVl2, height, width);
        let ratio = f64::from(width) / f64::from(height);
        let distance = |(columns, rows)| (ratio - f64::from(columns) / f64::from(rows)).abs();
        let least = grids(12).map(distance).fold(f64::INFINITY, f64::min);
        let close = |grid: &(u32, u32)| distance(*grid) <= least * (1.0 + 1e-9) + 1e-12;
        prop_assert!(grids(12).filter(close).any(|grid| intern_tokens(grid) == tokens));
    }

    #[test]
    fn deepseek_vl2_takes_a_grid_in_which_no_more_could_survive((width, height) in sides()) {
        let tokens = high(VisionRule::DeepSeekVl2, height, width);
        let of = |grid| deepseek_in_fractions(f64::from(width), f64::from(height), grid);
        let most = grids(9).map(|grid| of(grid).0).fold(0.0, f64::max);
        // Cutting to whole pixels may cost a row and a column of them.
        let good = |grid: &(u32, u32)| of(*grid).0 >= most - 2.0 * 3456.0 - 1.0;
        prop_assert!(grids(9).filter(good).any(|grid| deepseek_tokens(grid) == tokens));
        // What survives whole survives in the smallest grid that has room for it.
        if most >= f64::from(width) * f64::from(height) {
            let smallest = grids(9).filter(|grid| of(*grid).0 >= most).map(|(columns, rows)| columns * rows).min();
            prop_assert_eq!(Some((tokens - 1) / 196 - 1), smallest);
        }
    }
}
