//! Texts to token ids, for models that read them whole.

use std::collections::HashSet;

use silica_engine::EngineError;
use silica_types::TokenCount;
use tokenizers::Tokenizer;

use crate::folder::{TOKENIZER, read_tokenizer};
use crate::{TextError, TextFiles};

/// Texts longer than this many bytes for each token of room are looked at piece by piece first.
const LIKELY_TOO_LONG: usize = 8;
/// The size of such a piece in bytes.
const PIECE: usize = 32 * 1024;
/// The most tokens that cutting a text at one place adds.
const TOKENS_PER_CUT: usize = 32;

/// Tokenizes texts of strangers: special tokens that they spell are plain text.
#[derive(Debug)]
pub(super) struct Tokens {
    tokenizer: Tokenizer,
    /// The ids of special tokens, which no text may have.
    special: HashSet<u32>,
    /// The longest sequence of the model.
    limit: TokenCount,
}

impl Tokens {
    /// Reads the tokenizer of a folder for a model that knows `vocabulary` token ids and sequences of `limit`
    /// tokens.
    ///
    /// # Errors
    /// Names the file that is missing or wrong, or is another model's.
    pub(super) fn read(files: &TextFiles, vocabulary: u32, limit: TokenCount) -> Result<Self, TextError> {
        let mut tokenizer = read_tokenizer(files)?;
        let highest = tokenizer.get_vocab(true).into_values().max();
        let tokens = highest.map_or(0, |id| id as usize + 1);
        if tokens > vocabulary as usize {
            return Err(TextError::VocabularyTooLarge {
                file: files.path(TOKENIZER),
                tokens,
                logits: vocabulary,
            });
        }
        tokenizer.set_encode_special_tokens(true);
        let added = tokenizer.get_added_tokens_decoder();
        // What stands for the unknown is no secret of the model.
        let special = added
            .iter()
            .filter(|(_, token)| token.special && !matches!(token.content.as_str(), "<unk>" | "[UNK]"));
        Ok(Self {
            special: special.map(|(id, _)| *id).collect(),
            tokenizer,
            limit,
        })
    }

    /// The tokenizer.
    pub(super) const fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The longest sequence of the model.
    pub(super) const fn limit(&self) -> TokenCount {
        self.limit
    }

    /// The ids of a text, nothing around it. `most` is how many there may be, and `around` how many others
    /// the sequence has, for the error.
    ///
    /// # Errors
    /// [`EngineError::ContextExceeded`] as soon as it is certain that there are more than `most`; for very
    /// long texts the reported number is then projected from the part that was looked at.
    /// [`EngineError::Failed`] when the tokenizer fails.
    pub(super) fn ids(&self, text: &str, most: usize, around: usize) -> Result<Vec<u32>, EngineError> {
        self.refuse_far_too_long(text, most, around)?;
        let ids = self.plain(text)?;
        if ids.len() > most {
            return Err(self.too_long(ids.len() + around));
        }
        Ok(ids)
    }

    /// A sequence of so many tokens is too long.
    pub(super) fn too_long(&self, tokens: usize) -> EngineError {
        EngineError::ContextExceeded {
            prompt: TokenCount(u32::try_from(tokens).unwrap_or(u32::MAX)),
            limit: self.limit,
        }
    }

    fn plain(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        let encoding = self.tokenizer.encode_fast(text, false);
        let encoding = encoding.map_err(EngineError::Failed)?;
        let ids = encoding.get_ids();
        if ids.iter().any(|id| self.special.contains(id)) {
            return self.spelled_out(text);
        }
        Ok(ids.to_vec())
    }

    /// The ids of a text that spells special tokens: those are read letter by letter. Unigram models have
    /// them among their pieces, so that being told to read them as text is not enough.
    fn spelled_out(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        let encoding = self.tokenizer.encode(text, false);
        let encoding = encoding.map_err(EngineError::Failed)?;
        let mut ids = Vec::with_capacity(encoding.len());
        for (id, (start, end)) in encoding.get_ids().iter().zip(encoding.get_offsets()) {
            if !self.special.contains(id) {
                ids.push(*id);
                continue;
            }
            for letter in text.get(*start..*end).unwrap_or_default().chars() {
                let letter = self.tokenizer.encode_fast(letter.to_string(), false);
                let letter = letter.map_err(EngineError::Failed)?;
                ids.extend(letter.get_ids().iter().filter(|id| !self.special.contains(id)));
            }
        }
        Ok(ids)
    }

    /// Tokenizing megabytes takes seconds; a text that can never fit is refused long before.
    fn refuse_far_too_long(&self, text: &str, most: usize, around: usize) -> Result<(), EngineError> {
        if text.len() <= most.saturating_mul(LIKELY_TOO_LONG).max(PIECE) {
            return Ok(());
        }
        let (mut read, mut tokens, mut cuts) = (0, 0, 0);
        while read < text.len() {
            let end = text.floor_char_boundary(read + PIECE);
            tokens += self.plain(&text[read..end])?.len();
            read = end;
            cuts += 1;
            if tokens > most.saturating_add(cuts * TOKENS_PER_CUT) {
                let projected = (tokens as u128 * text.len() as u128) / read as u128;
                let projected = usize::try_from(projected).unwrap_or(usize::MAX);
                return Err(self.too_long(projected.saturating_add(around)));
            }
        }
        Ok(())
    }
}

/// Reads and checks the text side of a folder as [`crate::TextEmbedder::load`] does, for a model that knows
/// `vocabulary` token ids. Returns how many the tokenizer has. Blocks for up to seconds.
///
/// # Errors
/// Names the file that is missing or wrong.
pub fn inspect_reader(files: impl Into<TextFiles>, vocabulary: u32) -> Result<usize, TextError> {
    let tokens = Tokens::read(&files.into(), vocabulary, TokenCount(u32::MAX))?;
    Ok(tokens.tokenizer.get_vocab_size(true))
}
