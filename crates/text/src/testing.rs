//! What the tests of this crate share.

use std::path::{Path, PathBuf};

use serde_json::json;
use tokenizers::Tokenizer;

/// The demo model's folder: a byte-level tokenizer and a Qwen-like template.
pub(crate) fn tiny_chat() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tiny-chat")
}

/// The demo model's tokenizer.
pub(crate) fn tiny_tokenizer() -> Tokenizer {
    Tokenizer::from_file(tiny_chat().join("tokenizer.json")).unwrap()
}

/// A small tokenizer in the form of Llama 2: pieces with U+2581 for spaces, bytes for the rest,
/// one space removed at the beginning.
pub(crate) fn piece_tokenizer() -> Tokenizer {
    let mut vocabulary = serde_json::Map::new();
    let bytes = (0..=u8::MAX).map(|byte| format!("<0x{byte:02X}>"));
    let pieces = [
        "▁", "a", "b", "▁a", "▁b", "ab", "▁ab", "é", "好", "▁▁", "<", ">", "/", "s",
    ];
    for (id, piece) in ["<unk>", "<s>", "</s>"]
        .into_iter()
        .map(str::to_owned)
        .chain(bytes)
        .enumerate()
    {
        vocabulary.insert(piece, id.into());
    }
    for piece in pieces {
        vocabulary.insert(piece.to_owned(), vocabulary.len().into());
    }
    let special = |id: u32, content: &str| {
        json!({ "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true })
    };
    let form = json!({
        "version": "1.0", "truncation": { "direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0 },
        "padding": null,
        "added_tokens": [special(0, "<unk>"), special(1, "<s>"), special(2, "</s>")],
        "normalizer": { "type": "Sequence", "normalizers": [
            { "type": "Prepend", "prepend": "▁" },
            { "type": "Replace", "pattern": { "String": " " }, "content": "▁" } ] },
        "pre_tokenizer": null,
        "post_processor": { "type": "TemplateProcessing",
            "single": [ { "SpecialToken": { "id": "<s>", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } } ],
            "pair": [ { "Sequence": { "id": "A", "type_id": 0 } }, { "Sequence": { "id": "B", "type_id": 1 } } ],
            "special_tokens": { "<s>": { "id": "<s>", "ids": [1], "tokens": ["<s>"] } } },
        "decoder": { "type": "Sequence", "decoders": [
            { "type": "Replace", "pattern": { "String": "▁" }, "content": " " },
            { "type": "ByteFallback" }, { "type": "Fuse" },
            { "type": "Strip", "content": " ", "start": 1, "stop": 0 } ] },
        "model": { "type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "vocab": vocabulary,
            "merges": [["▁", "a"], ["▁", "b"], ["a", "b"], ["▁a", "b"], ["▁", "▁"]] },
    });
    Tokenizer::from_bytes(form.to_string()).unwrap()
}
