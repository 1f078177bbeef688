//! The stated estimates for engines that are not asked to count before they run.
//!
//! | what | estimate |
//! |---|---|
//! | prompt, by which token limits reserve | a token for every 2 bytes, 16 a message, 32 a call: more than ordinary text has |
//! | prompt, by which money is reserved | a token a byte, 16 a message, 32 a call; with tools 64 a tool and 256 a call: more than any text has, as a token has a byte or more |
//! | prompt, of a call that is cut before the engine reported | a token for every 4 bytes, 4 a message |
//! | an image, each of these three ways | by the model's rule, counted by whoever asks ([`silica_engine::ImageTokens`]); without one 2,560; 16,384; 256 |
//! | a video | 16,384; 115,200; 256 |
//! | a sound | 3,900; 46,800; 13 |
//! | completion, of a call that is cut before the engine reported | a token a frame with text, or if that is more: beyond the first 32 bytes a token for every 6 bytes of ASCII and every 12 others, without those that repeat the byte before them in the frame |
//!
//! Bytes are those of UTF-8; quotients are rounded up.
//!
//! The completion is counted over all frames together, not frame by frame. Engines that send a
//! frame a token are billed their frames: a single token may be long (a word, a run of blanks), but
//! texts have fewer bytes a token than the rule divides by (about 4 in English and less in code; 5
//! in Chinese; up to 10 in scripts of two or three bytes a letter), so that in ordinary text the
//! second part does not outweigh the first. It is there for engines that put several tokens into a
//! frame (speculative decoding, stream intervals), which it counts low rather than high. Engines
//! that can should report their usage in every frame, see
//! [`crate::RemoteOptions::continuous_usage`].
//!
//! Of an answer in one piece all text is one frame: engines that report no usage for it are counted by
//! the second part alone, low rather than high.
//!
//! Media are counted, not looked at; their own bytes in the request are no text. Only images whose sizes and
//! rule are known to whoever asks are known here, too; of these the three ways differ only where
//! a size is not known (billed is an image of low detail then), and by the most, which does not believe that
//! an engine obeys a wish for little detail or rounds as the published rule does. Without a rule the most is what no model takes: an image of 3584 x 3584 pixels is 16,384
//! tokens of 28 x 28 pixels for Qwen2-VL and Qwen2.5-VL, and others have fewer (the platform's contract, section 3: `InternVL2` 3,328, `DeepSeek-VL2`
//! 2,101 and GLM-4V 6,144); all frames of a video together are 115,200 for Qwen2.5-VL (0.9 x 128,000
//! in its own preprocessing); an hour of sound has 13 tokens a second. Ordinary is an image of 1024 x
//! 1024 pixels where it is dearest (2,560 for `InternVL2`), a video as large as an image may be, and five
//! minutes of sound. Billed without a report is the least, an image of low detail (256) and a second of
//! sound.
//!
//! What a template adds by itself, such as instructions of its own, is in none of the prompt's
//! estimates but the spare tokens.

use silica_engine::{ChatRequest, Continuation, ImageTokens, Message, Tool};
use silica_types::{MediaParts, TokenCount};

/// What a byte of text weighs; a token weighs [`TOKEN_WEIGHT`].
const ASCII_WEIGHT: u64 = 4;
const OTHER_WEIGHT: u64 = 2;
const TOKEN_WEIGHT: u64 = 24;
/// What the first tokens may weigh more than the average: 32 bytes of ASCII.
const FORGIVEN_WEIGHT: u64 = 32 * ASCII_WEIGHT;

/// What templates write around each tool, and around all of them, in tokens.
const TOOL_TOKENS: usize = 64;
const TOOLS_TOKENS: usize = 256;

/// Tokens of media: of an image, a video and a sound.
struct MediaTokens {
    image: usize,
    video: usize,
    sound: usize,
}

/// What ordinary media do not exceed.
const ORDINARY_MEDIA: MediaTokens = MediaTokens {
    image: 2560,
    video: 16_384,
    sound: 3900,
};
/// What none exceed.
const MOST_MEDIA: MediaTokens = MediaTokens {
    image: 16_384,
    video: 115_200,
    sound: 46_800,
};
/// What all have.
const LEAST_MEDIA: MediaTokens = MediaTokens {
    image: 256,
    video: 256,
    sound: 13,
};

impl MediaTokens {
    /// With all images together counted elsewhere, where they were.
    fn of(&self, media: MediaParts, images: Option<TokenCount>) -> usize {
        let all = |count: u32, each: usize| {
            usize::try_from(count).map_or(usize::MAX, |count| count.saturating_mul(each))
        };
        let counted = images.map(|tokens| usize::try_from(tokens.get()).unwrap_or(usize::MAX));
        counted
            .unwrap_or_else(|| all(media.images, self.image))
            .saturating_add(all(media.videos, self.video))
            .saturating_add(all(media.sounds, self.sound))
    }
}

/// How large a prompt is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct PromptSize {
    /// All texts of all messages, and the tools as JSON.
    pub(crate) bytes: usize,
    pub(crate) messages: usize,
    pub(crate) tools: usize,
    pub(crate) media: MediaParts,
    /// What the images are, where the model's rule is known.
    pub(crate) images: Option<ImageTokens>,
}

