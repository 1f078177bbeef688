//! Models that are asked in words whether a document answers a query, and say yes or no: Qwen3-Reranker.

use silica_engine::{Choice, EngineError, TokenSequence};

use super::tokens::Tokens;
use crate::folder::{TOKENIZER, read_tokenizer};
use crate::{TextError, TextFiles};

/// The prompt of the model's card (huggingface.co/Qwen/Qwen3-Reranker-0.6B).
const PREFIX: &str = "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query \
    and the Instruct provided. Note that the answer can only be \"yes\" or \"no\".<|im_end|>\n<|im_start|>user\n";
/// What stands behind the document: the model answers without thinking.
const SUFFIX: &str = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n";
/// The instruction of requests that bring none.
const INSTRUCTION: &str = "Given a web search query, retrieve relevant passages that answer the query";

/// The question around a query and a document.
#[derive(Debug)]
pub(super) struct Judge {
    prefix: Vec<u32>,
    suffix: Vec<u32>,
    choice: Choice,
}

impl Judge {
    /// Works out the tokens of the question.
    ///
    /// # Errors
    /// When the tokenizer lacks one of them, so that the model is another one.
    pub(super) fn read(files: &TextFiles) -> Result<Self, TextError> {
        // The only texts in which special tokens mean what they say.
        let tokenizer = read_tokenizer(files)?;
        let file = || files.path(TOKENIZER);
        let token = |text: &str| {
            let unknown = || TextError::UnknownToken {
                file: file(),
                token: text.to_owned(),
            };
            tokenizer.token_to_id(text).ok_or_else(unknown)
        };
        for special in ["<|im_start|>", "<|im_end|>"] {
            token(special)?;
        }
        let ids = |text: &str| {
            let encoding = tokenizer.encode_fast(text, false);
            let invalid = |source| TextError::Tokenizer { file: file(), source };
            Ok::<_, TextError>(encoding.map_err(invalid)?.get_ids().to_vec())
        };
        Ok(Self {
            prefix: ids(PREFIX)?,
            suffix: ids(SUFFIX)?,
            choice: Choice {
                favourable: token("yes")?,
                unfavourable: token("no")?,
            },
        })
    }

    /// The answers.
    pub(super) const fn choice(&self) -> Choice {
        self.choice
    }

    /// The whole question.
    ///
    /// # Errors
    /// As [`Tokens::ids`].
    pub(super) fn question(
        &self,
        tokens: &Tokens,
        instruction: Option<&str>,
        query: &str,
        document: &str,
    ) -> Result<TokenSequence, EngineError> {
        let instruction = instruction.unwrap_or(INSTRUCTION);
        let text = format!("<Instruct>: {instruction}\n<Query>: {query}\n<Document>: {document}");
        let around = self.prefix.len() + self.suffix.len();
        let most = (tokens.limit().get() as usize).saturating_sub(around);
        let ids = tokens.ids(&text, most, around)?;
        Ok(TokenSequence {
            tokens: [self.prefix.as_slice(), &ids, &self.suffix].concat(),
            second: None,
        })
    }
}
