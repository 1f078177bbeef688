//! GGUF files that cannot be served are refused with the file and the reason named, never with a
//! panic, and without taking the memory they ask for.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "test support: what fails here is a failed test"
)]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use silica_engine_candle::{CandleEngine, CandleOptions, GGUF_WEIGHTS, GgufModel, LoadError, inspect};

/// Type numbers of values.
const U32: u32 = 4;
const F32: u32 = 6;
const TEXT: u32 = 8;
const ARRAY: u32 = 9;

fn fixture(name: &str) -> Vec<u8> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gguf");
    fs::read(fixtures.join(name).join("model-f16.gguf")).unwrap()
}

/// The metadata of the demo model, with a whole tokenizer.json in it.
fn demo() -> Vec<u8> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gguf");
    fs::read(fixtures.join("tiny-chat-text.gguf")).unwrap()
}

fn open(bytes: &[u8]) -> (PathBuf, Result<GgufModel, LoadError>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.gguf");
    fs::write(&path, bytes).unwrap();
    let opened = GgufModel::open(&path);
    (path, opened)
}

/// The whole chain of messages; asserts that the first names the file.
fn refusal(bytes: &[u8]) -> String {
    let (path, opened) = open(bytes);
    let Err(error) = opened else {
        panic!("the file was accepted")
    };
    chain(&path, &error)
}

/// As [`refusal`], for a file whose header is good and whose tensors are not.
fn refusal_at_load(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.gguf");
    fs::write(&path, bytes).unwrap();
    GgufModel::open(&path).unwrap();
    refusal_of(&path, &path)
}

/// Loads a model that must be refused with this file named.
fn refusal_of(model: &Path, file: &Path) -> String {
    let options = CandleOptions {
        threads: Some(1),
        ..CandleOptions::default()
    };
    let Err(error) = CandleEngine::load(model, options) else {
        panic!("the model was accepted")
    };
    chain(file, &error)
}

