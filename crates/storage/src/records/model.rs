//! Catalogue models: what clients can name in a request.

use jiff::Timestamp;
use silica_billing::{Limits, Price, VisionRule};
use silica_types::{ModelName, code_enum};

code_enum! {
    /// The kind of a model's output.
    ModelType, "model type", {
        /// Text, vectors and scores.
        Text = "text",
        /// Images.
        Image = "image",
        /// Speech in either direction.
        Audio = "audio",
        /// Videos.
        Video = "video",
    }
}

code_enum! {
    /// What a model does; each belongs to one [`ModelType`].
    SubType, "sub type", {
        /// Answers messages.
        Chat = "chat",
        /// Turns text into vectors.
        Embedding = "embedding",
        /// Orders documents by a query.
        Reranker = "reranker",
        /// Makes an image from text.
        TextToImage = "text-to-image",
        /// Makes an image from an image.
        ImageToImage = "image-to-image",
        /// Transcribes speech.
        SpeechToText = "speech-to-text",
        /// Speaks text.
        TextToSpeech = "text-to-speech",
        /// Makes a video from text.
        TextToVideo = "text-to-video",
    }
}

impl SubType {
    /// Returns the type that the sub type belongs to.
    pub const fn model_type(self) -> ModelType {
        match self {
            Self::Chat | Self::Embedding | Self::Reranker => ModelType::Text,
            Self::TextToImage | Self::ImageToImage => ModelType::Image,
            Self::SpeechToText | Self::TextToSpeech => ModelType::Audio,
            Self::TextToVideo => ModelType::Video,
        }
    }
}

code_enum! {
    /// Something that a model can do beyond its sub type.
    ModelFeature, "feature", {
        /// JSON mode.
        Json = "json",
        /// Tool calls.
        Tools = "tools",
        /// Fill in the middle.
        Fim = "fim",
        /// Continuation of a given beginning of the answer.
        Prefix = "prefix",
        /// Thinking before the answer.
        Reasoning = "reasoning",
        /// Images in the prompt.
        Vision = "vision",
        /// Fine-tuning.
        FineTune = "fine-tune",
    }
}

code_enum! {
    /// Whether calls of a model are admitted.
    ModelStatus, "model status", {
        /// Callable.
        Normal = "normal",
        /// Refused with code 30003.
        Disabled = "disabled",
    }
}

/// One model of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueModel {
    /// The name that clients send.
    pub id: ModelName,
    /// The kind of its output.
    pub model_type: ModelType,
    /// What it does.
    pub sub_type: SubType,
    /// Tokens of prompt and answer together; `None` means that the engine's own limit holds.
    pub context_length: Option<u32>,
    /// What else it can do, sorted, without repetition.
    pub features: Vec<ModelFeature>,
    /// How it turns images into tokens; `None` leaves that to its name, or to an estimate.
    pub vision: Option<VisionRule>,
    /// Labels for the console, in the operator's order.
    pub tags: Vec<String>,
    /// What it costs.
    pub price: Price,
    /// Its rate limits; `None` means none.
    pub limits: Option<Limits>,
    /// Whether only verified accounts may call it.
    pub real_name: bool,
    /// Whether only the paid balance may pay for it.
    pub charge_only: bool,
    /// Whether it is callable.
    pub status: ModelStatus,
    /// A text for people; empty when the operator gave none.
    pub description: String,
    /// When it was first stored, whole microseconds.
    pub created_at: Timestamp,
    /// When it was last changed, whole microseconds.
    pub updated_at: Timestamp,
}
