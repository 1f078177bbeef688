//! Every example of the contract (platform.md, section 3), and what it says in words.

use super::*;

#[test]
fn qwen_224_by_448_is_8_by_16_blocks() {
    assert_eq!(high(VisionRule::QwenVl, 224, 448), 128);
}

#[test]
fn qwen_1024_by_1024_is_37_by_37_blocks() {
    assert_eq!(high(VisionRule::QwenVl, 1024, 1024), 1369);
}

#[test]
fn qwen_3172_by_4096_shrinks_to_112_by_145_blocks() {
    assert_eq!(high(VisionRule::QwenVl, 3172, 4096), 16_240);
}

#[test]
fn qwen_has_4_to_16384_blocks() {
    assert_eq!(high(VisionRule::QwenVl, 3584, 3584), 16_384);
    assert_eq!(high(VisionRule::QwenVl, 9000, 9000), 16_384);
    assert_eq!(high(VisionRule::QwenVl, 56, 56), 4);
    assert_eq!(high(VisionRule::QwenVl, 1, 1), 4);
    // Two blocks become 3 by 2, three of them 4 by 2: the roots of 8 and 2, 12 and 4/3, rounded up.
    assert_eq!(high(VisionRule::QwenVl, 28, 56), 6);
    assert_eq!(high(VisionRule::QwenVl, 84, 28), 8);
}

#[test]
fn internvl2_224_by_448_is_2_tiles_and_itself() {
    assert_eq!(high(VisionRule::InternVl2, 224, 448), 768);
}

#[test]
fn internvl2_1024_by_1024_is_9_tiles_and_itself() {
    assert_eq!(high(VisionRule::InternVl2, 1024, 1024), 2560);
}

#[test]
fn internvl2_2048_by_4096_is_8_tiles_and_itself() {
    assert_eq!(high(VisionRule::InternVl2, 2048, 4096), 2304);
}

#[test]
fn internvl2_takes_the_larger_grid_only_when_more_than_half_of_it_is_filled() {
    // 4 tiles are half filled by 401,408 pixels, 9 by 903,168.
    assert_eq!(high(VisionRule::InternVl2, 633, 633), 256);
    assert_eq!(high(VisionRule::InternVl2, 634, 634), 5 * 256);
    assert_eq!(high(VisionRule::InternVl2, 950, 950), 5 * 256);
    assert_eq!(high(VisionRule::InternVl2, 951, 951), 10 * 256);
    // The same with 2 and with 8 tiles of one shape.
    assert_eq!(high(VisionRule::InternVl2, 448, 896), 3 * 256);
    assert_eq!(high(VisionRule::InternVl2, 633, 1266), 3 * 256);
    assert_eq!(high(VisionRule::InternVl2, 634, 1268), 9 * 256);
}

#[test]
fn deepseek_vl2_384_by_768_is_2_tiles_and_itself() {
    assert_eq!(high(VisionRule::DeepSeekVl2, 384, 768), 631);
}

#[test]
fn deepseek_vl2_1024_by_1024_is_9_tiles_and_itself() {
    assert_eq!(high(VisionRule::DeepSeekVl2, 1024, 1024), 2017);
}

#[test]
fn deepseek_vl2_2048_by_4096_is_8_tiles_in_4_columns() {
    assert_eq!(high(VisionRule::DeepSeekVl2, 2048, 4096), 1835);
}

#[test]
fn deepseek_vl2_4096_by_2048_is_8_tiles_in_2_columns() {
    assert_eq!(high(VisionRule::DeepSeekVl2, 4096, 2048), 1807);
}

#[test]
fn deepseek_vl2_one_tile_is_421() {
    assert_eq!(high(VisionRule::DeepSeekVl2, 384, 384), 421);
}

#[test]
fn low_and_auto_are_low_and_unset_is_high() {
    let of = |rule, detail| exact(rule, &[image(4096, 2048, detail)]);
    for (rule, low, high) in [
        (VisionRule::QwenVl, 256, 74 * 147),
        (VisionRule::InternVl2, 256, 2304),
        (VisionRule::DeepSeekVl2, 421, 1835),
    ] {
        assert_eq!(of(rule, Some(ImageDetail::Low)), low, "{rule}");
        assert_eq!(of(rule, Some(ImageDetail::Auto)), low, "{rule}");
        assert_eq!(of(rule, Some(ImageDetail::High)), high, "{rule}");
        assert_eq!(of(rule, None), high, "{rule}");
    }
}

#[test]
fn deepseek_vl2_makes_each_of_more_than_two_images_one_tile() {
    let large = image(4096, 2048, Some(ImageDetail::High));
    let rule = VisionRule::DeepSeekVl2;
    assert_eq!(exact(rule, &[large; 2]), 2 * 1835);
    assert_eq!(exact(rule, &[large; 3]), 3 * 421);
    // Their sizes do not matter then.
    assert_eq!(exact(rule, &[VisionImage::default(); 4]), 4 * 421);
}

#[test]
fn other_rules_count_each_image_by_itself() {
    let images = [
        image(448, 224, None),
        image(1024, 1024, None),
        image(9, 9, Some(ImageDetail::Low)),
    ];
    assert_eq!(exact(VisionRule::QwenVl, &images), 128 + 1369 + 256);
    assert_eq!(exact(VisionRule::InternVl2, &images), 768 + 2560 + 256);
}

#[test]
fn names_are_those_of_the_configuration() {
    let names: Vec<String> = ALL_RULES
        .iter()
        .map(|rule| serde_json::to_string(rule).unwrap())
        .collect();
    assert_eq!(names, [r#""qwen-vl""#, r#""internvl2""#, r#""deepseek-vl2""#]);
    assert_eq!(
        serde_json::from_str::<VisionRule>(r#""internvl2""#).unwrap(),
        VisionRule::InternVl2
    );
    let error = serde_json::from_str::<VisionRule>(r#""gpt""#)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("known are qwen-vl, internvl2, deepseek-vl2"),
        "{error}"
    );
}

#[test]
fn well_known_models_have_their_rule_by_name() {
    for (name, rule) in [
        ("Qwen/Qwen2-VL-72B-Instruct", Some(VisionRule::QwenVl)),
        ("Pro/Qwen/Qwen2.5-VL-7B-Instruct", Some(VisionRule::QwenVl)),
        ("Qwen/QVQ-72B-Preview", Some(VisionRule::QwenVl)),
        ("Pro/OpenGVLab/InternVL2-8B", Some(VisionRule::InternVl2)),
        ("OpenGVLab/InternVL2-26B", Some(VisionRule::InternVl2)),
        ("deepseek-ai/deepseek-vl2", Some(VisionRule::DeepSeekVl2)),
        ("Qwen/Qwen2.5-7B-Instruct", None),
        ("vendor/Qwen/Qwen2-VL", None),
    ] {
        assert_eq!(VisionRule::of_model(name), rule, "{name}");
    }
}
