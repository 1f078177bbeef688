//! The images of a body that nobody here reads as a whole.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// An image of a message, in the words of the body.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct WireImage<'a> {
    /// Its address, or the image itself in a `data:` URL.
    #[serde(borrow)]
    pub url: Cow<'a, str>,
    /// How closely it is to be looked at.
    #[serde(borrow, default)]
    pub detail: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    messages: Vec<Message<'a>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Part<'a> {
    /// Only a part that says it is an image is one to whoever counts them.
    #[serde(borrow, rename = "type", default)]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default)]
    image_url: Option<&'a RawValue>,
}

/// Shows every image of a body's messages, in their order, as far as they can be read.
pub(super) fn each(body: &[u8], mut show: impl FnMut(&WireImage<'_>)) {
    let Ok(body) = serde_json::from_slice::<Body<'_>>(body) else {
        return;
    };
    let contents = body.messages.iter().filter_map(|message| message.content);
    for content in contents.filter(|content| content.get().starts_with('[')) {
        let parts = serde_json::from_str::<Vec<Part<'_>>>(content.get()).unwrap_or_default();
        let images = parts.iter().filter(|part| part.is_image());
        for image in images.filter_map(|part| part.image_url) {
            if let Some(image) = read(image.get()) {
                show(&image);
            }
        }
    }
}

impl Part<'_> {
    fn is_image(&self) -> bool {
        let kind = self
            .kind
            .and_then(|kind| serde_json::from_str::<Cow<'_, str>>(kind.get()).ok());
        kind.is_some_and(|kind| kind == "image_url")
    }
}

/// Reads an image; some clients send the address itself.
fn read(text: &str) -> Option<WireImage<'_>> {
    if text.starts_with('{') {
        return serde_json::from_str(text).ok();
    }
    let url = serde_json::from_str(text).ok()?;
    Some(WireImage { url, detail: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(body: &str) -> Vec<(String, Option<String>)> {
        let mut images = Vec::new();
        each(body.as_bytes(), |image| {
            let detail = image.detail.as_deref().map(str::to_owned);
            images.push((image.url.clone().into_owned(), detail));
        });
        images
    }

    #[test]
    fn images_are_found_where_they_stand_and_nowhere_else() {
        let body = r#"{"image_url":{"url":"no"},"messages":[{"content":"text"},{"role":"user","content":[
            {"type":"text","text":"x"},{"type":"image_url","image_url":{"url":"a","detail":"low","z":1}},
            {"type":"image_url","image_url":"b"},{"type":"image_url","image_url":5},{"image_url":"no"},
            {"type":"text","text":"x","image_url":{"url":"no"}},{"type":5,"image_url":"no"}]},
            {"content":null},{"content":[{"type":"image\u005furl","image_url":{"url":"c\u0021"}}]}]}"#;
        let image = |url: &str, detail: Option<&str>| (url.to_owned(), detail.map(str::to_owned));
        assert_eq!(
            images(body),
            [image("a", Some("low")), image("b", None), image("c!", None)]
        );
        assert_eq!(images("no json"), []);
    }
}
