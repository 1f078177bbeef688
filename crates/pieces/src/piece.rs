//! One piece of a vocabulary.

/// The most pieces of a vocabulary; four times the largest in use.
pub const MAX_PIECES: usize = 1 << 20;
/// The longest spelling of a piece, in bytes.
pub const MAX_PIECE_BYTES: usize = 4096;

/// What a piece is for (`SentencePiece.Type` in `sentencepiece_model.proto`; `llama_token_type` in
/// llama.h has the same numbers).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PieceKind {
    /// A part of texts.
    Normal,
    /// Stands for what the vocabulary lacks.
    Unknown,
    /// Never made of a text, such as the one that begins texts.
    Control,
    /// Found in a text before it is cut into pieces.
    UserDefined,
    /// A filler up to a round size.
    Unused,
    /// A byte of a letter that the vocabulary lacks, spelled `<0x0A>`.
    Byte,
}

impl PieceKind {
    /// The kind of a number, 1 to 6.
    pub fn of(number: u64) -> Option<Self> {
        match number {
            1 => Some(Self::Normal),
            2 => Some(Self::Unknown),
            3 => Some(Self::Control),
            4 => Some(Self::UserDefined),
            5 => Some(Self::Unused),
            6 => Some(Self::Byte),
            _ => None,
        }
    }
}

/// One piece; its id is its place among the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Piece<'a> {
    /// Its spelling, spaces as U+2581.
    pub text: &'a str,
    /// The higher, the earlier it is made of its parts (BPE), or the likelier it is (unigram: the
    /// logarithm of its probability). Finite.
    pub score: f64,
    /// What it is for.
    pub kind: PieceKind,
}
