//! Tool calls in the Hermes form that Qwen models use:
//! `<tool_call>{"name": .., "arguments": {..}}</tool_call>`, any number of them.

use super::fragment::Fragment;
use super::markers::{Marker, Piece};
use super::tool_call::{Header, ObjectScanner, end_of_call, read_header, read_whole};

/// What the parser makes of the answer.
#[derive(Debug, PartialEq)]
pub(crate) enum ToolOutput {
    /// Answer text, not empty.
    Text(Fragment),
    /// A call begins.
    Started {
        /// Its position among the calls, from 0.
        index: u32,
        /// The function's name.
        name: String,
    },
    /// More of a call's arguments, not empty.
    Arguments {
        /// Which call.
        index: u32,
        /// JSON text to append.
        text: String,
    },
}

/// Takes tool calls out of the visible answer and passes their arguments on as they come.
///
/// Nothing is lost: what is no call, marks included, is given as text. Once the arguments have
/// begun they are passed on as the model writes them, valid or not. Line breaks before a call and
/// white space after it belong to its form and are left out.
#[derive(Debug)]
pub(crate) struct ToolParser {
    calls: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    /// In text; trailing line breaks wait, as a call may follow.
    Text { line_breaks: Fragment },
    /// Between calls, or between a call and text.
    AfterCall,
    /// In a call that cannot be announced yet. `raw` holds all that would be text if this turns
    /// out to be no call; the JSON begins at `json_at`.
    Announcing {
        raw: Fragment,
        json_at: usize,
        may_stream: bool,
    },
    /// In the arguments of the announced call.
    Arguments { scanner: ObjectScanner },
    /// After the arguments, before the closing mark.
    Closing { raw: Fragment },
}

const LINE_BREAKS: &[char] = &['\n', '\r'];
const WHITE_SPACE: &[char] = &['\n', '\r', ' ', '\t'];

impl ToolParser {
    pub(crate) fn new() -> Self {
        Self {
            calls: 0,
            state: State::Text {
                line_breaks: Fragment::default(),
            },
        }
    }

    /// Whether a call has begun.
    pub(crate) fn has_called(&self) -> bool {
        self.calls > 0
    }

    pub(crate) fn push(&mut self, piece: Piece, output: &mut Vec<ToolOutput>) {
        match piece {
            Piece::Text(fragment) => self.push_text(fragment, output),
            Piece::Marker(Marker::ToolOpen, spelling) => self.open(spelling, output),
            Piece::Marker(Marker::ToolClose, spelling) => self.close(spelling, output),
            Piece::Marker(Marker::ThinkOpen | Marker::ThinkClose, spelling) => {
                self.push_text(spelling, output);
            }
        }
    }

    /// Ends the answer: what waits becomes a call or text.
    pub(crate) fn flush(&mut self, output: &mut Vec<ToolOutput>) {
        self.end_call(output);
        if let State::Text { line_breaks } = &mut self.state {
            emit_text(std::mem::take(line_breaks), output);
        }
    }

    fn push_text(&mut self, mut fragment: Fragment, output: &mut Vec<ToolOutput>) {
        match &mut self.state {
            State::Text { line_breaks } => {
                let mut text = std::mem::take(line_breaks);
                text.append(fragment);
                *line_breaks = text.split_trailing(LINE_BREAKS);
                emit_text(text, output);
            }
            State::AfterCall => {
                fragment.trim_leading(WHITE_SPACE);
                if !fragment.is_empty() {
                    self.enter_text(fragment, output);
                }
            }
            State::Announcing { raw, .. } => {
                raw.append(fragment);
                self.try_announce(output);
            }
            State::Arguments { .. } => self.push_arguments(fragment, output),
            State::Closing { raw } => raw.append(fragment),
        }
    }

