mod bounds;
mod examples;
mod files;
mod references;

use super::*;

const ALL_RULES: &[VisionRule] = VisionRule::ALL;

fn size(width: u32, height: u32) -> ImageSize {
    ImageSize::new(width, height).unwrap()
}

fn image(width: u32, height: u32, detail: Option<ImageDetail>) -> VisionImage {
    VisionImage {
        size: Some(size(width, height)),
        detail,
    }
}

/// One image without `detail`, by height and width as the contract writes them.
fn high(rule: VisionRule, height: u32, width: u32) -> u32 {
    exact(rule, &[image(width, height, None)])
}

fn exact(rule: VisionRule, images: &[VisionImage]) -> u32 {
    rule.tokens(images).exact().expect("the sizes are known").get()
}
