//! A model's text side: everything about prompts, without any engine.

use std::collections::BTreeSet;
use std::sync::Arc;

use silica_engine::{
    AnswerForm, ChatRequest, ConstraintSource, Continuation, EngineError, Feature, Message, Role, SpanLimit,
};
use silica_types::{SharedClock, TokenCount};
use tokenizers::{ModelWrapper, Tokenizer};

use crate::answer::Opening;
use crate::calls::CallSyntax;
use crate::folder::{ModelFolder, TemplateSource};
use crate::grammar::{Asked, Grammars, Reasoning, plan};
use crate::prompt::{ControlTokens, Encoder, FimTokens};
use crate::size::{least_tokens, text_bytes};
use crate::template::{ChatTemplate, Conversation, message_values, tool_values};
use crate::vocabulary::{Vocabulary, ids};
use crate::{TextError, TextFiles};

/// Turns requests into prompts.
#[derive(Debug)]
pub(crate) struct TextModel {
    vocabulary: Arc<Vocabulary>,
    encoder: Encoder,
    control: ControlTokens,
    template: Option<ChatTemplate>,
    fim: Option<FimTokens>,
    stop_tokens: Vec<u32>,
    context_length: TokenCount,
    /// The most bytes that a token stands for, spaces not counted; `None` when one token may stand
    /// for text of any length.
    longest_token: Option<usize>,
    /// The model writes its reasoning between `<think>` and `</think>`.
    thinks: bool,
    /// How it writes tool calls.
    pub(crate) syntax: CallSyntax,
    grammars: Grammars,
}

/// A prompt, and how its answer is to be read.
#[derive(Debug)]
pub(crate) struct Prompt {
    /// Token ids, at least one.
    pub(crate) tokens: Vec<u32>,
    /// How the answer begins.
    pub(crate) opening: Opening,
    /// Token ids that end the answer.
    pub(crate) stop_tokens: Vec<u32>,
    /// How tool calls are written, if they are to be read from the answer.
    pub(crate) tools: Option<CallSyntax>,
    /// Whether the answer goes on after text of the prompt.
    pub(crate) continues: bool,
    /// Bounds the reasoning, if the request does.
    pub(crate) reasoning_limit: Option<SpanLimit>,
    /// What the answer may hold, if the request bounds that.
    pub(crate) constraint: Option<Arc<dyn ConstraintSource>>,
}

impl TextModel {
    /// Reads the text files. Blocks.
    pub(crate) fn load(
        files: impl Into<TextFiles>,
        logits: u32,
        context_length: TokenCount,
        clock: SharedClock,
    ) -> Result<Self, TextError> {
        let source = files.into();
        let files = ModelFolder::read(&source)?;
        let file = files.file.clone();
        let decoder = |source| TextError::Decoder {
            file: file.clone(),
            source,
        };
        // Before anything is made for every id: one may be as high as the file likes.
        let tokens = ids(&files.tokenizer);
        if tokens > logits as usize {
            return Err(TextError::VocabularyTooLarge { file, tokens, logits });
        }
        let mut vocabulary = Vocabulary::new(&files.tokenizer).map_err(decoder)?;
        vocabulary.add_symbols(&files.tokenizer, &files.symbols);
        let vocabulary = Arc::new(vocabulary);
        for template in &files.templates {
            check_special_tokens(template, &files)?;
        }
        let (bos, eos) = (files.bos_token.as_deref(), files.eos_token.as_deref());
        let template = ChatTemplate::compile(files.templates, bos, eos, clock)?;
        let control = ControlTokens::new(&vocabulary, template.as_ref());
        let longest_token = (!swallows_text(&files.tokenizer)).then(|| vocabulary.longest());
        let tokenizer = |source| TextError::Tokenizer {
            file: file.clone(),
            source,
        };
        let fim = FimTokens::find(&files.tokenizer);
        let first = bos.filter(|_| files.add_bos_token);
        let first = first.and_then(|token| files.tokenizer.token_to_id(token));
        let mut encoder = Encoder::new(files.tokenizer, &control).map_err(tokenizer)?;
        if let Some(token) = first {
            encoder.begin_with(token);
        }
        let thinks = vocabulary.added_token("</think>").is_some()
            || template
                .as_ref()
                .is_some_and(|template| template.contains("</think>"));
        let stop_tokens = files.stop_tokens;
        let syntax = template.as_ref().map_or(CallSyntax::Hermes, CallSyntax::of);
        let thinking = ["<think>", "</think>"];
        let thinking = thinking
            .into_iter()
            .filter_map(|mark| vocabulary.added_token(mark));
        let marks = syntax.tokens(&vocabulary).into_iter().chain(thinking).collect();
        let grammars = Grammars::new(Arc::clone(&vocabulary), stop_tokens.clone(), marks);
        Ok(Self {
            vocabulary,
            encoder,
            control,
            template,
            fim,
            stop_tokens,
            context_length,
            longest_token,
            thinks,
            syntax,
            grammars,
        })
    }

