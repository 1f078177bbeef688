//! What a tokenizer puts around texts: `[CLS] text [SEP]`, `<s> query </s></s> document </s>`.

use silica_engine::TokenSequence;
use tokenizers::{Encoding, Token, Tokenizer};

/// The tokens around one text, or around two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    /// Before the first text, behind it, and so on: one more than there are texts.
    around: Vec<Vec<u32>>,
    /// How many of the tokens come before those of the second type, as [`TokenSequence::second`] has it, but
    /// counted without the texts: those of this many texts come first, and this many others.
    second: Option<(usize, usize)>,
}

/// Ids that no tokenizer has: they mark where the texts are.
const MARKS: [u32; 2] = [u32::MAX - 1, u32::MAX];

impl Frame {
    /// What the tokenizer puts around one text.
    ///
    /// # Errors
    /// What the tokenizer reports.
    pub(super) fn of_one(tokenizer: &Tokenizer) -> tokenizers::Result<Self> {
        Self::of(tokenizer, 1)
    }

    /// What the tokenizer puts around a pair of texts.
    ///
    /// # Errors
    /// What the tokenizer reports.
    pub(super) fn of_pair(tokenizer: &Tokenizer) -> tokenizers::Result<Self> {
        Self::of(tokenizer, 2)
    }

    fn of(tokenizer: &Tokenizer, texts: usize) -> tokenizers::Result<Self> {
        let text = |index: usize| {
            let mark = Token::new(MARKS[index], "a".to_owned(), (0, 1));
            Encoding::from_tokens(vec![mark], u32::try_from(index).unwrap_or(0))
        };
        let framed = tokenizer.post_process(text(0), (texts > 1).then(|| text(1)), true)?;
        let ids = framed.get_ids();
        let mut around = vec![Vec::new()];
        for id in ids {
            if MARKS[..texts].contains(id) {
                around.push(Vec::new());
            } else if let Some(last) = around.last_mut() {
                last.push(*id);
            }
        }
        if around.len() != texts + 1 {
            return Err("the tokenizer leaves out a text".into());
        }
        let second = framed.get_type_ids().iter().position(|kind| *kind == 1);
        let second = second.filter(|_| texts > 1).map(|position| {
            let before = &ids[..position];
            let texts = before.iter().filter(|id| MARKS.contains(id)).count();
            (texts, position - texts)
        });
        Ok(Self { around, second })
    }

    /// How many tokens it adds.
    pub(super) fn len(&self) -> usize {
        self.around.iter().map(Vec::len).sum()
    }

    /// Puts it around texts, as many as it is for.
    pub(super) fn around(&self, texts: &[&[u32]]) -> TokenSequence {
        let mut tokens = Vec::with_capacity(self.len() + texts.iter().map(|text| text.len()).sum::<usize>());
        let mut parts = self.around.iter();
        tokens.extend(parts.next().into_iter().flatten());
        for (text, part) in texts.iter().zip(parts) {
            tokens.extend_from_slice(text);
            tokens.extend(part);
        }
        let second = self
            .second
            .map(|(before, own)| own + texts.iter().take(before).map(|text| text.len()).sum::<usize>());
        TokenSequence { tokens, second }
    }
}
