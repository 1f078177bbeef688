//! An answer while it grows: the items that it consists of, and the events that tell of them. An answer
//! in one piece grows the same way, with nobody to hear the events.

use silica_engine::{Delta, FinishReason, Usage};
use silica_protocol::ApiError;
use silica_protocol::openai::chat::TokenLogprob;
use silica_protocol::openai::responses::{
    ContentPart, FunctionCallItem, IncompleteDetails, ItemStatus, MessageItem, OutputItem, ReasoningItem,
    Response, ResponseError, ResponseEvent, ResponseStatus, ResponseUsage, Settings,
};

use crate::chat::wire::{self, Head};

/// Hears what happens to an answer.
pub(super) trait Listener {
    /// Takes one event.
    fn hear(&mut self, event: ResponseEvent<'_>);
}

/// Hears nothing.
pub(super) struct Deaf;

impl Listener for Deaf {
    fn hear(&mut self, _event: ResponseEvent<'_>) {}
}

/// The answer so far.
pub(super) struct Growing {
    id: String,
    head: Head,
    settings: Settings,
    output: Vec<OutputItem>,
    /// Whether the last item may grow.
    is_open: bool,
    /// Of each call, by its position among the calls: its place in the output.
    calls: Vec<usize>,
}

/// How an answer ended.
struct End<'a> {
    status: ResponseStatus,
    error: Option<ResponseError<'a>>,
    usage: Option<Usage>,
}

/// The two kinds of text.
#[derive(Clone, Copy)]
enum Kind {
    Reasoning,
    Message,
}

impl Growing {
    pub(super) fn new(head: Head, settings: Settings) -> Self {
        Self {
            id: format!("resp_{}", head.id),
            head,
            settings,
            output: Vec::new(),
            is_open: false,
            calls: Vec::new(),
        }
    }

    /// Tells that the answer has begun.
    pub(super) fn begin(&self, listener: &mut impl Listener) {
        let response = self.response(&IN_PROGRESS);
        listener.hear(ResponseEvent::Created {
            response: response.clone(),
        });
        listener.hear(ResponseEvent::InProgress { response });
    }

    /// Takes more of the answer.
    pub(super) fn add(&mut self, delta: Delta, listener: &mut impl Listener) {
        match delta {
            Delta::Reasoning { text } => self.add_text(Kind::Reasoning, &text, Vec::new(), listener),
            Delta::Content { text, logprobs } => {
                let logprobs = wire::logprobs(logprobs).collect();
                self.add_text(Kind::Message, &text, logprobs, listener);
            }
            Delta::ToolCallStarted { index: _, id, name } => {
                let place = self.open(listener, |id_of_item| {
                    OutputItem::FunctionCall(FunctionCallItem {
                        id: id_of_item("fc"),
                        status: ItemStatus::InProgress,
                        call_id: id,
                        name,
                        arguments: String::new(),
                    })
                });
                self.calls.push(place);
            }
            Delta::ToolCallArguments { index, fragment } => self.add_arguments(index, &fragment, listener),
        }
    }

    /// Takes the reason of the end.
    pub(super) fn end(&mut self, reason: FinishReason, usage: Usage, listener: &mut impl Listener) {
        self.close(
            match reason {
                FinishReason::Length => ItemStatus::Incomplete,
                FinishReason::Stop | FinishReason::ToolCalls => ItemStatus::Completed,
            },
            listener,
        );
        let response = self.whole(reason, usage);
        listener.hear(match reason {
            FinishReason::Length => ResponseEvent::Incomplete { response },
            FinishReason::Stop | FinishReason::ToolCalls => ResponseEvent::Completed { response },
        });
    }

    /// Tells that the answer failed. What it was saying stays as it is.
    pub(super) fn fail(&mut self, error: &ApiError, listener: &mut impl Listener) {
        listener.hear(ResponseEvent::Error {
            code: error.code.number().to_string(),
            message: &error.message,
            param: None,
        });
        if let Some(item) = self.output.last_mut().filter(|_| self.is_open) {
            item.set_status(ItemStatus::Incomplete);
        }
        let error = ResponseError {
            code: "server_error",
            message: &error.message,
        };
        let response = self.response(&End {
            status: ResponseStatus::Failed,
            error: Some(error),
            usage: None,
        });
        listener.hear(ResponseEvent::Failed { response });
    }

    /// The answer in one piece, after its end.
    pub(super) fn whole(&self, reason: FinishReason, usage: Usage) -> Response<'_> {
        let status = match reason {
            FinishReason::Length => ResponseStatus::Incomplete,
            FinishReason::Stop | FinishReason::ToolCalls => ResponseStatus::Completed,
        };
        self.response(&End {
            status,
            error: None,
            usage: Some(usage),
        })
    }

    fn response<'a>(&'a self, end: &End<'a>) -> Response<'a> {
        let incomplete = end.status == ResponseStatus::Incomplete;
        Response {
            id: &self.id,
            object: "response",
            created_at: self.head.created,
            status: end.status,
            background: false,
            error: end.error,
            incomplete_details: incomplete.then_some(IncompleteDetails {
                reason: "max_output_tokens",
            }),
            model: self.head.model.as_str(),
            output: &self.output,
            usage: end.usage.map(counts),
            settings: &self.settings,
        }
    }

