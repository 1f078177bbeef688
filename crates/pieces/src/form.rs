//! A vocabulary as a `tokenizer.json`, in the form that Hugging Face converts such tokenizers to.

use std::collections::{BTreeMap, HashMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::merges::merges;
use crate::{Piece, PieceKind, PiecesError, symbols};

/// The letter that stands for a space in pieces.
const SPACE: &str = "\u{2581}";
/// Stands in for ids that no text becomes, where a list cannot leave them out. A noncharacter, which no text
/// has by right.
const FILLER: char = '\u{fdd0}';

/// Below what any cut of a text adds up to.
const UNLIKELY: f64 = -1e6;

/// How texts are cut into pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// Neighbours are joined, again and again.
    Bpe,
    /// The likeliest cut of all.
    Unigram,
}

/// Which texts begin with a space that they do not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefix {
    /// None.
    Never,
    /// Each, also what stands behind an added token.
    Each,
    /// That at the beginning of all.
    First,
}

/// What becomes of a text before it is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spacing<'a> {
    /// Rules by which letters are rewritten, as they stand in the file; empty for none. Must have been
    /// checked: [`PieceModel`](crate::PieceModel) does.
    pub charsmap: &'a [u8],
    /// Whether spaces at the ends go and several become one.
    pub collapses: bool,
    /// The space before it.
    pub prefix: Prefix,
}

/// A token that is found in a text before anything else.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the fields of tokenizer.json, none of which follows from another"
)]
pub struct AddedToken {
    /// Its id; takes the place of a piece of the same id.
    pub id: u32,
    /// Its spelling, not empty.
    pub text: String,
    /// Whether it is no text, so that an answer does not show it.
    pub special: bool,
    /// Whether it takes the spaces before it.
    pub lstrip: bool,
    /// Whether it takes the spaces behind it.
    pub rstrip: bool,
    /// Whether it is found only where no letters or digits stand beside it.
    pub single_word: bool,
}

/// All that a tokenizer is made of.
#[derive(Debug, Clone)]
pub struct Form<'a> {
    /// By their ids, each spelling once but for fillers.
    pub pieces: &'a [Piece<'a>],
    /// How texts are cut into them.
    pub algorithm: Algorithm,
    /// Whether a letter that is no piece becomes those of its bytes.
    pub byte_fallback: bool,
    /// What goes before.
    pub spacing: Spacing<'a>,
    /// Tokens beside the pieces or in place of some, each id and spelling once.
    pub added: Vec<AddedToken>,
    /// Spellings and ids of what stands before each text.
    pub first: Vec<(String, u32)>,
}

impl AddedToken {
    /// One without peculiarities.
    pub fn new(id: u32, text: impl Into<String>, special: bool) -> Self {
        Self {
            id,
            text: text.into(),
            special,
            lstrip: false,
            rstrip: false,
            single_word: false,
        }
    }

    /// Its entry in `added_tokens`. It is looked for in the text as it was given.
    pub fn json(&self) -> Value {
        json!({
            "id": self.id, "content": self.text, "single_word": self.single_word, "lstrip": self.lstrip,
            "rstrip": self.rstrip, "normalized": false, "special": self.special,
        })
    }
}

