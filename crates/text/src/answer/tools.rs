//! Takes tool calls out of an answer, in any of the syntaxes of [`CallSyntax`].

use super::fragment::Fragment;
use super::markers::{Marker, Piece};
use super::tool_call::{Header, ObjectScanner, end_of_call, read_header, read_whole};
use crate::calls::CallSyntax;

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
/// Nothing is lost: what is no call, marks included, is given as text; only marks around all calls
/// are left out. Once the arguments have begun they are passed on as the model writes them, valid
/// or not. Line breaks before a call and white space after it belong to its form and are left out.
#[derive(Debug)]
pub(crate) struct ToolParser {
    syntax: CallSyntax,
    calls: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Before anything but white space of an answer whose calls have no mark.
    Beginning { white: Fragment },
    /// In text; trailing line breaks wait, as a call may follow.
    Text { line_breaks: Fragment },
    /// Between calls, or between a call and text.
    AfterCall,
    /// In a call that cannot be announced yet. `raw` holds all that would be text if this turns
    /// out to be no call; the call's own text begins at `call_at`.
    Announcing {
        raw: Fragment,
        call_at: usize,
        may_stream: bool,
    },
    /// In the arguments of the announced call.
    Arguments { scanner: ObjectScanner },
    /// After the arguments, before the closing mark.
    Closing { raw: Fragment },
    /// After the arguments of a call without a closing mark, until its object ends.
    Ending { scanner: ObjectScanner },
    /// After a call without a closing mark; what separates it from the next one waits.
    Listing { raw: Fragment },
}

const LINE_BREAKS: &[char] = &['\n', '\r'];
const WHITE_SPACE: &[char] = &['\n', '\r', ' ', '\t'];

impl ToolParser {
    pub(crate) fn new(syntax: CallSyntax) -> Self {
        let state = if syntax.begins_bare() {
            State::Beginning {
                white: Fragment::default(),
            }
        } else {
            State::Text {
                line_breaks: Fragment::default(),
            }
        };
        Self {
            syntax,
            calls: 0,
            state,
        }
    }

    /// Whether a call has begun.
    pub(crate) fn has_called(&self) -> bool {
        self.calls > 0
    }

    pub(crate) fn push(&mut self, piece: Piece, output: &mut Vec<ToolOutput>) {
        match piece {
            Piece::Text(fragment) => self.push_text(fragment, output),
            Piece::Marker(Marker::ToolOpen(_), spelling) => self.open(spelling, output),
            Piece::Marker(Marker::ToolClose(_), spelling) => self.close(spelling, output),
            Piece::Marker(Marker::ToolFrame(_), spelling) => self.frame(spelling, output),
            Piece::Marker(Marker::ToolSplit(_) | Marker::ThinkOpen | Marker::ThinkClose, spelling) => {
                self.push_text(spelling, output);
            }
        }
    }

    /// Ends the answer: what waits becomes a call or text.
    pub(crate) fn flush(&mut self, output: &mut Vec<ToolOutput>) {
        self.end_call(output);
        match &mut self.state {
            State::Text { line_breaks: rest } | State::Beginning { white: rest } => {
                emit_text(std::mem::take(rest), output);
            }
            _ => {}
        }
    }

    fn push_text(&mut self, mut fragment: Fragment, output: &mut Vec<ToolOutput>) {
        match &mut self.state {
            State::Beginning { white } => {
                white.append(fragment);
                self.begin(output);
            }
            State::Text { line_breaks } => {
                let mut text = std::mem::take(line_breaks);
                text.append(fragment);
                *line_breaks = text.split_trailing(LINE_BREAKS);
                emit_text(text, output);
            }
            State::AfterCall => {
                fragment.trim_leading(WHITE_SPACE);
                if fragment.is_empty() {
                    return;
                }
                if self.syntax.begins_with_name() {
                    self.announce(fragment, 0, output);
                } else {
                    self.enter_text(fragment, output);
                }
            }
            State::Announcing { raw, .. } => {
                raw.append(fragment);
                self.try_announce(output);
            }
            State::Arguments { .. } => self.push_arguments(fragment, output),
            State::Closing { raw } => raw.append(fragment),
            State::Ending { scanner } => {
                if let Some(end) = scanner.push(fragment.text()) {
                    let raw = fragment.split_off(end);
                    self.state = State::Listing {
                        raw: Fragment::default(),
                    };
                    self.push_text(raw, output);
                }
            }
            State::Listing { raw } => {
                raw.append(fragment);
                self.next_in_list(output);
            }
        }
    }