    /// Adds to the item that grows, if it is of this kind; else to a new one.
    fn add_text(
        &mut self,
        kind: Kind,
        text: &str,
        logprobs: Vec<TokenLogprob>,
        listener: &mut impl Listener,
    ) {
        if !self.grows(kind) {
            let place = self.open(listener, |id| kind.item(id));
            self.open_part(kind, place, listener);
        }
        let output_index = self.output.len().saturating_sub(1);
        let Some(item) = self.output.last_mut() else {
            return;
        };
        let (item_id, content_index) = (item.id(), 0);
        listener.hear(match kind {
            Kind::Reasoning => ResponseEvent::ReasoningTextDelta {
                item_id,
                output_index,
                content_index,
                delta: text,
            },
            Kind::Message => ResponseEvent::OutputTextDelta {
                item_id,
                output_index,
                content_index,
                delta: text,
                logprobs: &logprobs,
            },
        });
        if let Some(part) = item.last_part() {
            part.push(text, logprobs);
        }
    }

    /// Calls may grow side by side on engines elsewhere: an item that is closed takes what still comes.
    fn add_arguments(&mut self, call: u32, fragment: &str, listener: &mut impl Listener) {
        let place = usize::try_from(call)
            .ok()
            .and_then(|call| self.calls.get(call).copied());
        let item = place.and_then(|place| Some((place, self.output.get_mut(place)?)));
        if let Some((output_index, OutputItem::FunctionCall(item))) = item {
            item.arguments.push_str(fragment);
            listener.hear(ResponseEvent::FunctionCallArgumentsDelta {
                item_id: &item.id,
                output_index,
                delta: fragment,
            });
        }
    }

    fn grows(&self, kind: Kind) -> bool {
        let last = self.output.last().filter(|_| self.is_open);
        match kind {
            Kind::Reasoning => matches!(last, Some(OutputItem::Reasoning(_))),
            Kind::Message => matches!(last, Some(OutputItem::Message(_))),
        }
    }

    /// Begins an item, which `make` makes with an id of a given kind; returns its place.
    fn open(
        &mut self,
        listener: &mut impl Listener,
        make: impl FnOnce(&dyn Fn(&str) -> String) -> OutputItem,
    ) -> usize {
        self.close(ItemStatus::Completed, listener);
        let output_index = self.output.len();
        let call = &self.head.id;
        let item = make(&|kind| format!("{kind}_{call}{output_index:04x}"));
        listener.hear(ResponseEvent::OutputItemAdded {
            output_index,
            item: &item,
        });
        self.output.push(item);
        self.is_open = true;
        output_index
    }

    fn open_part(&mut self, kind: Kind, output_index: usize, listener: &mut impl Listener) {
        let Some(item) = self.output.last_mut() else {
            return;
        };
        let part = kind.part();
        listener.hear(ResponseEvent::ContentPartAdded {
            item_id: item.id(),
            output_index,
            content_index: 0,
            part: &part,
        });
        item.add_part(part);
    }

    /// Ends the item that grows.
    fn close(&mut self, status: ItemStatus, listener: &mut impl Listener) {
        if !std::mem::take(&mut self.is_open) {
            return;
        }
        let output_index = self.output.len().saturating_sub(1);
        let Some(item) = self.output.last_mut() else {
            return;
        };
        item.set_status(status);
        for part in item.parts() {
            close_part(item.id(), output_index, part, listener);
        }
        if let OutputItem::FunctionCall(call) = &*item {
            listener.hear(ResponseEvent::FunctionCallArgumentsDone {
                item_id: &call.id,
                output_index,
                name: &call.name,
                arguments: &call.arguments,
            });
        }
        listener.hear(ResponseEvent::OutputItemDone { output_index, item });
    }
}

fn close_part(item_id: &str, output_index: usize, part: &ContentPart, listener: &mut impl Listener) {
    let content_index = 0;
    listener.hear(match part {
        ContentPart::OutputText { text, logprobs, .. } => ResponseEvent::OutputTextDone {
            item_id,
            output_index,
            content_index,
            text,
            logprobs,
        },
        ContentPart::ReasoningText { text } => ResponseEvent::ReasoningTextDone {
            item_id,
            output_index,
            content_index,
            text,
        },
    });
    listener.hear(ResponseEvent::ContentPartDone {
        item_id,
        output_index,
        content_index,
        part,
    });
}

const IN_PROGRESS: End<'static> = End {
    status: ResponseStatus::InProgress,
    error: None,
    usage: None,
};

impl Kind {
    fn item(self, id: &dyn Fn(&str) -> String) -> OutputItem {
        let (status, content) = (ItemStatus::InProgress, Vec::new());
        match self {
            Self::Reasoning => OutputItem::Reasoning(ReasoningItem {
                id: id("rs"),
                status,
                summary: [],
                content,
            }),
            Self::Message => OutputItem::Message(MessageItem {
                id: id("msg"),
                status,
                role: "assistant",
                content,
            }),
        }
    }

    const fn part(self) -> ContentPart {
        match self {
            Self::Reasoning => ContentPart::ReasoningText { text: String::new() },
            Self::Message => ContentPart::OutputText {
                text: String::new(),
                annotations: [],
                logprobs: Vec::new(),
            },
        }
    }
}

fn counts(usage: Usage) -> ResponseUsage {
    ResponseUsage::new(
        usage.prompt.get(),
        usage.cached.get(),
        usage.completion.get(),
        usage.reasoning.get(),
    )
}
