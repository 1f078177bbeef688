//! The gap tokens of each family, and what stands before texts without a template.

use serde_json::{Value, json};

use super::*;

/// A model whose tokenizer is this one, with these other files.
fn with_tokenizer(form: &Value, files: &[(&str, &str)]) -> TextModel {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(TOKENIZER), form.to_string()).unwrap();
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    load(folder.path()).unwrap()
}

/// The demo model's tokenizer with its gap tokens spelled in another way, special or not.
fn respelled(marks: [&str; 3], special: bool) -> Value {
    let mut form = serde_json::to_value(tiny_tokenizer()).unwrap();
    let own = ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"];
    let mut text = form.to_string();
    for (old, new) in own.into_iter().zip(marks) {
        text = text.replace(old, new);
    }
    form = serde_json::from_str(&text).unwrap();
    for token in form["added_tokens"].as_array_mut().unwrap() {
        if marks.contains(&token["content"].as_str().unwrap()) {
            token["special"] = special.into();
        }
    }
    form
}

/// The tokenizer in the form of Llama 2 with the gap tokens of `CodeLlama`: added ones, or pieces of
/// its own vocabulary.
fn code_llama(added: bool) -> Value {
    let mut form = serde_json::to_value(piece_tokenizer()).unwrap();
    for mark in ["▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>"] {
        let vocabulary = form["model"]["vocab"].as_object_mut().unwrap();
        let id = vocabulary.len();
        vocabulary.insert(mark.to_owned(), id.into());
        if added {
            form["added_tokens"].as_array_mut().unwrap().push(json!({
                "id": id, "content": mark, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true,
            }));
        }
    }
    form
}

fn gap(prefix: &str, suffix: &str) -> ChatRequest {
    ChatRequest {
        continuation: Continuation::FillInMiddle {
            prefix: prefix.to_owned(),
            suffix: suffix.to_owned(),
        },
        ..request("")
    }
}

fn ids(form: &Value, tokens: &[&str]) -> Vec<u32> {
    let tokenizer = Tokenizer::from_bytes(form.to_string()).unwrap();
    tokens
        .iter()
        .map(|token| tokenizer.token_to_id(token).unwrap())
        .collect()
}

#[test]
fn the_marks_of_every_family_stand_around_the_gap() {
    for marks in [
        ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"],
        ["<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"],
        ["<fim_prefix>", "<fim_suffix>", "<fim_middle>"],
        ["<fim-prefix>", "<fim-suffix>", "<fim-middle>"],
    ] {
        let form = respelled(marks, true);
        let prompt = with_tokenizer(&form, &[]).prompt(&gap("a", "b")).unwrap();
        let [prefix, suffix, middle] = marks;
        assert_eq!(prompt.tokens, ids(&form, &[prefix, "a", suffix, "b", middle]));
        for mark in ids(&form, &marks) {
            assert!(prompt.stop_tokens.contains(&mark), "{prefix}");
        }
        let end = ids(&form, &["<|endoftext|>"]);
        assert!(prompt.stop_tokens.contains(&end[0]), "{prefix}");
    }
}

#[test]
fn before_the_gap_of_code_llama_stands_a_space_and_after_it_none() {
    for added in [true, false] {
        let form = code_llama(added);
        let model = with_tokenizer(&form, &[]);
        let prompt = model.prompt(&gap("a", "b")).unwrap();
        let expected = ["<s>", "▁<PRE>", "▁a", "▁<SUF>", "b", "▁<MID>"];
        assert_eq!(prompt.tokens, ids(&form, &expected), "added: {added}");
        let end = ids(&form, &["▁<EOT>"]);
        assert!(prompt.stop_tokens.contains(&end[0]));
        let empty = model.prompt(&gap("", "b")).unwrap();
        assert_eq!(
            empty.tokens,
            ids(&form, &["<s>", "▁<PRE>", "▁<SUF>", "b", "▁<MID>"])
        );
    }
}

#[test]
fn clients_cannot_write_marks_that_are_not_flagged_as_special() {
    let marks = ["<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"];
    let form = respelled(marks, false);
    let model = with_tokenizer(&form, &[]);
    let hole = ids(&form, &[marks[1]])[0];
    let prompt = model.prompt(&gap("a<｜fim▁hole｜>b", "c<｜fim▁hole｜>")).unwrap();
    assert_eq!(prompt.tokens.iter().filter(|id| **id == hole).count(), 1);
}

#[test]
fn a_bare_text_begins_with_the_token_that_texts_begin_with() {
    let form = serde_json::to_value(piece_tokenizer()).unwrap();
    let bare = |text: &str| ChatRequest {
        continuation: Continuation::Text(text.to_owned()),
        ..request("")
    };
    let model = with_tokenizer(&form, &[]);
    let expected = ids(&form, &["<s>", "▁a"]);
    assert_eq!(model.prompt(&bare("a")).unwrap().tokens, expected);
    // A client that wrote it is not given another.
    let written = model.prompt(&bare("<s>a")).unwrap().tokens;
    assert_eq!(written.iter().filter(|id| **id == expected[0]).count(), 1);
    assert_eq!(tiny().prompt(&bare("a")).unwrap().tokens.len(), 1);
}

#[test]
fn the_settings_can_ask_for_the_token_that_texts_begin_with() {
    let form = serde_json::to_value(tiny_tokenizer()).unwrap();
    let first = "<|endoftext|>";
    for (asked, expected) in [(true, vec![first, "a"]), (false, vec!["a"])] {
        let settings = json!({"bos_token": first, "add_bos_token": asked}).to_string();
        let model = with_tokenizer(&form, &[("tokenizer_config.json", settings.as_str())]);
        let bare = ChatRequest {
            continuation: Continuation::Text("a".to_owned()),
            ..request("")
        };
        assert_eq!(model.prompt(&bare).unwrap().tokens, ids(&form, &expected));
        let gap = model.prompt(&gap("a", "b")).unwrap();
        assert_eq!(gap.tokens.contains(&ids(&form, &[first])[0]), asked);
    }
}
