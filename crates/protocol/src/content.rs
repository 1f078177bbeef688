//! The content of a message out of its parts, for dialects that are answered, not forwarded.

use silica_types::{Image, ImageDetail, MediaParts};

use crate::openai::chat::ChatMessage;

/// Text and images in their order.
#[derive(Debug, Default)]
pub(crate) struct Content {
    text: String,
    images: Vec<Image>,
    image_bytes: usize,
    follows_text: bool,
}

impl Content {
    pub(crate) fn of_text(text: String) -> Self {
        Self {
            text,
            follows_text: true,
            ..Self::default()
        }
    }

    /// Adds a text, after a line break when it follows another.
    pub(crate) fn push_text(&mut self, text: &str) {
        if self.follows_text {
            self.text.push('\n');
        }
        self.text.push_str(text);
        self.follows_text = true;
    }

    /// Adds an image that took so many bytes of the request.
    pub(crate) fn push_image(&mut self, url: String, detail: Option<ImageDetail>, bytes: usize) {
        self.images.push(Image {
            at: self.text.len(),
            url,
            detail,
        });
        self.image_bytes += bytes;
        self.follows_text = false;
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.text.is_empty() && self.images.is_empty() && !self.follows_text
    }

    /// The message with this content.
    pub(crate) fn into_message(self) -> ChatMessage {
        ChatMessage {
            content: self.text,
            media: MediaParts {
                images: u32::try_from(self.images.len()).unwrap_or(u32::MAX),
                bytes: self.image_bytes,
                ..MediaParts::default()
            },
            images: self.images,
            ..ChatMessage::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_joined_by_line_breaks_and_parted_by_images() {
        let mut content = Content::default();
        assert!(content.is_empty());
        for part in ["é", "b", "<image>", "c", "d", "<image>"] {
            match part {
                "<image>" => content.push_image("u".to_owned(), None, 10),
                text => content.push_text(text),
            }
        }
        let message = content.into_message();
        let places: Vec<_> = message.images.iter().map(|image| image.at).collect();
        assert_eq!((message.content.as_str(), places), ("é\nbc\nd", vec![4, 7]));
        assert_eq!((message.media.images, message.media.bytes), (2, 20));
    }
}
