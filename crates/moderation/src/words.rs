//! A list of words.

use std::collections::BTreeMap;
use std::sync::Arc;

use aho_corasick::AhoCorasick;
use async_trait::async_trait;
use silica_engine::{Judgement, Judgements, ModerationError, ModerationRequest, Moderator};

use crate::border::folded;

/// The most characters of a word. What is held back of a stream grows with the longest.
const LONGEST: usize = 200;
/// The most characters that one character of a word can be spelled with: a letter and three marks, see
/// Unicode's report 15, "Maximum expansion factors".
const SPELLED: usize = 4;
/// Texts up to this size are looked through where they are; larger ones on the blocking pool, in bytes.
const LARGEST_DIRECT: usize = 16 * 1024;
/// What it calls itself and its only category to clients.
const NAME: &str = "silica-words";
const CATEGORY: &str = "listed";

/// Refuses texts that have a word of a list in them. Clones share it.
#[derive(Debug, Clone)]
pub struct WordList {
    words: Arc<AhoCorasick>,
    reach: usize,
}

/// Why a list is not usable. Words are named by their lines: they are not for the log.
#[derive(Debug, thiserror::Error)]
pub enum WordListError {
    /// There is nothing in it.
    #[error("there is no word in it; write one a line")]
    Empty,
    /// A word has too many characters.
    #[error("line {line} has more than {LONGEST} characters")]
    TooLong {
        /// Counted from 1.
        line: usize,
    },
    /// It is too large.
    #[error("the list is too large")]
    TooLarge(#[source] aho_corasick::BuildError),
}

impl WordList {
    /// Reads a list: a word a line, or several words that follow each other just so. Blanks around them,
    /// empty lines and those that begin with `#` say nothing.
    ///
    /// # Errors
    /// When the list is not usable.
    pub fn new(list: &str) -> Result<Self, WordListError> {
        let lines = list.trim_start_matches('\u{feff}').lines().map(str::trim);
        let said = (1..)
            .zip(lines)
            .filter(|(_, word)| !word.is_empty() && !word.starts_with('#'));
        let (mut words, mut longest) = (Vec::new(), 0);
        for (line, word) in said {
            let word = folded(word);
            let length = word.chars().count();
            if length > LONGEST {
                return Err(WordListError::TooLong { line });
            }
            longest = longest.max(length);
            words.push(word);
        }
        if words.is_empty() {
            return Err(WordListError::Empty);
        }
        let words = AhoCorasick::new(words).map_err(WordListError::TooLarge)?;
        Ok(Self {
            words: Arc::new(words),
            reach: SPELLED * longest,
        })
    }

    /// Whether a word of the list is anywhere in the text, also within another word: writing without blanks
    /// between words is as common.
    pub fn is_in(&self, text: &str) -> bool {
        self.words.is_match(&folded(text))
    }

    /// Looks through texts, where that holds up nobody.
    async fn look<T: Send + 'static>(
        &self,
        texts: Vec<String>,
        look: impl FnOnce(&Self, &[String]) -> T + Send + 'static,
    ) -> Result<T, ModerationError> {
        let size: usize = texts.iter().map(String::len).sum();
        if size <= LARGEST_DIRECT {
            return Ok(look(self, &texts));
        }
        let list = self.clone();
        let looking = tokio::task::spawn_blocking(move || look(&list, &texts));
        looking.await.map_err(ModerationError::unavailable)
    }
}

#[async_trait]
impl Moderator for WordList {
    async fn refuses(&self, texts: Vec<String>) -> Result<bool, ModerationError> {
        let any = |list: &Self, texts: &[String]| texts.iter().any(|text| list.is_in(text));
        self.look(texts, any).await
    }

    fn reach(&self) -> usize {
        self.reach
    }

    async fn judge(&self, request: ModerationRequest) -> Result<Judgements, ModerationError> {
        if request.has_images {
            let text = "input: this server's moderation is a list of words, which sees no images";
            return Err(ModerationError::Invalid(text.to_owned()));
        }
        let place = request.place;
        let each = move |list: &Self, texts: &[String]| {
            // Looking does not end when nobody waits for it any more, so it keeps its place.
            let _place = place;
            texts.iter().map(|text| judgement(list.is_in(text))).collect()
        };
        Ok(Judgements {
            model: NAME.to_owned(),
            results: self.look(request.texts, each).await?,
        })
    }
}

fn judgement(flagged: bool) -> Judgement {
    let of_category = |is_so: bool| BTreeMap::from([(CATEGORY.to_owned(), is_so)]);
    Judgement {
        flagged,
        categories: of_category(flagged),
        scores: BTreeMap::from([(CATEGORY.to_owned(), f64::from(u8::from(flagged)))]),
        applied: BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_any_spelling_and_within_others() {
        let list =
            WordList::new("\u{feff}# a comment\n\n  Bad Word \n\u{574f}\u{8bdd}\ncaf\u{e9}\n").unwrap();
        for text in [
            "a bad word.",
            "A BAD WORD",
            "xbad wordx",
            "\u{ff42}ad word",
            "\u{8bf4}\u{574f}\u{8bdd}\u{4e86}",
            "the cafe\u{301}s",
        ] {
            assert!(list.is_in(text), "{text}");
        }
        for text in ["", "bad  word", "# a comment", "cafe"] {
            assert!(!list.is_in(text), "{text}");
        }
    }

    #[test]
    fn lists_without_words_and_with_endless_ones_are_refused() {
        assert!(matches!(
            WordList::new(" \n# nothing\n"),
            Err(WordListError::Empty)
        ));
        let long = format!("good\n{}", "x".repeat(201));
        assert!(matches!(
            WordList::new(&long),
            Err(WordListError::TooLong { line: 2 })
        ));
        assert_eq!(WordList::new("abc\nabcde").unwrap().reach(), 20);
    }

    #[test]
    fn a_place_is_kept_until_nobody_looks_any_more() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.max_blocking_threads(1).build().unwrap();
        runtime.block_on(async {
            let (go_on, until) = std::sync::mpsc::channel::<()>();
            // The only thread is busy.
            let busy = tokio::task::spawn_blocking(move || until.recv());
            let place: Arc<dyn std::any::Any + Send + Sync> = Arc::new(());
            let list = WordList::new("needle").unwrap();
            let mut judging = list.judge(ModerationRequest {
                model: None,
                input: Vec::new().into(),
                texts: vec!["hay ".repeat(10_000)],
                has_images: false,
                place: Some(Arc::clone(&place)),
            });
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(judging.as_mut().poll(&mut context).is_pending());
            drop(judging);
            assert_eq!(Arc::strong_count(&place), 2, "it is still to be looked through");
            go_on.send(()).unwrap();
            busy.await.unwrap().unwrap();
            // What was waiting has begun when something behind it ends.
            tokio::task::spawn_blocking(|| ()).await.unwrap();
            assert_eq!(Arc::strong_count(&place), 1);
        });
    }

    #[tokio::test]
    async fn long_texts_are_looked_through_as_well() {
        let list = WordList::new("needle").unwrap();
        let hay = "hay ".repeat(10_000);
        assert!(!list.refuses(vec![hay.clone()]).await.unwrap());
        assert!(list.refuses(vec![hay, "a Needle".to_owned()]).await.unwrap());
    }
}
