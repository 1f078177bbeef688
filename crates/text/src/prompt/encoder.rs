//! Text to token ids.

use std::collections::HashMap;

use silica_engine::EngineError;
use silica_types::TokenCount;
use tokenizers::{AddedVocabulary, Tokenizer};

use super::control_tokens::{ControlTokens, WRAP_END, WRAP_START};

/// Tokenizes prompts; see [`ControlTokens`] for what it does with wrapped tokens.
#[derive(Debug)]
pub(crate) struct Encoder {
    tokenizer: Tokenizer,
    /// Ids that the tokenizer puts before a bare text (BOS, or more), for prompts without a template.
    preamble: Vec<u32>,
    /// The ids of control tokens taken as plain text.
    plain: HashMap<String, Vec<u32>>,
    /// The ids of a line break, when the tokenizer adds a space before each text that it is
    /// given, and so a text in the middle must be tokenized after something.
    line_break: Option<Vec<u32>>,
}

/// Texts longer than this many bytes for each token of room are looked at piece by piece first.
const LIKELY_TOO_LONG: usize = 6;
/// The size of such a piece in bytes.
const PIECE: usize = 32 * 1024;
/// The most tokens that cutting a text at one place adds.
const TOKENS_PER_CUT: usize = 32;

impl Encoder {
    /// Works out the plain ids of all control tokens.
    ///
    /// # Errors
    /// What the tokenizer reports.
    pub(crate) fn new(tokenizer: Tokenizer, control: &ControlTokens) -> tokenizers::Result<Self> {
        let mut without_added = tokenizer.clone();
        without_added.with_added_vocabulary(AddedVocabulary::new());
        let ids = |text: &str| -> tokenizers::Result<Vec<u32>> {
            Ok(without_added.encode_fast(text, false)?.get_ids().to_vec())
        };
        let line_break = ids("\n")?;
        let adds_space = ids("a")? != after(&line_break, ids("\na")?).unwrap_or_default();
        let line_break = adds_space.then_some(line_break);
        let mut plain = HashMap::new();
        for (text, id) in control.spellings() {
            plain.insert(text.clone(), plain_ids(text, *id, line_break.as_deref(), &ids)?);
        }
        Ok(Self {
            preamble: preamble(&tokenizer)?,
            tokenizer,
            plain,
            line_break,
        })
    }

    /// Ids that stand before a bare text.
    pub(crate) fn preamble(&self) -> &[u32] {
        &self.preamble
    }

    /// Puts this token before bare texts, unless the tokenizer puts one there already.
    pub(crate) fn begin_with(&mut self, token: u32) {
        if self.preamble.is_empty() {
            self.preamble.push(token);
        }
    }

    /// Tokenizes a rendered prompt, without adding anything.
    ///
    /// # Errors
    /// [`EngineError::ContextExceeded`] as soon as it is certain that there are more tokens than
    /// `limit`; for very long texts the reported number is then projected from the part that was
    /// looked at. [`EngineError::Failed`] when the tokenizer fails.
    pub(crate) fn encode(&self, text: &str, limit: TokenCount) -> Result<Vec<u32>, EngineError> {
        self.refuse_far_too_long(text, limit)?;
        let mut ids = Vec::new();
        self.encode_into(text, true, &mut ids)?;
        Ok(ids)
    }

    /// Tokenizes a text that stands after other tokens.
    ///
    /// # Errors
    /// As [`Encoder::encode`].
    pub(crate) fn encode_middle(&self, text: &str, limit: TokenCount) -> Result<Vec<u32>, EngineError> {
        self.refuse_far_too_long(text, limit)?;
        let mut ids = Vec::new();
        self.encode_into(text, false, &mut ids)?;
        Ok(ids)
    }

    fn encode_into(&self, text: &str, at_start: bool, ids: &mut Vec<u32>) -> Result<(), EngineError> {
        let mut first = at_start;
        for (piece, wrapped) in pieces(text) {
            match self.plain.get(piece).filter(|_| wrapped) {
                Some(plain) => ids.extend(plain),
                None if !piece.is_empty() => ids.extend(self.encode_piece(piece, first)?),
                None => continue,
            }
            first = false;
        }
        Ok(())
    }

    fn encode_piece(&self, piece: &str, first: bool) -> Result<Vec<u32>, EngineError> {
        let ids = |text: &str| -> Result<Vec<u32>, EngineError> {
            let encoding = self
                .tokenizer
                .encode_fast(text, false)
                .map_err(EngineError::Failed)?;
            Ok(encoding.get_ids().to_vec())
        };
        if let Some(line_break) = self.line_break.as_ref().filter(|_| !first)
            && let Some(rest) = after(line_break, ids(&format!("\n{piece}"))?)
        {
            return Ok(rest);
        }
        ids(piece)
    }

