use proptest::prelude::*;

use super::*;

/// A field of bytes.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![];
    varint(u64::from(number) << 3 | 2, &mut bytes);
    varint(content.len() as u64, &mut bytes);
    bytes.extend(content);
    bytes
}

/// A field of a number.
fn number(field: u8, value: u64) -> Vec<u8> {
    let mut bytes = vec![];
    varint(u64::from(field) << 3, &mut bytes);
    varint(value, &mut bytes);
    bytes
}

fn varint(mut value: u64, bytes: &mut Vec<u8>) {
    while value >= 0x80 {
        bytes.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).unwrap());
}

fn piece_of(text: &[u8], score: f32, kind: u64) -> Vec<u8> {
    let score = [&[0x15][..], &score.to_le_bytes()].concat();
    field(1, &[field(1, text), score, number(3, kind)].concat())
}

/// A small model that says nothing but its pieces, with more behind it.
fn model(more: &[Vec<u8>]) -> Vec<u8> {
    let pieces = [
        piece_of(b"<unk>", 0.0, 2),
        piece_of(b"<s>", 0.0, 3),
        piece_of(b"</s>", 0.0, 3),
        piece_of("\u{2581}a".as_bytes(), -1.5, 1),
    ];
    [pieces.concat(), field(2, b""), field(3, b""), more.concat()].concat()
}

fn refusal(bytes: &[u8]) -> String {
    PieceModel::read(bytes).unwrap_err().to_string()
}

#[test]
fn what_a_model_does_not_say_is_the_formats_default() {
    let bytes = model(&[]);
    let read = PieceModel::read(&bytes).unwrap();
    assert_eq!(read.algorithm, Algorithm::Unigram);
    assert!(!read.byte_fallback);
    let spacing = Spacing {
        charsmap: &[],
        collapses: true,
        prefix: Prefix::Each,
    };
    assert_eq!(read.spacing, spacing);
    assert_eq!(
        read.ids,
        SpecialIds {
            bos: Some(1),
            eos: Some(2)
        }
    );
    let last = Piece {
        text: "\u{2581}a",
        score: -1.5,
        kind: PieceKind::Normal,
    };
    assert_eq!((read.pieces.len(), read.pieces[3]), (4, last));
}

#[test]
fn what_it_says_is_read() {
    let trainer = [
        number(3, 2),
        number(4, 4),
        number(35, 1),
        number(41, u64::MAX),
        field(46, b"<none>"),
        field(47, b"<s>"),
    ];
    let normalizer = [field(1, b"identity"), number(3, 0), number(4, 0), number(5, 1)];
    let bytes = model(&[
        field(2, &trainer.concat()),
        field(3, &normalizer.concat()),
        // Test data and an extension.
        field(4, b"\x0a\x00"),
        number(200, 7),
    ]);
    let read = PieceModel::read(&bytes).unwrap();
    assert_eq!((read.algorithm, read.byte_fallback), (Algorithm::Bpe, true));
    assert_eq!(
        (read.spacing.prefix, read.spacing.collapses),
        (Prefix::Never, false)
    );
    assert_eq!((read.ids.bos, read.ids.eos), (None, Some(1)));
}