    /// Decides whether an answer begins with a call, once something stands there.
    fn begin(&mut self, output: &mut Vec<ToolOutput>) {
        let State::Beginning { white } = &mut self.state else {
            return;
        };
        match white.text().trim_start_matches(WHITE_SPACE).bytes().next() {
            None => {}
            Some(first) if self.syntax.begins_with_name() || first == b'{' => {
                let raw = std::mem::take(white);
                let call_at = raw.text().len() - raw.text().trim_start_matches(WHITE_SPACE).len();
                self.announce(raw, call_at, output);
            }
            Some(_) => {
                let text = std::mem::take(white);
                self.enter_text(text, output);
            }
        }
    }

    /// Begins to read a call.
    fn announce(&mut self, raw: Fragment, call_at: usize, output: &mut Vec<ToolOutput>) {
        self.state = State::Announcing {
            raw,
            call_at,
            may_stream: true,
        };
        self.try_announce(output);
    }

    /// Decides what follows a call without a closing mark: a separator and the next one, or text.
    fn next_in_list(&mut self, output: &mut Vec<ToolOutput>) {
        let State::Listing { raw } = &mut self.state else {
            return;
        };
        let text = raw.text();
        let shown = text.trim_start_matches(WHITE_SPACE);
        let skipped = text.len() - shown.len();
        let mut letters = shown.chars();
        match (
            letters.next(),
            letters.as_str().trim_start_matches(WHITE_SPACE).chars().next(),
        ) {
            (None, _) | (Some(',' | ';'), None) => {}
            (Some(',' | ';'), Some('{')) => {
                let raw = std::mem::take(raw);
                self.announce(raw, skipped + 1, output);
            }
            (Some(']'), _) => {
                let rest = raw.split_off(skipped + 1);
                self.state = State::AfterCall;
                self.push_text(rest, output);
            }
            (Some(_), _) => {
                let rest = raw.split_off(skipped);
                self.state = State::AfterCall;
                self.push_text(rest, output);
            }
        }
    }

    fn open(&mut self, spelling: Fragment, output: &mut Vec<ToolOutput>) {
        if let State::Arguments { .. } | State::Ending { .. } = self.state {
            // Inside a string of the arguments the mark is text.
            self.push_text(spelling, output);
            return;
        }
        self.end_call(output);
        let mut raw = match &mut self.state {
            State::Text { line_breaks: before } | State::Beginning { white: before } => {
                std::mem::take(before)
            }
            _ => Fragment::default(),
        };
        raw.append(spelling);
        let call_at = raw.text().len();
        self.announce(raw, call_at, output);
    }

    fn close(&mut self, spelling: Fragment, output: &mut Vec<ToolOutput>) {
        match &mut self.state {
            State::Beginning { .. } | State::Text { .. } | State::AfterCall | State::Listing { .. } => {
                self.end_call(output);
                self.enter_text(spelling, output);
            }
            State::Announcing { .. } => self.resolve(spelling, output),
            State::Arguments { .. } | State::Ending { .. } => self.state = State::AfterCall,
            State::Closing { .. } => self.end_call(output),
        }
    }

    /// A mark around all calls belongs to their form.
    fn frame(&mut self, spelling: Fragment, output: &mut Vec<ToolOutput>) {
        match &mut self.state {
            State::Arguments { .. } | State::Ending { .. } => self.push_text(spelling, output),
            State::Text { line_breaks } => {
                *line_breaks = Fragment::default();
                self.state = State::AfterCall;
            }
            State::Announcing { .. } => {
                self.end_call(output);
                if let State::Text { .. } = self.state {
                    self.push_text(spelling, output);
                }
            }
            _ => self.end_call(output),
        }
    }

