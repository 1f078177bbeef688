//! What each token id stands for, as bytes.

use std::collections::{HashMap, HashSet};

use tokenizers::Tokenizer;

mod decoder;

use decoder::DecoderSteps;
pub(crate) use decoder::LeadingSpace;
pub use decoder::UnsupportedDecoder;

/// The number of bytes that are no ASCII white space.
pub(crate) fn visible(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| !byte.is_ascii_whitespace()).count()
}

/// The number of ids that the tokenizer has, holes included: the highest and one more.
pub(crate) fn ids(tokenizer: &Tokenizer) -> usize {
    let highest = tokenizer.get_vocab(true).into_values().max();
    highest.map_or(0, |id| id as usize + 1)
}

fn is_line_break(token: &[u8]) -> bool {
    matches!(token, [b'\n'] | [b'\n' | b'\r', b'\n'])
}

/// The bytes of every token, worked out once, so that reading an answer needs no tokenizer.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    /// The bytes of all tokens, one after the other.
    bytes: Vec<u8>,
    /// Token `id` is `bytes[borders[id]..borders[id + 1]]`.
    borders: Vec<usize>,
    special: HashSet<u32>,
    added: HashMap<String, u32>,
    /// Those of them that are found only where no letters or digits stand beside them.
    single_words: HashSet<u32>,
    /// Tokens of nothing but one or two line breaks.
    line_breaks: Vec<u32>,
    leading_space: LeadingSpace,
}

impl Vocabulary {
    /// Reads all tokens of the tokenizer. Takes memory for every id up to the highest, so check
    /// [`ids`] of a file from elsewhere first.
    ///
    /// # Errors
    /// When the tokenizer turns tokens into text in a way that does not work token by token.
    pub(crate) fn new(tokenizer: &Tokenizer) -> Result<Self, UnsupportedDecoder> {
        let steps = DecoderSteps::of(tokenizer)?;
        let mut bytes = Vec::new();
        let mut borders = vec![0];
        for id in (0..=u32::MAX).take(ids(tokenizer)) {
            if let Some(token) = tokenizer.id_to_token(id) {
                bytes.extend(steps.bytes_of(token));
            }
            borders.push(bytes.len());
        }
        let added = tokenizer.get_added_tokens_decoder();
        let special = added
            .iter()
            .filter(|(_, token)| token.special)
            .map(|(id, _)| *id)
            .collect();
        let single_words = added.iter().filter(|(_, token)| token.single_word);
        let single_words = single_words.map(|(id, _)| *id).collect();
        let added = added.into_iter().map(|(id, token)| (token.content, id)).collect();
        let lines = borders.windows(2).map(|token| &bytes[token[0]..token[1]]);
        let line_breaks = (0..).zip(lines).filter(|(_, token)| is_line_break(token));
        let line_breaks = line_breaks.map(|(id, _)| id).collect();
        Ok(Self {
            bytes,
            borders,
            special,
            added,
            single_words,
            line_breaks,
            leading_space: steps.leading_space(),
        })
    }

    /// Counts spellings that the tokenizer finds in texts before it cuts them as added tokens.
    pub(crate) fn add_symbols(&mut self, tokenizer: &Tokenizer, symbols: &[String]) {
        for symbol in symbols {
            if let Some(id) = tokenizer.token_to_id(symbol) {
                self.added.insert(symbol.clone(), id);
            }
        }
    }

    /// The number of ids, holes included.
    pub(crate) fn len(&self) -> usize {
        self.borders.len() - 1
    }

    /// The token's bytes; none for an id without a token.
    pub(crate) fn bytes(&self, id: u32) -> &[u8] {
        let id = id as usize;
        match (self.borders.get(id), self.borders.get(id + 1)) {
            (Some(start), Some(end)) => &self.bytes[*start..*end],
            _ => &[],
        }
    }

    /// The most bytes that a token has, at least 1; ASCII white space is not counted.
    pub(crate) fn longest(&self) -> usize {
        let lengths = self
            .borders
            .windows(2)
            .map(|token| visible(&self.bytes[token[0]..token[1]]));
        lengths.max().unwrap_or(0).max(1)
    }

    /// Tokens of nothing but one or two line breaks, ascending.
    pub(crate) fn line_breaks(&self) -> impl Iterator<Item = u32> + '_ {
        self.line_breaks.iter().copied()
    }

    /// Whether it is one of [`Self::line_breaks`].
    pub(crate) fn is_line_break(&self, id: u32) -> bool {
        self.line_breaks.binary_search(&id).is_ok()
    }

    /// Whether the token is flagged as special, and so is no text.
    pub(crate) fn is_special(&self, id: u32) -> bool {
        self.special.contains(&id)
    }

    /// Whether the added token is found only where no letters or digits stand beside it.
    pub(crate) fn is_single_word(&self, id: u32) -> bool {
        self.single_words.contains(&id)
    }

    /// The id of an added token (special or not) by its spelling.
    pub(crate) fn added_token(&self, text: &str) -> Option<u32> {
        self.added.get(text).copied()
    }

    /// All added tokens: spelling, id, whether special.
    pub(crate) fn added_tokens(&self) -> impl Iterator<Item = (&str, u32, bool)> {
        self.added
            .iter()
            .map(|(text, id)| (text.as_str(), *id, self.is_special(*id)))
    }

    /// What decoding removes at the beginning of a text.
    pub(crate) fn leading_space(&self) -> LeadingSpace {
        self.leading_space
    }
}