fn chain(path: &Path, error: &LoadError) -> String {
    let mut text = error.to_string();
    assert!(text.contains(&path.display().to_string()), "{text}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[track_caller]
fn assert_refused(bytes: &[u8], reason: &str) {
    let text = refusal(bytes);
    assert!(text.contains(reason), "`{text}` does not say `{reason}`");
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

/// A header with these numbers of tensors and settings, and then whatever is given.
fn header(tensors: u64, settings: u64, rest: &[u8]) -> Vec<u8> {
    let mut bytes = b"GGUF\x03\0\0\0".to_vec();
    bytes.extend(tensors.to_le_bytes());
    bytes.extend(settings.to_le_bytes());
    bytes.extend(rest);
    bytes
}

fn setting(key: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    let mut bytes = text(key);
    bytes.extend(kind.to_le_bytes());
    bytes.extend(value);
    bytes
}

fn array(kind: u32, count: u64) -> Vec<u8> {
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.extend(count.to_le_bytes());
    bytes
}

fn tensor(name: &str, sizes: &[u64], kind: u32, offset: u64) -> Vec<u8> {
    let mut bytes = text(name);
    bytes.extend(u32::try_from(sizes.len()).unwrap().to_le_bytes());
    bytes.extend(sizes.iter().flat_map(|size| size.to_le_bytes()));
    bytes.extend(kind.to_le_bytes());
    bytes.extend(offset.to_le_bytes());
    bytes
}

/// The fixture with the first occurrence of some bytes replaced by others of the same length.
fn replaced(name: &str, old: &[u8], new: &[u8]) -> Vec<u8> {
    replaced_in(fixture(name), old, new)
}

fn replaced_in(mut bytes: Vec<u8>, old: &[u8], new: &[u8]) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let mut windows = bytes.windows(old.len());
    let start = windows.position(|window| window == old).unwrap();
    bytes[start..start + old.len()].copy_from_slice(new);
    bytes
}

/// The fixture with another value for a setting of the same size.
fn with_value(name: &str, key: &str, value: &[u8]) -> Vec<u8> {
    let mut bytes = fixture(name);
    let mut windows = bytes.windows(key.len() + 8);
    let start = windows.position(|window| window == text(key)).unwrap() + 8 + key.len() + 4;
    bytes[start..start + value.len()].copy_from_slice(value);
    bytes
}

#[test]
fn a_missing_file() {
    let error = GgufModel::open(Path::new("/nonexistent/model.gguf")).unwrap_err();
    assert_eq!(error.to_string(), "/nonexistent/model.gguf: the file is missing");
}

#[test]
fn other_files_and_versions() {
    assert_refused(b"PK\x03\x04 and so on", "it is no GGUF file");
    assert_refused(b"", "truncated");
    assert_refused(
        b"GGUF\0\0\0\x03",
        "big-endian; only little-endian files are supported",
    );
    assert_refused(
        b"GGUF\x01\0\0\0",
        "version 1 of the format; supported are 2 and 3",
    );
    assert_refused(b"GGUF\x63\0\0\0", "version 99");
}

#[test]
fn version_2_is_read_like_version_3() {
    let mut bytes = fixture("qwen2");
    bytes[4] = 2;
    assert!(open(&bytes).1.is_ok());
}

#[test]
fn counts_and_lengths_that_no_file_has() {
    assert_refused(
        &header(u64::MAX, 0, b""),
        "the number of tensors is 18446744073709551615",
    );
    assert_refused(&header(0, u64::MAX, b""), "the number of settings is");
    assert_refused(
        &header(0, 1, &u64::MAX.to_le_bytes()),
        "the length of the name of setting 0",
    );
    let long_text = setting("a", TEXT, &u64::MAX.to_le_bytes());
    assert_refused(&header(0, 1, &long_text), "inside the setting a; it is truncated");
    for kind in [0, 4, 6, 8, 10, 12] {
        let long_array = setting("a", ARRAY, &array(kind, u64::MAX));
        assert_refused(
            &header(0, 1, &long_array),
            "inside the setting a; it is truncated",
        );
    }
}

#[test]
fn a_header_larger_than_memory_for_it_is_refused_before_it_is_read() {
    // Bytes that would be widened eightfold.
    let count = 40_000_000;
    let mut bytes = header(0, 1, &setting("a", ARRAY, &array(0, count)));
    bytes.resize(bytes.len() + usize::try_from(count).unwrap(), 0);
    assert_refused(&bytes, "more than the limit of 268435456");
}

#[test]
fn settings_that_are_malformed() {
    let refused = |rest: &[u8], reason: &str| assert_refused(&header(0, 1, rest), reason);
    refused(&setting("a", 77, b""), "the setting a has the unknown type 77");
    refused(&setting("a", 7, &[2]), "has 2 for true or false");
    refused(&setting("a", ARRAY, &array(ARRAY, 0)), "arrays in an array");
    let mut no_utf8 = 1_u64.to_le_bytes().to_vec();
    no_utf8.push(0xff);
    refused(&setting("a", TEXT, &no_utf8), "the setting a is not valid UTF-8");
    refused(
        &setting("general.alignment", U32, &3_u32.to_le_bytes()),
        "no power of two",
    );
    let twice = setting("a", 0, &[1]).repeat(2);
    assert_refused(&header(0, 2, &twice), "the setting a is there twice");
}

#[test]
fn tensors_that_are_malformed() {
    let refused = |tensors: &[Vec<u8>], reason: &str| {
        let mut bytes = header(tensors.len() as u64, 0, &tensors.concat());
        bytes.resize(bytes.len().next_multiple_of(32) + 64, 0);
        assert_refused(&bytes, reason);
    };
    refused(
        &[tensor("a", &[4], 11, 0)],
        "tensor a has the quantisation Q3_K; supported are",
    );
    refused(&[tensor("a", &[4], 1000, 0)], "quantisation number 1000");
    refused(&[tensor("a", &[], 0, 0)], "0 dimensions");
    refused(&[tensor("a", &[1; 5], 0, 0)], "5 dimensions");
    refused(&[tensor("a", &[0], 0, 0)], "a dimension of 0");
    refused(&[tensor("a", &[1 << 40, 1 << 40], 0, 0)], "a dimension of");
    refused(
        &[tensor("a", &[1 << 24, 1 << 24, 1 << 24], 0, 0)],
        "a dimension of",
    );
    refused(
        &[tensor("a", &[48], 8, 0)],
        "rows of 48 values, no multiple of a block of 32",
    );
    refused(&[tensor("a", &[4], 0, 7)], "begins at 7, no multiple of 32");
    refused(&[tensor("a", &[40], 0, 0)], "tensor a ends at byte");
    refused(&[tensor("a", &[4], 0, u64::MAX - 31)], "truncated or damaged");
    refused(
        &[tensor("a", &[4], 0, 0), tensor("a", &[4], 0, 32)],
        "tensor a is there twice",
    );
    let overlapping = [tensor("a", &[12], 0, 0), tensor("b", &[4], 0, 32)];
    refused(&overlapping, "tensor b overlaps with a");
}

/// Changes the info of one tensor: `change` gets the bytes from its sizes on.
fn with_tensor(name: &str, change: impl Fn(&mut [u8])) -> Vec<u8> {
    let mut bytes = fixture("qwen3");
    let called = text(name);
    let mut windows = bytes.windows(called.len());
    let start = windows.position(|window| window == called).unwrap() + called.len() + 4;
    change(&mut bytes[start..]);
    bytes
}

#[test]
fn a_tensor_that_the_architecture_needs_and_the_file_lacks() {
    for name in [
        "blk.1.ffn_up.weight",
        "blk.0.attn_q_norm.weight",
        "output_norm.weight",
    ] {
        let other = name.replace("weight", "WEIGHT");
        let text = refusal_at_load(&replaced("qwen3", name.as_bytes(), other.as_bytes()));
        assert!(text.contains(&format!("tensor {name} is missing")), "{text}");
    }
}

#[test]
fn a_tensor_of_another_shape_than_the_configuration_asks_for() {
    // 32 of 64 rows; the sizes have the innermost first.
    let fewer = with_tensor("blk.1.ffn_up.weight", |info| {
        info[8..16].copy_from_slice(&32_u64.to_le_bytes());
    });
    let text = refusal_at_load(&fewer);
    let expected = "tensor blk.1.ffn_up.weight has shape [32, 64], the configuration asks for [64, 64]";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn a_norm_that_is_quantised() {
    // One size, then the number of the format.
    let quantised = with_tensor("output_norm.weight", |info| {
        info[8..12].copy_from_slice(&8_u32.to_le_bytes());
    });
    let text = refusal_at_load(&quantised);
    let expected = "tensor output_norm.weight has the number format Q8_0; supported are F32, BF16 and F16";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn inspecting_finds_a_norm_of_a_layer_that_is_quantised() {
    let quantised = with_tensor("blk.1.attn_norm.weight", |info| {
        info[8..12].copy_from_slice(&8_u32.to_le_bytes());
    });
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gguf");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(GGUF_WEIGHTS);
    let config = folder.path().join("config.json");
    fs::copy(fixtures.join("qwen3/config.json"), config).unwrap();
    fs::write(&file, fixture("qwen3")).unwrap();
    inspect(folder.path()).unwrap();
    fs::write(&file, quantised).unwrap();
    let refused = chain(&file, &inspect(folder.path()).unwrap_err());
    let expected =
        "tensor blk.1.attn_norm.weight has the number format Q8_0; supported are F32, BF16 and F16";
    assert!(refused.contains(expected), "{refused}");
}

#[test]
fn a_tensor_in_a_format_or_at_a_place_that_cannot_be() {
    let unknown = with_tensor("blk.1.ffn_up.weight", |info| {
        info[16..20].copy_from_slice(&10_u32.to_le_bytes());
    });
    assert_refused(&unknown, "tensor blk.1.ffn_up.weight has the quantisation Q2_K");
    let uneven = with_tensor("blk.1.ffn_up.weight", |info| {
        info[..8].copy_from_slice(&48_u64.to_le_bytes());
        info[16..20].copy_from_slice(&2_u32.to_le_bytes());
    });
    assert_refused(&uneven, "rows of 48 values, no multiple of a block of 32");
    let overlapping = with_tensor("blk.1.ffn_up.weight", |info| {
        let offset = u64::from_le_bytes(info[20..28].try_into().unwrap()) - 32;
        info[20..28].copy_from_slice(&offset.to_le_bytes());
    });
    assert_refused(&overlapping, "tensor blk.1.ffn_up.weight overlaps with");
    let outside = with_tensor("blk.1.ffn_up.weight", |info| {
        info[20..28].copy_from_slice(&(1_u64 << 40).to_le_bytes());
    });
    assert_refused(&outside, "tensor blk.1.ffn_up.weight ends at byte");
}

/// Its rows would be in another order than those of the configuration's family.
#[test]
fn a_file_beside_the_configuration_of_another_family() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gguf");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(GGUF_WEIGHTS);
    fs::copy(fixtures.join("qwen3/model-q8_0.gguf"), &file).unwrap();
    fs::copy(
        fixtures.join("llama3/config.json"),
        folder.path().join("config.json"),
    )
    .unwrap();
    let text = refusal_of(folder.path(), &file);
    let expected = "it is a model of the family Qwen3, config.json is of Llama";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn an_unknown_architecture() {
    let other = replaced("qwen2", &text("qwen2"), &text("gemma"));
    assert_refused(
        &other,
        "general.architecture = `gemma` is not supported (supported architectures are qwen2, qwen3, llama, internlm2, chatglm, glm4, gemma2, qwen2moe, qwen3moe and deepseek2)",
    );
    let none = header(0, 0, b"");
    assert_refused(&none, "the setting general.architecture is missing");
}

#[test]
fn settings_that_are_missing_or_contradict_each_other() {
    let renamed = replaced("llama3", b"llama.block_count", b"llama.block_CNT__");
    assert_refused(&renamed, "the setting llama.block_count is missing");
    let width = with_value("llama3", "llama.attention.value_length", &8_u32.to_le_bytes());
    assert_refused(&width, "llama.attention.value_length = 8 is not supported");
    let dimensions = with_value("llama3", "llama.rope.dimension_count", &4_u32.to_le_bytes());
    assert_refused(&dimensions, "llama.rope.dimension_count = 4 is not supported");
    let embedding = replaced("llama3", b"token_embd.weight", b"token_embd.WEIGHT");
    assert_refused(&embedding, "tensor token_embd.weight is missing");
}

/// In JSON they would become `null`, and a default would be computed with.
#[test]
fn numbers_that_are_none_are_refused() {
    for key in ["llama.attention.layer_norm_rms_epsilon", "llama.rope.freq_base"] {
        for (number, shown) in [
            (f32::NAN, "NaN"),
            (f32::INFINITY, "inf"),
            (f32::NEG_INFINITY, "-inf"),
        ] {
            let value = with_value("llama3", key, &number.to_le_bytes());
            let expected = format!("{key} = {shown} is not supported (a finite number)");
            assert_refused(&value, &expected);
        }
    }
}

#[test]
fn a_tokenizer_that_cannot_be_converted() {
    let model = replaced("qwen2", &text("gpt2"), &text("bert"));
    assert_refused(&model, "tokenizer.ggml.model = `bert` is not supported");
    let splitting = replaced("llama3", &text("llama-bpe"), &text("smaug-bpe"));
    assert_refused(&splitting, "tokenizer.ggml.pre = `smaug-bpe` is not supported");
    let end = with_value("qwen2", "tokenizer.ggml.eos_token_id", &4000_u32.to_le_bytes());
    assert_refused(
        &end,
        "tokenizer.ggml.eos_token_id (4000) is none of the tokenizer's 400 tokens",
    );
    let no_end = replaced(
        "qwen2",
        b"tokenizer.ggml.eos_token_id",
        b"tokenizer.ggml.EOS_token_id",
    );
    assert_refused(&no_end, "the setting tokenizer.ggml.eos_token_id is missing");
    let no_merges = replaced("qwen2", b"tokenizer.ggml.merges", b"tokenizer.ggml.MERGES");
    assert_refused(&no_merges, "the setting tokenizer.ggml.merges is missing");
    let no_scores = replaced("llama2", b"tokenizer.ggml.scores", b"tokenizer.ggml.SCORES");
    assert_refused(&no_scores, "the setting tokenizer.ggml.scores is missing");
    let twice = replaced("llama2", &text("<0x00>"), &text("<0x01>"));
    assert_refused(&twice, "has `<0x01>` twice, as 3 and 4");
}

/// A file of a tiny model whose pieces are these, each as likely as the next.
fn with_pieces(pieces: &[String]) -> Vec<u8> {
    let count = pieces.len() as u64;
    let size = |key: &str, value: u32| setting(key, U32, &value.to_le_bytes());
    let named = |key: &str, value: &str| setting(key, TEXT, &text(value));
    let texts: Vec<u8> = pieces.iter().flat_map(|piece| text(piece)).collect();
    let scores = vec![0_u8; pieces.len() * 4];
    let settings = [
        named("general.architecture", "llama"),
        size("llama.block_count", 1),
        size("llama.context_length", 16),
        size("llama.embedding_length", 2),
        size("llama.feed_forward_length", 2),
        size("llama.attention.head_count", 1),
        setting(
            "llama.attention.layer_norm_rms_epsilon",
            F32,
            &1e-5_f32.to_le_bytes(),
        ),
        named("tokenizer.ggml.model", "llama"),
        size("tokenizer.ggml.eos_token_id", 0),
        setting(
            "tokenizer.ggml.tokens",
            ARRAY,
            &[array(TEXT, count), texts].concat(),
        ),
        setting(
            "tokenizer.ggml.scores",
            ARRAY,
            &[array(F32, count), scores].concat(),
        ),
    ];
    let embeddings = tensor("token_embd.weight", &[2, count], 0, 0);
    let rest = [settings.concat(), embeddings].concat();
    let mut bytes = header(1, settings.len() as u64, &rest);
    bytes.resize(bytes.len().next_multiple_of(32) + pieces.len() * 8, 0);
    bytes
}

/// Every piece is a run of one letter, so every split of it makes two pieces.
#[test]
fn pieces_with_more_splits_than_memory_for_them() {
    let runs = |letters: std::ops::Range<u32>, longest: usize| -> Vec<String> {
        let letters = letters.map(|letter| char::from_u32(letter).unwrap());
        letters
            .flat_map(|letter| (1..=longest).map(move |count| letter.to_string().repeat(count)))
            .collect()
    };
    // 4 x 32,640 splits, and 70 x 32,640.
    let (_, few) = open(&with_pieces(&runs(0x100..0x104, 256)));
    few.unwrap();
    assert_refused(
        &with_pieces(&runs(0x100..0x146, 256)),
        "tokenizer.ggml.tokens has more than 2097152 ways to put its pieces together",
    );
}

#[test]
fn a_tokenizer_brought_along_that_is_damaged() {
    let cut = replaced_in(demo(), b"\"version\": \"1.0\"", b"\"version\"; \"1.0\"");
    assert_refused(&cut, "tokenizer.huggingface.json is not valid JSON");
    let no_model = replaced_in(demo(), b"\"model\": {", b"\"MODEL\": {");
    assert_refused(&no_model, "tokenizer.huggingface.json has no `model`");
    let no_end = replaced_in(demo(), b"\"id\": 3002", b"\"id\": 9002");
    assert_refused(&no_end, "tokenizer.ggml.eos_token_id (3002) is none");
}

#[test]
fn a_file_cut_anywhere() {
    let whole = fixture("llama2");
    // The last tensor's end, without what it is padded with.
    let values = whole.len() - 64;
    let lengths = (0..2000).chain((2000..values).step_by(1777));
    for length in lengths {
        let text = refusal(&whole[..length]);
        assert!(text.contains("truncated"), "{length}: {text}");
    }
}

proptest! {
    #[test]
    fn random_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400), version in 2..4_u8) {
        let mut file = vec![b'G', b'G', b'U', b'F', version, 0, 0, 0];
        file.extend(&bytes);
        refusal(&bytes);
        // With plausible beginnings most of it is still read.
        refusal(&file);
    }

    /// Changed bytes may give another valid file; what must not happen is a panic.
    #[test]
    fn changed_bytes_never_panic(
        name in prop::sample::select(vec!["qwen2", "llama2", "llama3"]),
        changes in proptest::collection::vec((0..22_000_usize, any::<u8>()), 1..12),
        near in 0..1500_usize,
        value in any::<u8>(),
    ) {
        let mut bytes = fixture(name);
        // Most of the header is token texts; one change always hits the settings before them.
        bytes[near] = value;
        for (position, value) in changes {
            bytes[position] = value;
        }
        let folder = tempfile::tempdir().unwrap();
        if let Ok(model) = open(&bytes).1 {
            model.write_files(folder.path()).unwrap();
        }
    }
}