impl PromptSize {
    /// Of texts that stand alone, by their lengths in bytes.
    pub(crate) fn of_texts(texts: impl Iterator<Item = usize>) -> Self {
        texts.fold(Self::default(), |size, bytes| Self {
            bytes: size.bytes + bytes,
            messages: size.messages + 1,
            ..size
        })
    }

    /// The same, with no fewer bytes of text.
    pub(crate) fn at_least(self, bytes: usize) -> Self {
        Self {
            bytes: self.bytes.max(bytes),
            ..self
        }
    }

    pub(crate) fn of(request: &ChatRequest) -> Self {
        let messages: usize = request.messages.iter().map(message_bytes).sum();
        let continued = match &request.continuation {
            Continuation::None => 0,
            Continuation::Text(text) | Continuation::Prefix(text) => text.len(),
            Continuation::FillInMiddle { prefix, suffix } => prefix.len() + suffix.len(),
        };
        // Those that are hidden are not sent.
        let tools: &[Tool] = if request.tool_choice.shows_tools() {
            &request.tools
        } else {
            &[]
        };
        Self {
            bytes: messages + continued + tools.iter().map(tool_bytes).sum::<usize>(),
            messages: request.messages.len(),
            tools: tools.len(),
            media: request.media(),
            images: request.image_tokens,
        }
    }

    /// What ordinary text does not exceed.
    pub(crate) fn ordinary(self) -> TokenCount {
        let text = self.bytes.div_ceil(2) + 16 * self.messages + 32;
        tokens(text.saturating_add(ORDINARY_MEDIA.of(self.media, self.images.map(|images| images.ordinary))))
    }

    /// What no prompt exceeds: a token of text has at least one byte.
    pub(crate) fn upper_bound(self) -> TokenCount {
        let tools = match self.tools {
            0 => 0,
            count => TOOL_TOKENS * count + TOOLS_TOKENS,
        };
        let text = self.bytes.saturating_add(16 * self.messages + tools + 32);
        tokens(text.saturating_add(MOST_MEDIA.of(self.media, self.images.map(|images| images.most))))
    }

    /// What is likely, for a call whose engine never reported.
    pub(crate) fn likely(self) -> TokenCount {
        let text = self.bytes.div_ceil(4) + 4 * self.messages;
        tokens(text.saturating_add(LEAST_MEDIA.of(self.media, self.images.map(|images| images.likely))))
    }
}

/// Text that was forwarded, of one call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Forwarded {
    frames: u64,
    weight: u64,
}

impl Forwarded {
    /// Adds a frame whose text weighs this much. A frame without text adds nothing.
    pub(crate) const fn add(&mut self, weight: u64) {
        if weight > 0 {
            self.frames += 1;
            self.weight += weight;
        }
    }

    /// The tokens of all frames together.
    pub(crate) fn tokens(self) -> TokenCount {
        let by_weight = self.weight.saturating_sub(FORGIVEN_WEIGHT).div_ceil(TOKEN_WEIGHT);
        TokenCount(u32::try_from(self.frames.max(by_weight)).unwrap_or(u32::MAX))
    }
}

/// What a text weighs, zero only when it is empty. Repetitions weigh nothing: tokens of many blanks
/// or dashes are usual.
pub(crate) fn weight(text: &str) -> u64 {
    let mut last = None;
    let mut weight = 0;
    for byte in text.bytes() {
        if last.replace(byte) != Some(byte) {
            weight += if byte.is_ascii() {
                ASCII_WEIGHT
            } else {
                OTHER_WEIGHT
            };
        }
    }
    weight
}

fn tokens(count: usize) -> TokenCount {
    TokenCount(u32::try_from(count).unwrap_or(u32::MAX))
}

/// The bytes of a message's texts.
pub(crate) fn message_bytes(message: &Message) -> usize {
    let optional = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let calls = message.tool_calls.iter();
    message.content.len()
        + optional(&message.reasoning)
        + optional(&message.tool_call_id)
        + optional(&message.name)
        + calls
            .map(|call| call.id.len() + call.name.len() + call.arguments.len())
            .sum::<usize>()
}

