//! The marks that models write around reasoning and tool calls.

use super::fragment::Fragment;
use super::matcher::{Matcher, Patterns};

/// A mark in the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marker {
    /// `<think>`
    ThinkOpen,
    /// `</think>`
    ThinkClose,
    /// Begins a call, such as `<tool_call>`.
    ToolOpen(&'static str),
    /// Ends a call, such as `</tool_call>`.
    ToolClose(&'static str),
    /// Stands before or after all calls.
    ToolFrame(&'static str),
    /// Stands within a call and is read as its spelling.
    ToolSplit(&'static str),
}

impl Marker {
    /// How it is spelled, as a token and as text.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::ThinkOpen => "<think>",
            Self::ThinkClose => "</think>",
            Self::ToolOpen(text) | Self::ToolClose(text) | Self::ToolFrame(text) | Self::ToolSplit(text) => {
                text
            }
        }
    }
}

/// Text or a mark. A mark keeps its text, for where it means nothing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Piece {
    /// Not empty.
    Text(Fragment),
    /// A mark and its spelling.
    Marker(Marker, Fragment),
}

/// Finds marks that the tokenizer has no tokens for, and so come spelled in several tokens. Marks
/// that are tokens arrive as marks from the detokenizer and pass through.
#[derive(Debug)]
pub(crate) struct MarkerFinder {
    markers: Vec<Marker>,
    matcher: Matcher,
    held: Fragment,
}

impl MarkerFinder {
    pub(crate) fn new(markers: Vec<Marker>) -> Self {
        let matcher = Matcher::new(Patterns::new(markers.iter().map(|marker| marker.text())));
        Self {
            markers,
            matcher,
            held: Fragment::default(),
        }
    }

    pub(crate) fn push(&mut self, piece: Piece, output: &mut Vec<Piece>) {
        match piece {
            Piece::Text(fragment) if !self.markers.is_empty() => self.push_text(fragment, output),
            Piece::Text(_) => output.push(piece),
            Piece::Marker(..) => {
                self.flush(output);
                output.push(piece);
            }
        }
    }

    /// Gives up on a half-spelled mark.
    pub(crate) fn flush(&mut self, output: &mut Vec<Piece>) {
        self.matcher.reset();
        push_text(std::mem::take(&mut self.held), output);
    }

    fn push_text(&mut self, fragment: Fragment, output: &mut Vec<Piece>) {
        let mut position = self.held.text().len();
        let mut text = std::mem::take(&mut self.held);
        text.append(fragment);
        while position < text.text().len() {
            let found = self.matcher.push(text.text().as_bytes()[position]);
            position += 1;
            if let Some(found) = found {
                let rest = text.split_off(position);
                let spelling = text.split_off(position - found.length);
                push_text(std::mem::replace(&mut text, rest), output);
                output.push(Piece::Marker(self.markers[found.pattern], spelling));
                self.matcher.reset();
                position = 0;
            }
        }
        self.held = text.split_off(text.text().len() - self.matcher.held());
        push_text(text, output);
    }
}

/// Adds text unless it is empty.
pub(crate) fn push_text(fragment: Fragment, output: &mut Vec<Piece>) {
    if !fragment.is_empty() {
        output.push(Piece::Text(fragment));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(chunks: &[&str]) -> Vec<Piece> {
        let mut finder = MarkerFinder::new(vec![Marker::ThinkOpen, Marker::ThinkClose]);
        let mut output = Vec::new();
        for chunk in chunks {
            finder.push(Piece::Text(Fragment::from(*chunk)), &mut output);
        }
        finder.flush(&mut output);
        output
    }

    #[test]
    fn a_mark_spelled_over_several_tokens_is_found() {
        let expected = [
            Piece::Marker(Marker::ThinkOpen, Fragment::from("<think>")),
            Piece::Text(Fragment::from("a")),
            Piece::Marker(Marker::ThinkClose, Fragment::from("</think>")),
            Piece::Text(Fragment::from("b")),
        ];
        assert_eq!(run(&["<", "thi", "nk>a</", "think>b"]), expected);
        assert_eq!(run(&["<think>a</think>b"]), expected);
    }

    #[test]
    fn a_half_spelled_mark_is_text() {
        assert_eq!(run(&["<thi", "s"]), [Piece::Text(Fragment::from("<this"))]);
        assert_eq!(run(&["<thi"]), [Piece::Text(Fragment::from("<thi"))]);
    }
}
