use proptest::prelude::*;
use silica_engine::TopLogprob;
use tokenizers::Tokenizer;

use super::*;
use crate::testing::{piece_tokenizer, tiny_tokenizer};

fn vocabulary(tokenizer: &Tokenizer) -> Arc<Vocabulary> {
    Arc::new(Vocabulary::new(tokenizer).unwrap())
}

/// The text of each step, the rest at the end as the last one.
fn steps(vocabulary: &Arc<Vocabulary>, ids: &[u32], continues: bool) -> Vec<String> {
    let mut detokenizer = Detokenizer::new(Arc::clone(vocabulary), Vec::new(), continues);
    let mut steps = Vec::new();
    for id in ids.iter().map(Some).chain([None]) {
        let mut output = Vec::new();
        match id {
            Some(id) => detokenizer.push(*id, None, &mut output),
            None => detokenizer.flush(&mut output),
        }
        let text = |piece: Piece| match piece {
            Piece::Text(fragment) | Piece::Marker(_, fragment) => fragment.into_text(),
        };
        steps.push(output.into_iter().map(text).collect());
    }
    steps
}

fn entry(text: &str) -> TextLogprob {
    let token = TopLogprob {
        text: text.to_owned(),
        bytes: text.as_bytes().to_vec(),
        logprob: -1.0,
    };
    TextLogprob {
        token,
        top: Vec::new(),
    }
}

#[test]
fn half_characters_wait_for_their_other_half() {
    let tokenizer = piece_tokenizer();
    let byte = |byte: u32| byte + 3;
    let ids = [byte(0xF0), byte(0x9F), byte(0x99), byte(0x82), byte(0xE5)];
    assert_eq!(
        steps(&vocabulary(&tokenizer), &ids, false),
        ["", "", "", "🙂", "", "\u{fffd}"]
    );
}

#[test]
fn bytes_that_can_be_no_character_are_replaced_at_once() {
    let tokenizer = piece_tokenizer();
    let a = tokenizer.token_to_id("a").unwrap();
    let ids = [0xFF + 3, 0xE5 + 3, a];
    assert_eq!(
        steps(&vocabulary(&tokenizer), &ids, false),
        ["\u{fffd}", "", "\u{fffd}a", ""]
    );
}

#[test]
fn the_first_space_goes_unless_the_text_continues_another() {
    let tokenizer = piece_tokenizer();
    let ids = tokenizer.encode("a b", false).unwrap().get_ids().to_vec();
    let vocabulary = vocabulary(&tokenizer);
    assert_eq!(steps(&vocabulary, &ids, false).concat(), "a b");
    assert_eq!(steps(&vocabulary, &ids, true).concat(), " a b");
}

#[test]
fn special_tokens_have_no_text_and_marks_are_marks() {
    let tokenizer = tiny_tokenizer();
    let vocabulary = vocabulary(&tokenizer);
    let id = |text: &str| tokenizer.token_to_id(text).unwrap();
    assert_eq!(
        steps(&vocabulary, &[id("<|im_end|>"), id("a")], false),
        ["", "a", ""]
    );
    let mut detokenizer = Detokenizer::new(vocabulary, vec![(id("<think>"), Marker::ThinkOpen)], false);
    let mut output = Vec::new();
    detokenizer.push(id("<think>"), None, &mut output);
    assert_eq!(
        output,
        [Piece::Marker(Marker::ThinkOpen, Fragment::from("<think>"))]
    );
}

#[test]
fn every_token_of_a_character_is_reported_with_it() {
    let vocabulary = vocabulary(&piece_tokenizer());
    let mut detokenizer = Detokenizer::new(vocabulary, Vec::new(), false);
    let mut output = Vec::new();
    for (id, name) in [(0xC3 + 3, "first"), (0xA9 + 3, "second")] {
        detokenizer.push(id, Some(entry(name)), &mut output);
    }
    let expected = Fragment::new("é".to_owned(), vec![(0, entry("first")), (0, entry("second"))]);
    assert_eq!(output, [Piece::Text(expected)]);
}

proptest! {
    #[test]
    fn byte_level_text_equals_the_full_decode(ids in prop::collection::vec(0_u32..3017, 0..60)) {
        let tokenizer = byte_level();
        let expected = tokenizer.0.decode(&ids, true).unwrap();
        prop_assert_eq!(steps(&tokenizer.1, &ids, false).concat(), expected);
    }

    #[test]
    fn piece_text_equals_the_full_decode(text in "[ab é好🙂\n]{0,24}") {
        let tokenizer = pieces();
        let ids = tokenizer.0.encode(text.as_str(), false).unwrap().get_ids().to_vec();
        let expected = tokenizer.0.decode(&ids, true).unwrap();
        prop_assert_eq!(steps(&tokenizer.1, &ids, false).concat(), expected);
    }

    #[test]
    fn whole_pieces_in_any_order_equal_the_full_decode(ids in prop::collection::vec(259_u32..269, 0..30)) {
        let tokenizer = pieces();
        let expected = tokenizer.0.decode(&ids, true).unwrap();
        prop_assert_eq!(steps(&tokenizer.1, &ids, false).concat(), expected);
    }
}

type Loaded = &'static (Tokenizer, Arc<Vocabulary>);

fn byte_level() -> Loaded {
    static LOADED: std::sync::OnceLock<(Tokenizer, Arc<Vocabulary>)> = std::sync::OnceLock::new();
    LOADED.get_or_init(|| (tiny_tokenizer(), vocabulary(&tiny_tokenizer())))
}

fn pieces() -> Loaded {
    static LOADED: std::sync::OnceLock<(Tokenizer, Arc<Vocabulary>)> = std::sync::OnceLock::new();
    LOADED.get_or_init(|| (untruncated(), vocabulary(&piece_tokenizer())))
}

fn untruncated() -> Tokenizer {
    let mut tokenizer = piece_tokenizer();
    tokenizer.with_truncation(None).unwrap();
    tokenizer
}
