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

/// The images of a body, as many as there should be. If they are not what the request was found to have, nobody
/// knows which of them the engine sees, and none has a known size.
fn images_of(wire: &WireRequest, count: usize) -> Vec<VisionImage> {
    let mut images = Vec::new();
    wire.each_image(|image| images.push(seen(image)));
    if images.len() == count {
        images
    } else {
        vec![VisionImage::default(); count]
    }
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
        likely: tokens.likely,
        ordinary: tokens.ordinary,
        most: tokens.most.max(rule.tokens(&closely).most),
    }
}

#[cfg(test)]
mod tests {
    use silica_engine::WireRoute;
    use silica_types::{MediaParts, ModelName, TokenCount};

    use super::*;

    fn sized(width: u32, height: u32) -> VisionImage {
        VisionImage {
            size: Some(ImageSize::new(width, height).unwrap()),
            detail: None,
        }
    }

    fn body(text: &str) -> WireRequest {
        WireRequest {
            body: text.to_owned().into(),
            members: Vec::new(),
            route: WireRoute::ChatCompletions,
            id: String::new(),
            model: ModelName::new("m").unwrap(),
            media: MediaParts::default(),
            streams: false,
            is_read: false,
        }
    }

    #[test]
    fn an_image_at_an_address_leaves_the_others_what_they_are() {
        let images = [sized(1024, 1024), VisionImage::default(), sized(448, 224)];
        let likely = |rule| counted(rule, &images).likely;
        assert_eq!(likely(VisionRule::QwenVl), TokenCount(1369 + 256 + 128));
        assert_eq!(likely(VisionRule::InternVl2), TokenCount(2560 + 256 + 768));
        let two = counted(VisionRule::DeepSeekVl2, images.get(..2).unwrap());
        assert_eq!(two.likely, TokenCount(2017 + 421));
        assert_eq!(two.ordinary, TokenCount(2 * 2017));
        assert_eq!(two.most, TokenCount(2017 + 2101));
    }

    #[test]
    fn images_that_are_not_those_of_the_request_have_no_known_size() {
        let png = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAABAAAAAQACAYAAAB/HSuD";
        let image = format!(r#"{{"type":"image_url","image_url":{{"url":"{png}"}}}}"#);
        let of = |parts: &str, count| {
            let wire = body(&format!(
                r#"{{"messages":[{{"role":"user","content":[{parts}]}}]}}"#
            ));
            images_of(&wire, count)
        };
        assert_eq!(of(&image, 1), [sized(1024, 1024)]);
        let unknown = VisionImage::default();
        let more = format!("{image},{image},{image}");
        assert_eq!(of(&more, 2), [unknown; 2]);
        assert_eq!(of(&image, 2), [unknown; 2]);
        let decoy = format!(r#"{image},{{"type":"text","text":"x","image_url":"{png}"}}"#);
        assert_eq!(of(&decoy, 1), [sized(1024, 1024)]);
    }
}