#[test]
fn what_is_not_read_or_damaged_is_told() {
    let more = |more: Vec<u8>| model(&[more]);
    let piece = |text: &[u8], score, kind| more(piece_of(text, score, kind));
    let trainer = |content: Vec<u8>| more(field(2, &content));
    let normalizer = |content: Vec<u8>| more(field(3, &content));
    let long = "x".repeat(MAX_PIECE_BYTES + 1);
    for (bytes, told) in [
        (trainer(number(3, 3)), "trainer_spec.model_type = WORD"),
        (trainer(number(3, 4)), "trainer_spec.model_type = CHAR"),
        (trainer(number(24, 1)), "treat_whitespace_as_suffix = true"),
        (trainer(field(46, b"\xff")), "not valid UTF-8"),
        (normalizer(number(5, 0)), "escape_whitespaces = false"),
        (normalizer(field(2, b"map")), "precompiled_charsmap has no size"),
        (piece(b"", 0.0, 1), "piece 4 has a spelling of 0 bytes"),
        (
            piece(long.as_bytes(), 0.0, 1),
            "piece 4 has a spelling of 4097 bytes",
        ),
        (piece(b"\xff", 0.0, 1), "piece 4 is not valid UTF-8"),
        (piece(b"b", f32::NAN, 1), "piece 4 has a score"),
        (piece(b"b", 0.0, 7), "piece 4 has an unknown type"),
        (piece(b"<s>", 0.0, 1), "piece 4 is spelled `<s>`, as another is"),
        (piece("y".repeat(65).as_bytes(), 0.0, 4), "up to 64 letters"),
        (more(number(1, 3)), "a number for a message"),
        (
            more(field(1, &number(1, 3))),
            "piece 4 has a field of another type",
        ),
        (piece_of(b"a", 0.0, 1), "no piece of the type UNKNOWN"),
        (Vec::new(), "no piece of the type UNKNOWN"),
        (b"{\"version\": \"1.0\"}".to_vec(), "no SentencePiece model"),
    ] {
        let refused = refusal(&bytes);
        assert!(refused.contains(told), "{refused} lacks {told}");
    }
}

#[test]
fn a_cut_file_is_refused_wherever_it_was_cut() {
    let whole = model(&[]);
    PieceModel::read(&whole).unwrap();
    for length in 0..whole.len() {
        match PieceModel::read(&whole[..length]).unwrap_err() {
            PiecesError::Truncated { at, .. } => assert!(at <= length),
            error => assert!(error.to_string().contains("the model has no"), "{error}"),
        }
    }
}

/// Sizes that no file has: told at once, and no memory is taken for them.
#[test]
fn sizes_beyond_the_file_are_refused() {
    for size in [1 << 31, u64::MAX >> 1, u64::MAX] {
        let mut bytes = model(&[]);
        bytes.push(0x0a);
        varint(size, &mut bytes);
        bytes.extend(b"\x0a\x01b");
        assert!(refusal(&bytes).starts_with("it ends inside the model"));
    }
}

#[test]
fn more_pieces_than_any_vocabulary_has_are_refused() {
    let mut bytes = Vec::new();
    for id in 0..=MAX_PIECES {
        bytes.extend(field(1, &field(1, format!("{id:x}").as_bytes())));
    }
    assert!(refusal(&bytes).contains("more than 1048576"));
}

#[test]
fn a_list_of_byte_sequences_is_told_by_its_first_line() {
    for list in ["IQ== 0\nIg== 1\n", "IQ== 0\r\n", "4pau 150000"] {
        assert_eq!(
            PieceModel::read(list.as_bytes()),
            Err(PiecesError::Tiktoken),
            "{list}"
        );
    }
    for other in ["IQ==", "IQ== x", "I Q 0", " 0", "\u{e9} 0"] {
        let refused = PieceModel::read(other.as_bytes()).unwrap_err();
        assert_ne!(refused, PiecesError::Tiktoken, "{other}");
    }
}

proptest! {
    /// Whatever the bytes: a model or a reason, never a panic.
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        drop(PieceModel::read(&bytes));
    }

    /// As above, of what looks like a model; and what was read can be written.
    #[test]
    fn changed_bytes_of_a_model_never_panic(place in 0_usize..200, byte: u8, cut in 0_usize..200) {
        let mut bytes = model(&[
            field(2, &[number(3, 2), number(35, 1)].concat()),
            field(3, &[number(3, 1), number(4, 0)].concat()),
        ]);
        let place = place % bytes.len();
        bytes[place] = byte;
        bytes.truncate(cut.max(place + 1));
        if let Ok(model) = PieceModel::read(&bytes) {
            let form = crate::Form {
                pieces: &model.pieces,
                algorithm: model.algorithm,
                byte_fallback: model.byte_fallback,
                spacing: model.spacing,
                added: Vec::new(),
                first: Vec::new(),
            };
            prop_assert!(form.json().unwrap()["model"]["vocab"].as_object().is_some_and(|pieces| !pieces.is_empty())
                || form.json().unwrap()["model"]["vocab"].as_array().is_some_and(|pieces| !pieces.is_empty()));
        }
    }
}
