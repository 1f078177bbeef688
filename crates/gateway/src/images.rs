//! Counts the images of a chat by the rule of its model.

use silica_engine::{ChatRequest, EngineError, ImageTokens, WireImage, WireRequest};
use silica_platform::{CatalogueModel, ImageSize, VisionImage, VisionRule};
use silica_types::ImageDetail;

use crate::GatewayError;

/// Bodies up to this size are looked through where they are; larger ones on the blocking pool, in bytes.
const LARGEST_DIRECT: usize = 64 * 1024;

/// What the images of a chat take; `None` when it has none, or nobody knows the model's rule.
pub(crate) async fn image_tokens(
    model: &CatalogueModel,
    request: &ChatRequest,
) -> Result<Option<ImageTokens>, GatewayError> {
    let count = usize::try_from(request.media().images).unwrap_or(usize::MAX);
    let Some(rule) = model.vision_rule().filter(|_| count > 0) else {
        return Ok(None);
    };
    let images = match &request.wire {
        Some(wire) if wire.body.len() > LARGEST_DIRECT => {
            let wire = wire.clone();
            let looking = tokio::task::spawn_blocking(move || images_of(&wire, count));
            looking.await.map_err(EngineError::failed)?
        }
        Some(wire) => images_of(wire, count),
        None => request
            .messages
            .iter()
            .flat_map(|message| &message.images)
            .map(VisionImage::from)
            .collect(),
    };
    Ok(Some(counted(rule, &images)))
}

/// The images of a body, as many as there should be. One that is not found has no known size.
fn images_of(wire: &WireRequest, count: usize) -> Vec<VisionImage> {
    let mut images = Vec::new();
    wire.each_image(|image| images.push(seen(image)));
    if images.len() < count {
        images.resize(count, VisionImage::default());
    }
    images
}

fn seen(image: &WireImage<'_>) -> VisionImage {
    VisionImage {
        size: ImageSize::of_data_url(&image.url).ok(),
        detail: match image.detail.as_deref() {
            Some("low") => Some(ImageDetail::Low),
            Some("auto") => Some(ImageDetail::Auto),
            Some(_) => Some(ImageDetail::High),
            None => None,
        },
    }
}

/// The client's wish for little detail is not believed in what is reserved: not every engine obeys it, and what an
/// engine reports is charged.
fn counted(rule: VisionRule, images: &[VisionImage]) -> ImageTokens {
    let tokens = rule.tokens(images);
    let closely: Vec<VisionImage> = images
        .iter()
        .map(|image| VisionImage {
            detail: None,
            ..*image
        })
        .collect();
    ImageTokens {
        likely: tokens.exact(),
        ordinary: tokens.ordinary,
        most: tokens.most.max(rule.tokens(&closely).most),
    }
}
