//! What holds for images of any size.

use proptest::prelude::*;

use super::*;

/// Sides of every order of magnitude, not only long ones.
pub(super) fn sides() -> impl Strategy<Value = (u32, u32)> {
    let side = || prop_oneof![1..=60_u32, 1..=2000_u32, 1..=ImageSize::MOST_SIDE];
    (side(), side()).prop_filter("the size is one", |(width, height)| {
        ImageSize::new(*width, *height).is_ok()
    })
}

fn details() -> impl Strategy<Value = Option<ImageDetail>> {
    prop::sample::select(vec![
        None,
        Some(ImageDetail::High),
        Some(ImageDetail::Low),
        Some(ImageDetail::Auto),
    ])
}

fn rules() -> impl Strategy<Value = VisionRule> {
    prop::sample::select(ALL_RULES)
}

fn unknown(images: &[VisionImage]) -> Vec<VisionImage> {
    images
        .iter()
        .map(|image| VisionImage { size: None, ..*image })
        .collect()
}

proptest! {
    #[test]
    fn known_images_are_within_the_bounds_of_unknown_ones(
        rule in rules(),
        sizes in prop::collection::vec((sides(), details()), 0..5),
    ) {
        let images: Vec<_> = sizes
            .into_iter()
            .map(|((width, height), detail)| image(width, height, detail))
            .collect();
        let known = rule.tokens(&images);
        let bounds = rule.tokens(&unknown(&images));
        prop_assert_eq!(known.least, known.likely);
        prop_assert_eq!(known.least, known.ordinary);
        prop_assert!(known.ordinary <= known.most);
        prop_assert!(bounds.least <= known.least, "{:?} {:?}", bounds, known);
        prop_assert!(known.most <= bounds.most, "{:?} {:?}", bounds, known);
        prop_assert!(bounds.least <= bounds.likely && bounds.likely <= bounds.ordinary);
        prop_assert!(bounds.least <= bounds.ordinary && bounds.ordinary <= bounds.most);
    }

    #[test]
    fn another_image_is_never_free(rule in rules(), side in sides(), detail in details()) {
        let one = image(side.0, side.1, detail);
        prop_assert!(exact(rule, &[one]) > 0);
        prop_assert!(exact(rule, &[one; 4]) > exact(rule, &[one; 3]));
    }

    #[test]
    fn qwen_counts_upright_and_level_images_alike((width, height) in sides()) {
        prop_assert_eq!(
            high(VisionRule::QwenVl, height, width),
            high(VisionRule::QwenVl, width, height)
        );
    }

    #[test]
    fn qwen_shrinks_no_more_than_it_must((width, height) in sides()) {
        let (rows, columns) = (height.div_ceil(28), width.div_ceil(28));
        let tokens = high(VisionRule::QwenVl, height, width);
        match rows * columns {
            blocks @ 4..=16_384 => prop_assert_eq!(tokens, blocks),
            0..4 => prop_assert!((4..=8).contains(&tokens)),
            // Less than one row and one column are lost.
            _ => {
                let shape = (f64::from(rows) / f64::from(columns)).sqrt();
                let least = (128.0 * shape - 1.0) * (128.0 / shape - 1.0);
                prop_assert!(f64::from(tokens) > least && tokens <= 16_384);
            }
        }
    }

    #[test]
    fn sizes_are_refused_exactly_when_they_are_empty_or_too_large(width: u32, height: u32) {
        let pixels = u64::from(width) * u64::from(height);
        let fine = pixels > 0 && pixels <= ImageSize::MOST_PIXELS && width.max(height) <= ImageSize::MOST_SIDE;
        prop_assert_eq!(ImageSize::new(width, height).is_ok(), fine);
    }
}

#[test]
fn the_bounds_are_those_that_images_have() {
    let bounds = |rule: VisionRule| {
        let tokens = rule.tokens(&[VisionImage::default()]);
        assert_eq!(tokens.exact(), None);
        [tokens.least, tokens.ordinary, tokens.most].map(TokenCount::get)
    };
    assert_eq!(bounds(VisionRule::QwenVl), [4, 1369, 16_384]);
    assert_eq!(bounds(VisionRule::InternVl2), [256, 2560, 3328]);
    assert_eq!(bounds(VisionRule::DeepSeekVl2), [421, 2017, 2101]);
    // There are images at the ends.
    assert_eq!(high(VisionRule::InternVl2, 100, 1200), 3328);
    assert_eq!(high(VisionRule::DeepSeekVl2, 384, 3456), 2101);
}

#[test]
fn no_image_has_no_tokens_and_too_many_do_not_wrap() {
    for rule in ALL_RULES {
        assert_eq!(rule.tokens(&[]), VisionTokens::default());
    }
    let many = vec![image(3584, 3584, None); 300_000];
    assert_eq!(exact(VisionRule::QwenVl, &many), u32::MAX);
}

#[test]
fn the_longest_and_thinnest_images_are_within_bounds() {
    for (width, height) in [
        (1, ImageSize::MOST_SIDE),
        (ImageSize::MOST_SIDE, 1),
        (ImageSize::MOST_SIDE, 2730),
    ] {
        assert!((4..=16_384).contains(&high(VisionRule::QwenVl, height, width)));
        assert_eq!(high(VisionRule::InternVl2, height, width), 3328);
        assert!((421..=2101).contains(&high(VisionRule::DeepSeekVl2, height, width)));
    }
}

#[test]
fn what_is_no_size_says_so() {
    assert_eq!(
        ImageSize::new(0, 7).unwrap_err().to_string(),
        "an image of 0 x 7 pixels has none"
    );
    assert_eq!(
        ImageSize::new(20_000, 20_000).unwrap_err().to_string(),
        "an image of 20000 x 20000 pixels is too large: a side has at most 65535 and all of it 178956970"
    );
    assert!(ImageSize::new(65_536, 1).is_err());
}