    pub(crate) fn vocabulary(&self) -> &Arc<Vocabulary> {
        &self.vocabulary
    }

    /// Whether any token ends an answer; without one every answer runs into its limit.
    pub(crate) fn has_stop_tokens(&self) -> bool {
        !self.stop_tokens.is_empty()
    }

    /// Whether the model writes its reasoning between `<think>` and `</think>`.
    pub(crate) const fn reasons(&self) -> bool {
        self.thinks
    }

    /// Whether the model's template and tokens provide for this.
    pub(crate) fn supports(&self, feature: Feature) -> bool {
        let mentions = |variable| {
            self.template
                .as_ref()
                .is_some_and(|template| template.mentions(variable, true))
        };
        match feature {
            Feature::Tools | Feature::ForcedCalls | Feature::StrictTools => mentions("tools"),
            Feature::JsonMode => true,
            Feature::Prefix => self.template.is_some(),
            Feature::FillInMiddle => self.fim.is_some(),
            Feature::Thinking => mentions("enable_thinking"),
            Feature::ThinkingBudget => self.think_marks().is_some(),
            Feature::Vision => false,
        }
    }

    /// Builds the prompt. Takes milliseconds for long conversations.
    ///
    /// # Errors
    /// [`EngineError::Unsupported`], [`EngineError::InvalidRequest`] from the template, and
    /// [`EngineError::ContextExceeded`] for texts that are far too long to be tokenized at all.
    pub(crate) fn prompt(&self, request: &ChatRequest) -> Result<Prompt, EngineError> {
        self.refuse_too_many_bytes(request)?;
        refuse_bound_continuation(request)?;
        match &request.continuation {
            Continuation::FillInMiddle { prefix, suffix } => self.fim_prompt(prefix, suffix),
            Continuation::Text(text) => self.text_prompt(text),
            Continuation::None => self.chat_prompt(request, None),
            Continuation::Prefix(text) => self.chat_prompt(request, Some(text)),
        }
    }

    /// The raw form: what stands in the messages has no place in it.
    fn fim_prompt(&self, prefix: &str, suffix: &str) -> Result<Prompt, EngineError> {
        let fim = self
            .fim
            .as_ref()
            .ok_or(EngineError::Unsupported(Feature::FillInMiddle))?;
        let tokens = fim.prompt(
            &self.encoder,
            &self.control,
            (prefix, suffix),
            self.context_length,
        )?;
        let stop_tokens = self
            .stop_tokens
            .iter()
            .chain(fim.stops())
            .copied()
            .collect::<BTreeSet<u32>>();
        Ok(Prompt {
            tokens,
            opening: Opening::Visible,
            stop_tokens: stop_tokens.into_iter().collect(),
            tools: None,
            continues: true,
            reasoning_limit: None,
            constraint: None,
        })
    }

    /// Nothing but the text, after the token that texts begin with, which clients may have written
    /// themselves.
    fn text_prompt(&self, text: &str) -> Result<Prompt, EngineError> {
        let mut tokens = self.encoder.encode(text, self.context_length)?;
        let preamble = self.encoder.preamble();
        if !tokens.starts_with(preamble) {
            tokens.splice(..0, preamble.iter().copied());
        }
        Ok(Prompt {
            tokens,
            opening: Opening::Visible,
            stop_tokens: self.stop_tokens.clone(),
            tools: None,
            continues: true,
            reasoning_limit: None,
            constraint: None,
        })
    }