    /// Tokenizing megabytes takes seconds; a prompt that can never fit is refused long before.
    fn refuse_far_too_long(&self, text: &str, limit: TokenCount) -> Result<(), EngineError> {
        let room = limit.get() as usize;
        if text.len() <= room.saturating_mul(LIKELY_TOO_LONG).max(PIECE) {
            return Ok(());
        }
        let (mut read, mut tokens, mut cuts) = (0, 0, 0);
        while read < text.len() {
            let end = text.floor_char_boundary(read + PIECE);
            tokens += self.encode_piece(&text[read..end], read == 0)?.len();
            read = end;
            cuts += 1;
            if tokens > room + cuts * TOKENS_PER_CUT {
                let projected = (tokens as u128 * text.len() as u128) / read as u128;
                let prompt = TokenCount(u32::try_from(projected).unwrap_or(u32::MAX));
                return Err(EngineError::ContextExceeded { prompt, limit });
            }
        }
        Ok(())
    }
}

/// What the tokenizer puts before a text; what it puts behind one would end the prompt.
fn preamble(tokenizer: &Tokenizer) -> tokenizers::Result<Vec<u32>> {
    let bare = tokenizer.encode_fast("a", false)?;
    let whole = tokenizer.encode_fast("a", true)?;
    let (bare, whole) = (bare.get_ids(), whole.get_ids());
    let start = (0..whole.len()).find(|start| whole[*start..].starts_with(bare));
    Ok(whole[..start.unwrap_or(0)].to_vec())
}

/// The ids after a prefix, if that is what they begin with.
fn after(prefix: &[u32], mut ids: Vec<u32>) -> Option<Vec<u32>> {
    ids.starts_with(prefix).then(|| ids.split_off(prefix.len()))
}

/// The ids of a control token's spelling as plain text: never the token itself.
fn plain_ids(
    text: &str,
    id: u32,
    line_break: Option<&[u32]>,
    ids: &impl Fn(&str) -> tokenizers::Result<Vec<u32>>,
) -> tokenizers::Result<Vec<u32>> {
    let middle = |text: &str| match line_break {
        Some(prefix) => Ok(match after(prefix, ids(&format!("\n{text}"))?) {
            Some(rest) => rest,
            None => ids(text)?,
        }),
        None => ids(text),
    };
    let whole = middle(text)?;
    if !whole.contains(&id) {
        return Ok(whole);
    }
    // The model's own vocabulary has the spelling as well; letter by letter it does not appear.
    let mut letters = Vec::new();
    for letter in text.chars() {
        letters.extend(middle(letter.encode_utf8(&mut [0; 4]))?);
    }
    letters.retain(|letter| *letter != id);
    Ok(letters)
}

/// Cuts a text at the wrapping characters, which belong to no piece; says for each piece whether
/// it stood wrapped.
fn pieces(text: &str) -> impl Iterator<Item = (&str, bool)> {
    let mut opened = false;
    text.split_inclusive([WRAP_START, WRAP_END]).map(move |part| {
        let (piece, end) = match part.chars().next_back() {
            Some(mark @ (WRAP_START | WRAP_END)) => (&part[..part.len() - mark.len_utf8()], Some(mark)),
            _ => (part, None),
        };
        let wrapped = opened && end == Some(WRAP_END);
        opened = end == Some(WRAP_START);
        (piece, wrapped)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::Vocabulary;

    #[test]
    fn pieces_are_wrapped_only_between_both_marks() {
        let text = format!("a{WRAP_START}b{WRAP_END}c{WRAP_END}d{WRAP_START}e{WRAP_START}f");
        let cut: Vec<_> = pieces(&text).collect();
        assert_eq!(
            cut,
            [
                ("a", false),
                ("b", true),
                ("c", false),
                ("d", false),
                ("e", false),
                ("f", false)
            ]
        );
        assert_eq!(pieces("plain").collect::<Vec<_>>(), [("plain", false)]);
    }

    /// A tokenizer whose model knows the special token's spelling as a word of its own.
    fn word_tokenizer() -> Tokenizer {
        let form = serde_json::json!({
            "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "pre_tokenizer": null,
            "post_processor": null, "decoder": { "type": "Fuse" },
            "added_tokens": [{ "id": 0, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false,
                               "normalized": false, "special": true }],
            "model": { "type": "WordLevel", "unk_token": "?",
                       "vocab": { "<s>": 0, "?": 1, "<": 2, "s": 3, ">": 4, "a": 5, "\n": 6 } },
        });
        Tokenizer::from_bytes(form.to_string()).unwrap()
    }

    #[test]
    fn a_wrapped_token_never_becomes_the_token_itself() {
        let tokenizer = word_tokenizer();
        let control = ControlTokens::new(&Vocabulary::new(&tokenizer).unwrap(), None);
        let encoder = Encoder::new(tokenizer, &control).unwrap();
        let limit = TokenCount(100);
        assert_eq!(encoder.encode("<s>a", limit).unwrap(), [0, 5]);
        assert_eq!(
            encoder.encode(&control.wrap("<s>a"), limit).unwrap(),
            [2, 3, 4, 5]
        );
    }
}