    /// Leaves an open call without its closing mark.
    fn end_call(&mut self, output: &mut Vec<ToolOutput>) {
        match &mut self.state {
            State::Beginning { .. } | State::Text { .. } | State::AfterCall => {}
            State::Announcing { .. } => self.resolve(Fragment::default(), output),
            State::Arguments { .. } | State::Ending { .. } => self.state = State::AfterCall,
            State::Closing { raw } => {
                let end = end_of_call(self.syntax, raw.text());
                let rest = raw.split_off(end);
                self.state = State::AfterCall;
                self.push_text(rest, output);
            }
            State::Listing { raw } => {
                let rest = std::mem::take(raw);
                self.state = State::AfterCall;
                self.push_text(rest, output);
            }
        }
    }

    /// Reads a call whole that has not been announced; it is text if it is none.
    fn resolve(&mut self, closing: Fragment, output: &mut Vec<ToolOutput>) {
        let State::Announcing { raw, call_at, .. } = &mut self.state else {
            return;
        };
        if let Some(calls) = read_whole(self.syntax, &raw.text()[*call_at..]) {
            for (name, text) in calls {
                let index = self.calls;
                output.push(ToolOutput::Started { index, name });
                output.push(ToolOutput::Arguments { index, text });
                self.calls += 1;
            }
            self.state = State::AfterCall;
        } else {
            let mut text = std::mem::take(raw);
            text.append(closing);
            self.enter_text(text, output);
        }
    }

    fn try_announce(&mut self, output: &mut Vec<ToolOutput>) {
        let State::Announcing {
            raw,
            call_at,
            may_stream: may_stream @ true,
        } = &mut self.state
        else {
            return;
        };
        match read_header(self.syntax, &raw.text()[*call_at..]) {
            Header::Incomplete => {}
            Header::Other if self.syntax.begins_with_name() => {
                let text = std::mem::take(raw);
                self.enter_text(text, output);
            }
            Header::Other => *may_stream = false,
            Header::Found { name, arguments_at } => {
                let arguments = raw.split_off(*call_at + arguments_at);
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
        let rest = scanner.push(fragment.text()).map(|end| {
            self.state = after_arguments(self.syntax);
            fragment.split_off(end)
        });
        if !fragment.is_empty() {
            output.push(ToolOutput::Arguments {
                index: self.calls - 1,
                text: fragment.into_text(),
            });
        }
        if let Some(rest) = rest.filter(|rest| !rest.is_empty()) {
            self.push_text(rest, output);
        }
    }

    fn enter_text(&mut self, fragment: Fragment, output: &mut Vec<ToolOutput>) {
        let mut text = match &mut self.state {
            State::Text { line_breaks: before } | State::Beginning { white: before } => {
                std::mem::take(before)
            }
            _ => Fragment::default(),
        };
        text.append(fragment);
        self.state = State::Text {
            line_breaks: Fragment::default(),
        };
        self.push_text(text, output);
    }
}

/// Where a parser is once the arguments are over.
fn after_arguments(syntax: CallSyntax) -> State {
    match syntax {
        CallSyntax::Hermes | CallSyntax::InternLm | CallSyntax::DeepSeek | CallSyntax::DeepSeekBare => {
            State::Closing {
                raw: Fragment::default(),
            }
        }
        CallSyntax::Llama | CallSyntax::Mistral => State::Ending {
            scanner: ObjectScanner::inside(),
        },
        CallSyntax::MistralArguments | CallSyntax::Glm => State::AfterCall,
    }
}

fn emit_text(fragment: Fragment, output: &mut Vec<ToolOutput>) {
    if !fragment.is_empty() {
        output.push(ToolOutput::Text(fragment));
    }
}

#[cfg(test)]
mod tests;