impl Form<'_> {
    /// `tokenizer.json`.
    ///
    /// # Errors
    /// [`PiecesError::ManyMerges`].
    pub fn json(&self) -> Result<Value, PiecesError> {
        let symbols = symbols::pattern(self.of_kind(PieceKind::UserDefined).map(|(_, piece)| piece.text));
        let added: Vec<Value> = self.added.iter().map(AddedToken::json).collect();
        let model = match self.algorithm {
            Algorithm::Bpe => self.bpe(symbols.is_some())?,
            Algorithm::Unigram => self.unigram(),
        };
        Ok(json!({
            "version": "1.0", "truncation": null, "padding": null,
            "added_tokens": added,
            "normalizer": { "type": "Sequence", "normalizers": self.spacing.normalizers() },
            "pre_tokenizer": self.spacing.pre_tokenizer(symbols),
            "post_processor": first_tokens(&self.first),
            "decoder": { "type": "Sequence", "decoders": self.spacing.decoders() },
            "model": model,
        }))
    }

    /// The symbols are words of their own by then; they are taken as they are, since no merges lead to them.
    fn bpe(&self, has_symbols: bool) -> Result<Value, PiecesError> {
        let normal: Vec<(u32, Piece<'_>)> = self.of_kind(PieceKind::Normal).collect();
        let vocabulary: Map<String, Value> = self
            .tokens()
            .into_iter()
            .map(|(id, (text, _))| (text.to_owned(), id.into()))
            .collect();
        Ok(json!({
            "type": "BPE", "dropout": null, "unk_token": self.unknown().map(|(_, text)| text),
            "continuing_subword_prefix": null, "end_of_word_suffix": null,
            "fuse_unk": true, "byte_fallback": self.byte_fallback, "ignore_merges": has_symbols,
            "vocab": vocabulary,
            "merges": merges(&normal)?,
        }))
    }

    fn unigram(&self) -> Value {
        let tokens = self.tokens();
        let end = tokens.last_key_value().map_or(0, |(id, _)| id + 1);
        let entry = |id: u32| match tokens.get(&id) {
            Some((text, score)) => json!([text, score]),
            None => json!([format!("{FILLER}{id}"), 0.0]),
        };
        json!({
            "type": "Unigram", "unk_id": self.unknown().map(|(id, _)| id), "byte_fallback": self.byte_fallback,
            "vocab": (0..end).map(entry).collect::<Vec<Value>>(),
        })
    }

    /// All tokens by their ids, with their scores.
    fn tokens(&self) -> BTreeMap<u32, (&str, f64)> {
        let added: HashMap<&str, u32> = self
            .added
            .iter()
            .map(|token| (token.text.as_str(), token.id))
            .collect();
        let pieces = (0..).zip(self.pieces);
        let own =
            pieces.filter(|(_, piece)| piece.kind != PieceKind::Unused && !added.contains_key(piece.text));
        let mut tokens: BTreeMap<u32, (&str, f64)> =
            own.map(|(id, piece)| (id, (piece.text, score(piece)))).collect();
        tokens.extend(added.into_iter().map(|(text, id)| (id, (text, 0.0))));
        tokens
    }

    /// Pieces of a kind in whose place no token stands.
    fn of_kind(&self, kind: PieceKind) -> impl Iterator<Item = (u32, Piece<'_>)> {
        let texts: HashSet<&str> = self.added.iter().map(|token| token.text.as_str()).collect();
        let ids: HashSet<u32> = self.added.iter().map(|token| token.id).collect();
        let pieces = (0..).zip(self.pieces.iter().copied());
        pieces
            .filter(move |(id, piece)| piece.kind == kind && !ids.contains(id) && !texts.contains(piece.text))
    }

    fn unknown(&self) -> Option<(u32, &str)> {
        let mut pieces = (0..).zip(self.pieces);
        let (id, piece) = pieces.find(|(_, piece)| piece.kind == PieceKind::Unknown)?;
        let instead = self.added.iter().find(|token| token.id == id);
        Some((id, instead.map_or(piece.text, |token| &token.text)))
    }
}

/// A symbol that stands alone is likelier than all that it could be cut into; a byte, whose spelling a text may
/// have by chance, less likely than that.
fn score(piece: &Piece<'_>) -> f64 {
    match piece.kind {
        PieceKind::Normal => piece.score,
        PieceKind::Byte => UNLIKELY,
        _ => 0.0,
    }
}

impl Spacing<'_> {
    fn normalizers(&self) -> Vec<Value> {
        let replace = |pattern: Value, content: &str| json!({ "type": "Replace", "pattern": pattern, "content": content });
        let mut steps = Vec::new();
        if !self.charsmap.is_empty() {
            let map = STANDARD.encode(self.charsmap);
            steps.push(json!({ "type": "Precompiled", "precompiled_charsmap": map }));
        }
        if self.collapses {
            steps.push(replace(json!({ "Regex": r"\A +| +\z" }), ""));
            steps.push(replace(json!({ "Regex": " {2,}" }), " "));
        }
        if self.prefix == Prefix::Each {
            steps.push(json!({ "type": "Prepend", "prepend": SPACE }));
        }
        steps.push(replace(json!({ "String": " " }), SPACE));
        steps
    }

    fn pre_tokenizer(&self, symbols: Option<String>) -> Value {
        let mut steps = Vec::new();
        if self.prefix == Prefix::First {
            steps.push(json!({
                "type": "Metaspace", "replacement": SPACE, "prepend_scheme": "first", "split": false,
            }));
        }
        if let Some(pattern) = symbols {
            steps.push(json!({
                "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false,
            }));
        }
        if steps.is_empty() {
            return Value::Null;
        }
        json!({ "type": "Sequence", "pretokenizers": steps })
    }

    fn decoders(&self) -> Vec<Value> {
        let mut steps = vec![
            json!({ "type": "Replace", "pattern": { "String": SPACE }, "content": " " }),
            json!({ "type": "ByteFallback" }),
            json!({ "type": "Fuse" }),
        ];
        if self.prefix != Prefix::Never || self.collapses {
            steps.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
        }
        steps
    }
}

/// A post-processor that puts tokens, given by spelling and id, before each text; null without any.
pub fn first_tokens(tokens: &[(String, u32)]) -> Value {
    if tokens.is_empty() {
        return Value::Null;
    }
    let before = |type_id: u8| {
        let tokens = tokens.iter();
        tokens.map(move |(text, _)| json!({ "SpecialToken": { "id": text, "type_id": type_id } }))
    };
    let text = |name: &str, type_id: u8| json!({ "Sequence": { "id": name, "type_id": type_id } });
    let single: Vec<Value> = before(0).chain([text("A", 0)]).collect();
    let second = before(1).chain([text("B", 1)]);
    let pair: Vec<Value> = single.iter().cloned().chain(second).collect();
    let own = tokens.iter().map(|(text, id)| {
        let entry = json!({ "id": text, "ids": [id], "tokens": [text] });
        (text.clone(), entry)
    });
    json!({
        "type": "TemplateProcessing", "single": single, "pair": pair,
        "special_tokens": own.collect::<Map<String, Value>>(),
    })
}
