//! The ways in which models write tool calls.

use crate::template::ChatTemplate;
use crate::vocabulary::Vocabulary;

/// How a model writes its calls, as its chat template shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallSyntax {
    /// Hermes, Qwen: `<tool_call>\n{"name": "f", "arguments": {..}}\n</tool_call>`.
    Hermes,
    /// Llama 3: `{"name": "f", "parameters": {..}}` and nothing else, sometimes after `<|python_tag|>`.
    Llama,
    /// Mistral: `[TOOL_CALLS][{"name": "f", "arguments": {..}}, ..]`.
    Mistral,
    /// Mistral since version 11 of its tokenizer: `[TOOL_CALLS]f[ARGS]{..}`.
    MistralArguments,
    /// `DeepSeek` V3 and R1: `function<｜tool▁sep｜>f\n` and the arguments in a fence, between its marks.
    DeepSeek,
    /// `DeepSeek` V3.1: `f<｜tool▁sep｜>{..}` between its marks.
    DeepSeekBare,
    /// `InternLM`: `<|action_start|><|plugin|>\n{"name": "f", "parameters": {..}}<|action_end|>`.
    InternLm,
    /// GLM-4: `f\n{..}`, with nothing before it.
    Glm,
}

/// The marks of a syntax. Each is a token of its own in some vocabularies and spelled in others.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CallMarks {
    /// Begin a call.
    pub(crate) open: &'static [&'static str],
    /// End a call.
    pub(crate) close: &'static [&'static str],
    /// Stand before and after all calls.
    pub(crate) frame: &'static [&'static str],
    /// Stand within a call.
    pub(crate) split: &'static [&'static str],
}

const NO_MARKS: CallMarks = CallMarks {
    open: &[],
    close: &[],
    frame: &[],
    split: &[],
};

impl CallSyntax {
    /// Finds out how a model writes calls: by the marks that its template writes. Templates that write
    /// none get the most common syntax.
    pub(crate) fn of(template: &ChatTemplate) -> Self {
        let writes = |mark: &str| template.contains(mark);
        if writes("<｜tool▁calls▁begin｜>") {
            if writes("```json") {
                Self::DeepSeek
            } else {
                Self::DeepSeekBare
            }
        } else if writes("[TOOL_CALLS]") {
            if writes("[ARGS]") {
                Self::MistralArguments
            } else {
                Self::Mistral
            }
        } else if writes("<|action_start|>") && writes("<|plugin|>") {
            Self::InternLm
        } else if writes("<|observation|>") && !writes("<tool_call>") {
            Self::Glm
        } else if !writes("<tool_call>")
            && (writes("<|python_tag|>") || (writes("<|eot_id|>") && writes("\"parameters\": ")))
        {
            Self::Llama
        } else {
            Self::Hermes
        }
    }

    /// Whether calls have no mark, so that only an answer that begins like one is one.
    pub(crate) const fn begins_bare(self) -> bool {
        matches!(self, Self::Llama | Self::Glm)
    }

    /// Whether a call begins with the function's name, and has no other form: what does not go on like one
    /// is text.
    pub(crate) const fn begins_with_name(self) -> bool {
        matches!(self, Self::Glm)
    }

    /// Its marks.
    pub(crate) const fn marks(self) -> CallMarks {
        match self {
            Self::Hermes => CallMarks {
                open: &["<tool_call>"],
                close: &["</tool_call>"],
                ..NO_MARKS
            },
            Self::Llama => CallMarks {
                open: &["<|python_tag|>"],
                ..NO_MARKS
            },
            Self::Mistral => CallMarks {
                open: &["[TOOL_CALLS]"],
                ..NO_MARKS
            },
            Self::MistralArguments => CallMarks {
                open: &["[TOOL_CALLS]"],
                split: &["[ARGS]"],
                ..NO_MARKS
            },
            Self::DeepSeek | Self::DeepSeekBare => CallMarks {
                open: &["<｜tool▁call▁begin｜>"],
                close: &["<｜tool▁call▁end｜>"],
                frame: &["<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"],
                split: &["<｜tool▁sep｜>"],
            },
            Self::InternLm => CallMarks {
                open: &["<|plugin|>"],
                close: &["<|action_end|>"],
                frame: &["<|action_start|>"],
                ..NO_MARKS
            },
            Self::Glm => NO_MARKS,
        }
    }

    /// The marks that are tokens.
    pub(crate) fn tokens(self, vocabulary: &Vocabulary) -> Vec<u32> {
        let CallMarks {
            open,
            close,
            frame,
            split,
        } = self.marks();
        let marks = [open, close, frame, split].into_iter().flatten();
        marks.filter_map(|mark| vocabulary.added_token(mark)).collect()
    }
}