    /// A prefix goes on with the visible answer, so no reasoning block may stand before it: it is
    /// rendered with `enable_thinking` false, and refused for models that cannot but think.
    fn chat_prompt(&self, request: &ChatRequest, prefix: Option<&str>) -> Result<Prompt, EngineError> {
        let template = self.template.as_ref();
        let template = template.ok_or_else(|| EngineError::InvalidRequest(NO_TEMPLATE.to_owned()))?;
        self.refuse_too_many(&request.messages)?;
        let tools = !request.tools.is_empty() && request.tool_choice.shows_tools();
        if tools && !template.mentions("tools", true) {
            return Err(EngineError::Unsupported(Feature::Tools));
        }
        let can_switch = template.mentions("enable_thinking", tools);
        if request.thinking.enabled.is_some() && !can_switch {
            return Err(EngineError::Unsupported(Feature::Thinking));
        }
        let enable_thinking = if prefix.is_some() {
            can_switch.then_some(false)
        } else {
            request.thinking.enabled
        };
        let mut text = template.render(self.conversation(request, tools, enable_thinking))?;
        let opening = self.opening(&text);
        if let Some(prefix) = prefix {
            if opening == Opening::Thinking {
                return Err(EngineError::Unsupported(Feature::Prefix));
            }
            text.push_str(prefix);
        }
        let opening = if prefix.is_some() {
            Opening::Visible
        } else {
            opening
        };
        let reasoning_limit = self.reasoning_limit(request.thinking.budget, opening)?;
        let tokens = self.encoder.encode(&text, self.context_length)?;
        let constraint = self.constraint(request, tools, opening)?;
        Ok(Prompt {
            tokens,
            opening,
            stop_tokens: self.stop_tokens.clone(),
            tools: tools.then_some(self.syntax),
            continues: prefix.is_some(),
            reasoning_limit,
            constraint,
        })
    }

    /// What keeps the answer within the form and the calls that the request asks for. Compiles, so it
    /// takes milliseconds unless such a request has been there before.
    fn constraint(
        &self,
        request: &ChatRequest,
        tools: bool,
        opening: Opening,
    ) -> Result<Option<Arc<dyn ConstraintSource>>, EngineError> {
        let opens = self.vocabulary.added_token("<think>");
        // A model that is not to think gets no chance to begin.
        let opens = opens.filter(|_| request.thinking.enabled != Some(false));
        let asked = Asked {
            request,
            tools,
            reasoning: match (opening, opens) {
                (Opening::Thinking, _) => Reasoning::Open,
                (Opening::Undecided, Some(opens)) => Reasoning::MayOpen(opens),
                (Opening::Undecided, None) | (Opening::Visible, _) => Reasoning::None,
            },
            closes: self.vocabulary.added_token("</think>"),
            syntax: self.syntax,
        };
        plan(&self.grammars, &asked)
    }

    /// The budget as the engine understands it. Models without reasoning have nothing to bound.
    ///
    /// # Errors
    /// `Unsupported(ThinkingBudget)` when the think marks are not tokens of their own.
    fn reasoning_limit(
        &self,
        budget: Option<TokenCount>,
        opening: Opening,
    ) -> Result<Option<SpanLimit>, EngineError> {
        let Some(limit) = budget.filter(|_| opening != Opening::Visible) else {
            return Ok(None);
        };
        let unsupported = EngineError::Unsupported(Feature::ThinkingBudget);
        let (opens, closes) = self.think_marks().ok_or(unsupported)?;
        Ok(Some(SpanLimit {
            opens: (opening == Opening::Undecided).then_some(opens),
            closes,
            limit,
            ending: self.encoder.encode("\n</think>\n\n", self.context_length)?,
        }))
    }

    /// The tokens that open and close the reasoning, if the marks are tokens.
    fn think_marks(&self) -> Option<(u32, u32)> {
        let mark = |text| self.vocabulary.added_token(text);
        mark("<think>").zip(mark("</think>"))
    }

    /// Every message costs at least one token, so more messages than the context has tokens can
    /// never fit; rendering hundreds of thousands of them would take seconds to find that out.
    fn refuse_too_many(&self, messages: &[Message]) -> Result<(), EngineError> {
        let (prompt, limit) = (TokenCount::of(messages), self.context_length);
        if prompt > limit {
            return Err(EngineError::ContextExceeded { prompt, limit });
        }
        Ok(())
    }