    fn open(&mut self, spelling: Fragment, output: &mut Vec<ToolOutput>) {
        if let State::Arguments { .. } = self.state {
            // Inside a string of the arguments the mark is text.
            self.push_arguments(spelling, output);
            return;
        }
        self.end_call(output);
        let mut raw = match &mut self.state {
            State::Text { line_breaks } => std::mem::take(line_breaks),
            _ => Fragment::default(),
        };
        raw.append(spelling);
        let json_at = raw.text().len();
        self.state = State::Announcing {
            raw,
            json_at,
            may_stream: true,
        };
    }

    fn close(&mut self, spelling: Fragment, output: &mut Vec<ToolOutput>) {
        match &mut self.state {
            State::Text { .. } | State::AfterCall => self.enter_text(spelling, output),
            State::Announcing { .. } => self.resolve(spelling, output),
            State::Arguments { .. } => self.state = State::AfterCall,
            State::Closing { .. } => self.end_call(output),
        }
    }

    /// Leaves an open call without its closing mark.
    fn end_call(&mut self, output: &mut Vec<ToolOutput>) {
        match &mut self.state {
            State::Text { .. } | State::AfterCall => {}
            State::Announcing { .. } => self.resolve(Fragment::default(), output),
            State::Arguments { .. } => self.state = State::AfterCall,
            State::Closing { raw } => {
                let end = end_of_call(raw.text());
                let rest = raw.split_off(end);
                self.state = State::AfterCall;
                self.push_text(rest, output);
            }
        }
    }

    /// Reads a call whole that has not been announced; it is text if it is none.
    fn resolve(&mut self, closing: Fragment, output: &mut Vec<ToolOutput>) {
        let State::Announcing { raw, json_at, .. } = &mut self.state else {
            return;
        };
        if let Some((name, arguments)) = read_whole(&raw.text()[*json_at..]) {
            output.push(ToolOutput::Started {
                index: self.calls,
                name,
            });
            output.push(ToolOutput::Arguments {
                index: self.calls,
                text: arguments,
            });
            self.calls += 1;
            self.state = State::AfterCall;
        } else {
            let mut raw = std::mem::take(raw);
            raw.append(closing);
            self.enter_text(raw, output);
        }
    }

    fn try_announce(&mut self, output: &mut Vec<ToolOutput>) {
        let State::Announcing {
            raw,
            json_at,
            may_stream: may_stream @ true,
        } = &mut self.state
        else {
            return;
        };
        match read_header(&raw.text()[*json_at..]) {
            Header::Incomplete => {}
            Header::Other => *may_stream = false,
            Header::Found { name, arguments_at } => {
                let arguments = raw.split_off(*json_at + arguments_at);
                output.push(ToolOutput::Started {
                    index: self.calls,
                    name,
                });
                self.calls += 1;
                self.state = State::Arguments {
                    scanner: ObjectScanner::default(),
                };
                self.push_arguments(arguments, output);
            }
        }
    }

    fn push_arguments(&mut self, mut fragment: Fragment, output: &mut Vec<ToolOutput>) {
        let State::Arguments { scanner } = &mut self.state else {
            return;
        };
        if let Some(end) = scanner.push(fragment.text()) {
            self.state = State::Closing {
                raw: fragment.split_off(end),
            };
        }
        if !fragment.is_empty() {
            output.push(ToolOutput::Arguments {
                index: self.calls - 1,
                text: fragment.into_text(),
            });
        }
    }

    fn enter_text(&mut self, fragment: Fragment, output: &mut Vec<ToolOutput>) {
        let line_breaks = match &mut self.state {
            State::Text { line_breaks } => std::mem::take(line_breaks),
            _ => Fragment::default(),
        };
        self.state = State::Text { line_breaks };
        self.push_text(fragment, output);
    }
}

fn emit_text(fragment: Fragment, output: &mut Vec<ToolOutput>) {
    if !fragment.is_empty() {
        output.push(ToolOutput::Text(fragment));
    }
}

#[cfg(test)]
mod tests;
