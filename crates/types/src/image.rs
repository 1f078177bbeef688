//! Images of messages.

use std::fmt;

use serde::Serialize;

/// An image that stands in the text of a message.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Image {
    /// The bytes of the message's text before it.
    pub at: usize,
    /// Its address, or the image itself in a `data:` URL.
    pub url: String,
    /// How closely it is looked at, if the client says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<ImageDetail>,
}

/// How closely a model looks at an image, which decides how many tokens it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageDetail {
    /// The model decides.
    Auto,
    /// As few tokens as there are.
    Low,
    /// As many as the image has use for.
    High,
}

/// Does not show the image: it is a prompt.
impl fmt::Debug for Image {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Image")
            .field("at", &self.at)
            .field("bytes", &self.url.len())
            .field("detail", &self.detail)
            .finish()
    }
}
