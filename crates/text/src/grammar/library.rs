//! The grammar library, made to know a model's tokens.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use llguidance::api::TopLevelGrammar;
use llguidance::earley::SlicedBiasComputer;
use llguidance::{Matcher, ParserFactory};
use toktrie::{ApproximateTokEnv, INVALID_TOKEN, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie};

use crate::vocabulary::Vocabulary;

/// Compiled grammars that are kept, the last ones that were asked for.
const MOST_KEPT: usize = 32;
/// Longer grammars are compiled each time.
const LONGEST_KEPT: usize = 64 * 1024;
/// The trie of tokens takes no longer ones.
const LONGEST_TOKEN: usize = 512;
/// States of the lexer that one sequence may make, at 1 to 2 kB each.
const MOST_LEXER_STATES: usize = 30_000;
/// The library recurses for each level and each reference of a schema, some 6 kB at a time and with no bound
/// of its own; a schema has at most some ten thousands of them. Addresses, not memory: what is not reached
/// is never there.
const COMPILE_STACK: usize = 512 * 1024 * 1024;
/// What a reason may tell of itself, in bytes.
const LONGEST_REASON: usize = 300;

/// A model's grammars. The tokens are brought into the library's form with the first one, so a model that
/// nobody constrains takes no memory for it.
#[derive(Debug)]
pub(crate) struct Grammars {
    vocabulary: Arc<Vocabulary>,
    /// End an answer, where the grammar lets it end.
    stop_tokens: Vec<u32>,
    /// Tokens that are no text, beside the special ones: marks of reasoning and calls.
    marks: Vec<u32>,
    factory: OnceLock<Result<Factory, GrammarError>>,
    /// The least recently used first.
    kept: Mutex<Vec<(String, Arc<Grammar>)>>,
}

struct Factory(ParserFactory);

/// A compiled grammar.
pub(super) struct Grammar(Mutex<Matcher>);

/// Why there is no grammar; fit for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct GrammarError(String);

impl Grammars {
    pub(crate) fn new(vocabulary: Arc<Vocabulary>, stop_tokens: Vec<u32>, marks: Vec<u32>) -> Self {
        Self {
            vocabulary,
            stop_tokens,
            marks,
            factory: OnceLock::new(),
            kept: Mutex::default(),
        }
    }

    pub(super) fn stop_tokens(&self) -> &[u32] {
        &self.stop_tokens
    }

    pub(super) fn vocabulary(&self) -> &Arc<Vocabulary> {
        &self.vocabulary
    }

    /// Compiles a grammar in the library's form of Lark, or finds it again. Takes milliseconds, and with
    /// the first grammar of a model up to a second.
    ///
    /// # Errors
    /// What is wrong with it, or that it is too large.
    pub(super) fn compile(&self, lark: String) -> Result<Arc<Grammar>, GrammarError> {
        if let Some(grammar) = self.find(&lark) {
            return Ok(grammar);
        }
        let factory = self.factory.get_or_init(|| self.factory());
        let Factory(factory) = factory.as_ref().map_err(Clone::clone)?;
        let matcher = compile_aside(factory, &lark)?;
        let grammar = Arc::new(Grammar(Mutex::new(matcher)));
        self.keep(lark, &grammar);
        Ok(grammar)
    }

    fn find(&self, lark: &str) -> Option<Arc<Grammar>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let place = kept.iter().rposition(|(text, _)| text == lark)?;
        let found = kept.remove(place);
        let grammar = Arc::clone(&found.1);
        kept.push(found);
        Some(grammar)
    }

    fn keep(&self, lark: String, grammar: &Arc<Grammar>) {
        if lark.len() > LONGEST_KEPT {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST_KEPT {
            kept.remove(0);
        }
        kept.push((lark, Arc::clone(grammar)));
    }

    fn factory(&self) -> Result<Factory, GrammarError> {
        let unusable = |error| GrammarError(format!("the model's tokens cannot be constrained: {error}"));
        let slices = SlicedBiasComputer::general_slices();
        let capabilities = InferenceCapabilities::default();
        let mut factory = ParserFactory::new(&self.tokens(), capabilities, &slices).map_err(unusable)?;
        factory.quiet();
        let limits = factory.limits_mut();
        limits.max_lexer_states = MOST_LEXER_STATES;
        // Its errors would quote the answer.
        limits.verbose_errors = false;
        Ok(Factory(factory))
    }

    /// All tokens by their bytes. Those that are no text begin with the byte 0xFF, which no text has, so
    /// that they come only where a grammar names their ids. How a text is cut into tokens is left to
    /// the model: the environment is not "canonical", and nothing is forced but one by one.
    fn tokens(&self) -> TokEnv {
        let count = u32::try_from(self.vocabulary.len()).unwrap_or(u32::MAX);
        let words: Vec<Vec<u8>> = (0..count).map(|id| self.word(id)).collect();
        let stops: Vec<u32> = self
            .stop_tokens
            .iter()
            .copied()
            .filter(|id| *id < count)
            .collect();
        let info = TokRxInfo::new(count, stops.first().copied().unwrap_or(INVALID_TOKEN));
        let mut trie = TokTrie::from(&info, &words);
        if !stops.is_empty() {
            trie = trie.with_eos_tokens(&stops);
        }
        Arc::new(ApproximateTokEnv::new(trie))
    }

    fn word(&self, id: u32) -> Vec<u8> {
        if self.vocabulary.is_special(id) || self.stop_tokens.contains(&id) || self.marks.contains(&id) {
            return [&[TokTrie::SPECIAL_TOKEN_MARKER], format!("<{id}>").as_bytes()].concat();
        }
        let bytes = self.vocabulary.bytes(id);
        if bytes.len() > LONGEST_TOKEN {
            return Vec::new();
        }
        bytes.to_vec()
    }
}

/// Compiles on a thread with a stack that no schema fills: an overflow would end the process.
fn compile_aside(factory: &ParserFactory, lark: &str) -> Result<Matcher, GrammarError> {
    let compile = || {
        let parser = factory.create_parser(TopLevelGrammar::from_lark(lark.to_owned()));
        let matcher = Matcher::new(Ok(parser.map_err(|error| reason(&format!("{error:#}")))?));
        match matcher.get_error() {
            Some(error) => Err(reason(&error)),
            None => Ok(matcher),
        }
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("silica-grammar".to_owned())
            .stack_size(COMPILE_STACK);
        let compiling = thread
            .spawn_scoped(scope, compile)
            .map_err(|error| GrammarError(format!("there is no thread to compile it: {error}")))?;
        let compiled = compiling.join();
        compiled.unwrap_or_else(|_panic| Err(GrammarError("it cannot be compiled".to_owned())))
    })
}

impl Grammar {
    /// Begins a sequence that shares nothing with others.
    pub(super) fn start(&self) -> Matcher {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).deep_clone()
    }
}

impl std::fmt::Debug for Factory {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Factory")
    }
}

impl std::fmt::Debug for Grammar {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Grammar")
    }
}

/// The first line of what the library says.
fn reason(text: &str) -> GrammarError {
    let line = text.lines().next().unwrap_or_default().trim();
    let line = line.strip_suffix("<non-verbose/>").unwrap_or(line);
    GrammarError(line[..line.floor_char_boundary(LONGEST_REASON)].to_owned())
}
