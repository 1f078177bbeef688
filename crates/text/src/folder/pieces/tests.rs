use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;
use serde::Deserialize;
use silica_engine::{
    AnswerForm, ChatRequest, Continuation, Message, Priority, Role, Sampling, Thinking, ToolChoice,
};
use silica_types::{SystemClock, TokenCount};

use super::*;
use crate::folder::ModelFolder;
use crate::model::TextModel;
use crate::vocabulary::{LeadingSpace, Vocabulary};

/// All that `tools/parity/make_pieces.py` writes.
const FIXTURES: [&str; 7] = [
    "chatglm3",
    "internlm2",
    "llama",
    "llama-not-legacy",
    "older",
    "unigram-bytes",
    "unigram-nfkc",
];

#[derive(Deserialize)]
struct Expected {
    texts: Vec<Encoded>,
    decoded: Vec<Encoded>,
    first: Vec<u32>,
    chat: Option<Chat>,
}

#[derive(Deserialize)]
struct Encoded {
    text: String,
    ids: Vec<u32>,
}

#[derive(Deserialize)]
struct Chat {
    messages: Vec<(String, String)>,
    ids: Vec<u32>,
}

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/pieces")
        .join(name)
}

fn expected(name: &str) -> Expected {
    let text = fs::read(fixture(name).join("expected.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// The files of a fixture in memory, some of them in place of its own.
fn files(name: &str, changed: &[(&str, &str)]) -> TextFiles {
    let entries = fs::read_dir(fixture(name)).unwrap().map(|entry| entry.unwrap());
    let own = entries.map(|entry| {
        let name = entry.file_name().into_string().unwrap();
        (name, fs::read(entry.path()).unwrap())
    });
    let changed = changed
        .iter()
        .map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()));
    TextFiles::made(&fixture(name), own.chain(changed))
}

fn model(files: TextFiles) -> TextModel {
    TextModel::load(files, 4096, TokenCount(4096), Arc::new(SystemClock)).unwrap()
}

fn request(messages: &[(String, String)]) -> ChatRequest {
    let message = |(name, content): &(String, String)| Message {
        role: if name == "assistant" {
            Role::Assistant
        } else {
            Role::User
        },
        content: content.clone(),
        ..Message::default()
    };
    ChatRequest {
        messages: messages.iter().map(message).collect(),
        tools: Vec::new(),
        tool_choice: ToolChoice::Auto,
        parallel_calls: true,
        form: AnswerForm::Text,
        continuation: Continuation::None,
        sampling: Sampling::greedy(),
        max_tokens: TokenCount(16),
        stop: Vec::new(),
        choices: 1,
        logprobs: None,
        thinking: Thinking::default(),
        demands: Vec::new(),
        priority: Priority::default(),
        account: None,
        image_tokens: None,
        wire: None,
    }
}

/// The ids of one message.
fn asked(model: &TextModel, text: &str) -> Vec<u32> {
    let messages = [("user".to_owned(), text.to_owned())];
    model.prompt(&request(&messages)).unwrap().tokens
}

/// The ids of a text that goes on.
fn continued(model: &TextModel, text: &str) -> Vec<u32> {
    let prompt = model.prompt(&ChatRequest {
        continuation: Continuation::Text(text.to_owned()),
        ..request(&[])
    });
    prompt.unwrap().tokens
}

#[test]
fn texts_become_the_ids_that_sentencepiece_and_its_callers_make() {
    for name in FIXTURES {
        let folder = ModelFolder::read(&files(name, &[])).unwrap();
        let expected = expected(name);
        assert!(expected.texts.len() > 20, "{name}");
        for Encoded { text, ids } in expected.texts {
            let encoding = folder.tokenizer.encode_fast(text.as_str(), false).unwrap();
            assert_eq!(
                encoding.get_ids(),
                ids,
                "{name}: {text:?} is {:?}",
                encoding.get_tokens()
            );
        }
        let first = folder.tokenizer.encode_fast("", true).unwrap();
        assert_eq!(first.get_ids(), expected.first, "{name}");
    }
}

#[test]
fn ids_become_the_texts_that_sentencepiece_makes() {
    for name in FIXTURES {
        let folder = ModelFolder::read(&files(name, &[])).unwrap();
        let vocabulary = Vocabulary::new(&folder.tokenizer).unwrap();
        let mut compared = 0;
        for Encoded { text, ids } in expected(name).decoded {
            // What it shows for the unknown is a matter of taste.
            if ids.contains(&0) {
                continue;
            }
            let bytes: Vec<u8> = ids.iter().flat_map(|id| vocabulary.bytes(*id)).copied().collect();
            let whole = String::from_utf8(bytes).unwrap();
            let shown = match vocabulary.leading_space() {
                LeadingSpace::Keep => whole.as_str(),
                LeadingSpace::AtMost(1) => whole.strip_prefix(' ').unwrap_or(&whole),
                other => panic!("{name}: {other:?}"),
            };
            assert_eq!(shown, text, "{name}");
            compared += 1;
        }
        assert!(compared > 8, "{name}: {compared}");
    }
}

#[test]
fn a_conversation_of_chatglm3_is_what_its_own_code_makes() {
    let model = model(files("chatglm3", &[]));
    let chat = expected("chatglm3").chat.unwrap();
    let prompt = model.prompt(&request(&chat.messages)).unwrap();
    assert_eq!(prompt.tokens, chat.ids);
    // Its own end, and whose turn is next.
    let ids = |text: &str| model.vocabulary().added_token(text).unwrap();
    assert_eq!(
        prompt.stop_tokens,
        [ids("</s>"), ids("<|user|>"), ids("<|observation|>")]
    );
    let pieces = u32::try_from(model.vocabulary().len()).unwrap() - 9;
    assert_eq!((ids("[MASK]"), ids("<|observation|>")), (pieces, pieces + 8));
}

/// The published sizes: 64,789 pieces, and the tokens behind them.
#[test]
fn tokens_of_chatglm3_have_the_published_ids() {
    let mut added = Added::default();
    added.insert_chat_glm(64_789);
    for (text, id) in [
        ("[MASK]", 64_789),
        ("[gMASK]", 64_790),
        ("[sMASK]", 64_791),
        ("sop", 64_792),
        ("eop", 64_793),
        ("<|system|>", 64_794),
        ("<|user|>", 64_795),
        ("<|assistant|>", 64_796),
        ("<|observation|>", 64_797),
    ] {
        assert_eq!(added.named(&[text]), [(text.to_owned(), id)]);
    }
}

#[test]
fn clients_write_no_roles_and_words_stay_whole() {
    let model = model(files("chatglm3", &[]));
    let plain = |text: &str| {
        let tokens = asked(&model, text);
        // Behind the beginning, the role and what follows it, and before the assistant's turn.
        tokens[3..tokens.len() - 1].to_vec()
    };
    let special = |tokens: &[u32]| tokens.iter().any(|id| model.vocabulary().is_special(*id));
    for text in [
        "sop",
        "sop eop",
        "<|user|>sop",
        "sop<|user|>",
        "eopsop",
        "<|assistant|>sop<|user|>",
        "[gMASK]sop",
    ] {
        assert!(!special(&plain(text)), "{text}: {:?}", plain(text));
    }
    // A part of a word is nobody's token, and cutting the word there would give other ids.
    let word = "sophistication, sops and xsop";
    let alone = continued(&model, &format!("\n {word}"));
    assert!(
        alone.ends_with(&plain(word)[2..]),
        "{:?} is no end of {alone:?}",
        plain(word)
    );
}

/// As for any model without a template: texts go on, messages are refused.
#[test]
fn without_a_template_texts_alone_are_continued() {
    let model = model(files("llama", &[]));
    let refused = model
        .prompt(&request(&[("user".to_owned(), "hello".to_owned())]))
        .unwrap_err();
    assert!(refused.to_string().contains("no chat template"), "{refused}");
    let hello = expected("llama")
        .texts
        .into_iter()
        .find(|one| one.text == "hello")
        .unwrap();
    assert_eq!(continued(&model, "hello"), [&[1][..], &hello.ids].concat());
    let first = expected("chatglm3").first;
    assert_eq!(first.len(), 2);
    assert!(continued(&self::model(files("chatglm3", &[])), "hello").starts_with(&first));
}

#[test]
fn roles_that_no_other_file_names_are_those_of_the_model() {
    let folder = ModelFolder::read(&files("chatglm3", &[])).unwrap();
    assert_eq!(
        (folder.bos_token.as_deref(), folder.eos_token.as_deref()),
        (Some("<s>"), Some("</s>"))
    );
    assert!(folder.file.ends_with(PIECES));
}

#[test]
fn a_tokenizer_json_goes_before_the_pieces() {
    let form = fs::read_to_string(crate::testing::tiny_chat().join("tokenizer.json")).unwrap();
    let files = files(
        "llama",
        &[("tokenizer.json", &form), ("tokenizer_config.json", "{}")],
    );
    let folder = ModelFolder::read(&files).unwrap();
    assert!(folder.tokenizer.token_to_id("<|im_end|>").is_some());
}

#[test]
fn symbols_that_a_template_writes_are_none_of_the_clients() {
    let template = ("chat_template.jinja", "{{ messages[0].content }}<br>");
    let model = model(files("internlm2", &[template]));
    let symbol = model.vocabulary().added_token("<br>").unwrap();
    let written = |text: &str| asked(&model, text).into_iter().filter(|id| *id == symbol).count();
    assert_eq!((written("hello"), written("<br>hello<br>")), (1, 1));
}

#[test]
fn tokens_that_cannot_be_are_refused_with_their_file() {
    let long = format!(r#"{{"{}": 7}}"#, "x".repeat(MAX_PIECE_BYTES + 1));
    let decoder = |id: u64| format!(r#"{{"added_tokens_decoder": {{"{id}": {{"content": "<x>"}}}}}}"#);
    for (file, content) in [
        (CONFIG, decoder(1 << 20)),
        (CONFIG, decoder(1 << 31)),
        (CONFIG, decoder(1 << 40)),
        (CONFIG, decoder(5).replace("<x>", "")),
        (
            CONFIG,
            r#"{"added_tokens_decoder": {"x": {"content": "<x>"}}}"#.to_owned(),
        ),
        (ADDED, long),
        (ADDED, r#"{"<x>": -1}"#.to_owned()),
    ] {
        let mut changed = vec![(file, content.as_str())];
        if file == ADDED {
            changed.push((CONFIG, "{}"));
        }
        let refused = ModelFolder::read(&files("llama", &changed)).unwrap_err();
        assert!(refused.to_string().contains(file), "{refused}: {content:.60}");
    }
    // Whole in itself, and beyond the model's logits.
    let far = decoder(5000);
    let far = files("llama", &[(CONFIG, &far)]);
    let refused = TextModel::load(far, 4096, TokenCount(4096), Arc::new(SystemClock)).unwrap_err();
    assert!(
        refused.to_string().contains("tokenizer.model has 5001 token ids"),
        "{refused}"
    );
}

#[test]
fn a_damaged_model_is_refused_with_the_file_and_the_reason() {
    let whole = fs::read(fixture("unigram-nfkc").join(PIECES)).unwrap();
    for length in [0, 1, 100, 3000, whole.len() / 2, whole.len() - 1] {
        let cut = TextFiles::made(&fixture("cut"), [(PIECES, whole[..length].to_vec())]);
        let refused = ModelFolder::read(&cut).unwrap_err();
        let reason = refused.source().map(ToString::to_string).unwrap_or_default();
        assert!(
            refused.to_string().contains("tokenizer.model cannot be read"),
            "{refused}"
        );
        assert!(reason.contains("no SentencePiece model"), "{length}: {reason}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Most of this file are rules for letters, which another library follows: whatever they say, a model or a
    /// reason, and texts or ids, never a panic.
    #[test]
    fn changed_bytes_of_a_file_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)) {
        let mut bytes = fs::read(fixture("unigram-nfkc").join(PIECES)).unwrap();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let changed = TextFiles::made(&fixture("changed"), [(PIECES, bytes)]);
        if let Ok(folder) = ModelFolder::read(&changed) {
            for Encoded { text, .. } in expected("unigram-nfkc").texts {
                drop(folder.tokenizer.encode_fast(text.as_str(), true));
            }
        }
    }
}