fn tool_bytes(tool: &Tool) -> usize {
    tool.name.len()
        + tool.description.as_ref().map_or(0, String::len)
        + tool
            .parameters
            .as_ref()
            .map_or(0, |schema| schema.to_string().len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_limited_at_two_bytes_a_token_reserved_at_one_and_billed_at_four() {
        let size = |bytes, messages, tools| PromptSize {
            bytes,
            messages,
            tools,
            ..PromptSize::default()
        };
        assert_eq!(size(0, 0, 0).ordinary(), TokenCount(32));
        assert_eq!(size(11, 2, 1).ordinary(), TokenCount(6 + 32 + 32));
        assert_eq!(size(0, 0, 0).upper_bound(), TokenCount(32));
        assert_eq!(size(11, 2, 0).upper_bound(), TokenCount(11 + 32 + 32));
        assert_eq!(
            size(11, 2, 3).upper_bound(),
            TokenCount(11 + 32 + 3 * 64 + 256 + 32)
        );
        assert_eq!(size(usize::MAX, 1, 1).upper_bound(), TokenCount(u32::MAX));
        assert_eq!(size(11, 2, 1).likely(), TokenCount(3 + 8));
        assert_eq!(size(usize::MAX, 0, 0).likely(), TokenCount(u32::MAX));
    }

    #[test]
    fn media_have_a_number_of_tokens_each() {
        let size = PromptSize {
            media: MediaParts {
                images: 2,
                videos: 1,
                sounds: 3,
                bytes: 1_000_000,
            },
            ..PromptSize::default()
        };
        assert_eq!(size.ordinary(), TokenCount(32 + 2 * 2560 + 16_384 + 3 * 3900));
        assert_eq!(
            size.upper_bound(),
            TokenCount(32 + 2 * 16_384 + 115_200 + 3 * 46_800)
        );
        assert_eq!(size.likely(), TokenCount(2 * 256 + 256 + 3 * 13));
        let many = PromptSize {
            media: MediaParts {
                videos: u32::MAX,
                ..MediaParts::default()
            },
            ..size
        };
        assert_eq!(many.upper_bound(), TokenCount(u32::MAX));
    }

    #[test]
    fn images_that_a_rule_counts_are_what_it_says() {
        let images = ImageTokens {
            likely: TokenCount(5),
            ordinary: TokenCount(70),
            most: TokenCount(900),
        };
        let size = |images| PromptSize {
            media: MediaParts {
                images: 2,
                ..MediaParts::default()
            },
            images: Some(images),
            ..PromptSize::default()
        };
        assert_eq!(size(images).ordinary(), TokenCount(32 + 70));
        assert_eq!(size(images).upper_bound(), TokenCount(32 + 900));
        assert_eq!(size(images).likely(), TokenCount(5));
    }

    fn forwarded(texts: &[&str]) -> u32 {
        let mut forwarded = Forwarded::default();
        for text in texts {
            forwarded.add(weight(text));
        }
        forwarded.tokens().get()
    }

    #[test]
    fn engines_that_send_a_frame_a_token_are_billed_their_frames() {
        assert_eq!(forwarded(&[]), 0);
        assert_eq!(forwarded(&["", "a", ""]), 1);
        assert_eq!(forwarded(&[&" ".repeat(32)]), 1);
        // Cut as tokenizers with large vocabularies cut: with long words, deep code, and scripts of
        // several bytes a letter.
        for tokens in [
            &[
                "The",
                " internationalization",
                " of",
                " a",
                " program",
                " is",
                " more",
                " than",
                " a",
                " translation",
                " of",
                " its",
                " words",
                ",",
                " as",
                " we",
                " shall",
                " see",
                ".",
            ][..],
            &[
                "\n                       ",
                " if",
                " value",
                " is",
                " None",
                ":",
                "\n                           ",
                " return",
                " default",
                "(",
                "key",
                ")",
            ],
            &[
                "中华人民共和国",
                "成立",
                "了",
                "，",
                "全国",
                "人民",
                "都",
                "在",
                "欢呼",
                "。",
            ],
            &[
                "Это",
                " обычное",
                " предложение",
                " на",
                " русском",
                " языке",
                ",",
                " не",
                " бо",
                "лее",
                ".",
            ],
            &["วัน", "นี้", "อากาศ", "ดี", "มาก", " เรา", "ไป", "เที่ยว", "กัน", "ไหม"],
        ] {
            let tokens = tokens.repeat(50);
            assert_eq!(forwarded(&tokens) as usize, tokens.len(), "{tokens:?}");
        }
    }

    #[test]
    fn frames_of_several_tokens_are_billed_by_their_bytes() {
        let words = |bytes: usize| "ab".repeat(bytes / 2);
        assert_eq!(forwarded(&[&words(32)]), 1);
        assert_eq!(forwarded(&[&words(44)]), 2);
        assert_eq!(forwarded(&[&words(632)]), 100);
        assert_eq!(forwarded(&[words(14).as_str(); 100]), 228);
        // Of the others 64 bytes are forgiven.
        assert_eq!(forwarded(&[&"é".repeat(400)]), 62);
        assert_eq!(forwarded(&[&"-".repeat(400)]), 1);
    }

    #[test]
    fn every_text_of_a_message_and_the_tools_are_measured() {
        let message = Message {
            content: "abc".to_owned(),
            reasoning: Some("de".to_owned()),
            tool_call_id: Some("f".to_owned()),
            name: Some("g".to_owned()),
            tool_calls: vec![silica_engine::ToolCall {
                id: "h".to_owned(),
                name: "ij".to_owned(),
                arguments: "{}".to_owned(),
            }],
            ..Message::default()
        };
        let tool = Tool {
            name: "ij".to_owned(),
            description: Some("é".to_owned()),
            parameters: Some(serde_json::json!({"a": 1})),
            strict: false,
        };
        assert_eq!(message_bytes(&message), 12);
        assert_eq!(tool_bytes(&tool), 2 + 2 + 7);
    }
}
