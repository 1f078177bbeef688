//! A tokenizer in which every id of the vocabulary decodes to something printable.
//!
//! The first 256 tokens are the bytes, so any text can be encoded, one token a byte. The others
//! are invented words that no text encodes to, but that a model with random weights writes.

use serde_json::{Map, Value, json};

use super::shape::Shape;

const SPECIAL: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];

const CHAT_TEMPLATE: &str = "{%- for message in messages %}\
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}\
{%- endfor %}\
{%- if add_generation_prompt %}\
{{- '<|im_start|>assistant\\n' }}\
{%- endif %}";

pub(super) fn tokenizer(shape: &Shape) -> Value {
    let byte_level =
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": true});
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": special_tokens(shape),
        "normalizer": null,
        "pre_tokenizer": byte_level,
        "post_processor": null,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": null,
            "continuing_subword_prefix": null,
            "end_of_word_suffix": null,
            "fuse_unk": false,
            "byte_fallback": false,
            "ignore_merges": false,
            "vocab": vocabulary(shape),
            "merges": [],
        },
    })
}

pub(super) fn tokenizer_config(shape: &Shape) -> Value {
    let decoder: Map<String, Value> = special_tokens(shape)
        .into_iter()
        .filter_map(|mut token| {
            let id = token.as_object_mut()?.remove("id")?;
            Some((id.to_string(), token))
        })
        .collect();
    json!({
        "add_prefix_space": false,
        "added_tokens_decoder": decoder,
        "bos_token": null,
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": false,
        "eos_token": "<|im_end|>",
        "model_max_length": shape.context,
        "pad_token": "<|endoftext|>",
        "tokenizer_class": "Qwen2Tokenizer",
    })
}

fn special_tokens(shape: &Shape) -> Vec<Value> {
    let token = |(offset, content): (usize, &&str)| {
        json!({
            "id": shape.first_special + offset,
            "content": content,
            "single_word": false,
            "lstrip": false,
            "rstrip": false,
            "normalized": false,
            "special": true,
        })
    };
    SPECIAL.iter().enumerate().map(token).collect()
}

fn vocabulary(shape: &Shape) -> Map<String, Value> {
    (0..shape.vocabulary)
        .map(|id| (token(shape, id), Value::from(id)))
        .collect()
}

fn token(shape: &Shape, id: usize) -> String {
    let special = id
        .checked_sub(shape.first_special)
        .and_then(|offset| SPECIAL.get(offset));
    match (u8::try_from(id), special) {
        (_, Some(special)) => (*special).to_owned(),
        (Ok(byte), None) => byte_character(byte).to_string(),
        (Err(_), None) => invented_word(id),
    }
}

/// The character that byte-level tokenizers write for a byte: itself where that is printable, else
/// one from a free range.
fn byte_character(byte: u8) -> char {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    if printable(byte) {
        return char::from(byte);
    }
    let earlier = (0..byte).filter(|other| !printable(*other)).count();
    u32::try_from(earlier)
        .ok()
        .and_then(|earlier| char::from_u32(256 + earlier))
        .unwrap_or('?')
}

/// A space and four or more syllables' letters; different for each id.
fn invented_word(id: usize) -> String {
    const CONSONANTS: &[u8] = b"bdfgklmnprstvz";
    const VOWELS: &[u8] = b"aeiou";
    // Byte-level tokenizers write a space so.
    let mut word = String::from('\u{120}');
    let mut rest = id;
    while rest > 0 {
        word.push(char::from(CONSONANTS[rest % CONSONANTS.len()]));
        rest /= CONSONANTS.len();
        word.push(char::from(VOWELS[rest % VOWELS.len()]));
        rest /= VOWELS.len();
    }
    word
}