    /// Copying, rendering and tokenizing megabytes takes seconds; a text that cannot fit even in the
    /// longest tokens is refused before. The reported number is a lower bound.
    fn refuse_too_many_bytes(&self, request: &ChatRequest) -> Result<(), EngineError> {
        let limit = self.context_length;
        match self.longest_token.map(|longest| least_tokens(request, longest)) {
            Some(prompt) if prompt > limit => Err(EngineError::ContextExceeded { prompt, limit }),
            _ => Ok(()),
        }
    }

    fn conversation(
        &self,
        request: &ChatRequest,
        tools: bool,
        enable_thinking: Option<bool>,
    ) -> Conversation {
        let messages = request.messages.iter().map(|message| self.guarded(message));
        let tools = if tools {
            tool_values(&request.tools)
        } else {
            Vec::new()
        };
        let bytes = tools.iter().map(|tool| tool.to_string().len()).sum::<usize>() + text_bytes(request);
        Conversation {
            messages: message_values(messages),
            tools,
            enable_thinking,
            bytes,
        }
    }

    /// See [`ControlTokens`]: texts that may come from strangers cannot write special tokens.
    fn guarded(&self, message: &Message) -> Message {
        let mut message = message.clone();
        if matches!(message.role, Role::User | Role::Tool) {
            message.content = self.control.wrap(&message.content).into_owned();
        }
        message
    }

    fn opening(&self, prompt: &str) -> Opening {
        if !self.thinks {
            Opening::Visible
        } else if prompt.trim_end().ends_with("<think>") {
            Opening::Thinking
        } else {
            Opening::Undecided
        }
    }
}

const NO_TEMPLATE: &str = "this model has no chat template: it completes text and cannot answer messages";

/// What follows a text of the client's own can be no whole JSON value and no call.
fn refuse_bound_continuation(request: &ChatRequest) -> Result<(), EngineError> {
    let is_bound = request.form != AnswerForm::Text || request.tool_choice.forces_call();
    if is_bound && request.continuation != Continuation::None {
        return Err(EngineError::InvalidRequest(BOUND_CONTINUATION.to_owned()));
    }
    Ok(())
}

const BOUND_CONTINUATION: &str =
    "an answer that continues a text cannot be a JSON form or a forced call: leave one of the two out";

/// Whether the tokenizer may put one token, the "unknown" one, for text of any length.
fn swallows_text(tokenizer: &Tokenizer) -> bool {
    match tokenizer.get_model() {
        ModelWrapper::BPE(model) => model.unk_token.is_some() && !model.byte_fallback,
        ModelWrapper::Unigram(model) => !model.byte_fallback(),
        ModelWrapper::WordPiece(_) | ModelWrapper::WordLevel(_) => true,
    }
}

/// Special tokens of common templates that are not spelled like `<|im_start|>`.
const OTHER_SPELLINGS: [&str; 6] = [
    "<s>",
    "</s>",
    "<bos>",
    "<eos>",
    "<start_of_turn>",
    "<end_of_turn>",
];

/// Refuses a template that writes tokens like `<|im_start|>` which the tokenizer does not have:
/// they would reach the model as plain text, and it would answer nonsense.
fn check_special_tokens(template: &TemplateSource, files: &ModelFolder) -> Result<(), TextError> {
    for (open, close) in [("<|", "|>"), ("<｜", "｜>")] {
        let mut rest = template.source.as_str();
        while let Some(start) = rest.find(open) {
            let inside = &rest[start + open.len()..];
            let is_name = |text: &str| {
                text.chars()
                    .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '▁'))
            };
            match inside.find(close).map(|end| &inside[..end]) {
                Some(name) if !name.is_empty() && is_name(name) => {
                    let token = format!("{open}{name}{close}");
                    if files.tokenizer.token_to_id(&token).is_none() {
                        return Err(TextError::UnknownToken {
                            file: template.file.clone(),
                            token,
                        });
                    }
                }
                _ => {}
            }
            rest = inside;
        }
    }
    let unnamed = OTHER_SPELLINGS
        .into_iter()
        .filter(|token| template.source.contains(token));
    // The variable is only as good as the token it stands for; an empty one stands for none.
    let begins = files.bos_token.as_deref();
    let begins = begins.filter(|token| !token.is_empty() && template.source.contains("bos_token"));
    match unnamed
        .chain(begins)
        .find(|token| files.tokenizer.token_to_id(token).is_none())
    {
        None => Ok(()),
        Some(token) => Err(TextError::UnknownToken {
            file: template.file.clone(),
            token: token.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests;
