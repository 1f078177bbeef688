//! Separates reasoning from the visible answer.

use super::fragment::Fragment;
use super::markers::{Marker, Piece, push_text};

/// How the answer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    /// The model has no reasoning marks, or the answer continues a text: all of it is visible.
    Visible,
    /// The model may open a block with its first token.
    Undecided,
    /// The prompt has already opened the block.
    Thinking,
}

/// Reasoning, or a piece of the visible answer.
#[derive(Debug, PartialEq)]
pub(crate) enum Part {
    /// Not empty.
    Reasoning(String),
    /// Text, or a mark of tool calls.
    Answer(Piece),
}

/// Splits off one reasoning block at the beginning. Line breaks just inside and just after the
/// block belong to its form and are left out. Think marks elsewhere are plain text.
#[derive(Debug)]
pub(crate) struct ThinkSplitter(State);

#[derive(Debug)]
enum State {
    /// Only white space so far.
    Undecided(Fragment),
    /// Inside the block; trailing line breaks wait for more text.
    Thinking { begun: bool, line_breaks: String },
    /// After the block, before visible text.
    Between,
    /// In the visible answer.
    Answer,
}

const LINE_BREAKS: &[char] = &['\n', '\r'];

impl ThinkSplitter {
    pub(crate) fn new(opening: Opening) -> Self {
        Self(match opening {
            Opening::Visible => State::Answer,
            Opening::Undecided => State::Undecided(Fragment::default()),
            Opening::Thinking => State::Thinking {
                begun: false,
                line_breaks: String::new(),
            },
        })
    }

    /// Whether the block is open.
    pub(crate) fn is_thinking(&self) -> bool {
        matches!(self.0, State::Thinking { .. })
    }

    pub(crate) fn push(&mut self, piece: Piece, output: &mut Vec<Part>) {
        match &mut self.0 {
            State::Undecided(_) => self.push_undecided(piece, output),
            State::Thinking { .. } => self.push_thinking(piece, output),
            State::Between => self.push_between(piece, output),
            State::Answer => output.push(Part::Answer(without_think_marks(piece))),
        }
    }

    /// Gives back white space that waited for a decision.
    pub(crate) fn flush(&mut self, output: &mut Vec<Part>) {
        if let State::Undecided(held) = &mut self.0 {
            push_answer(std::mem::take(held), output);
        }
    }

    fn push_undecided(&mut self, piece: Piece, output: &mut Vec<Part>) {
        let State::Undecided(held) = &mut self.0 else {
            return;
        };
        match piece {
            Piece::Marker(Marker::ThinkOpen, _) => {
                self.0 = State::Thinking {
                    begun: false,
                    line_breaks: String::new(),
                };
            }
            Piece::Text(fragment) if fragment.text().trim().is_empty() => held.append(fragment),
            Piece::Text(fragment) => {
                held.append(fragment);
                push_answer(std::mem::take(held), output);
                self.0 = State::Answer;
            }
            Piece::Marker(..) => {
                push_answer(std::mem::take(held), output);
                self.0 = State::Answer;
                output.push(Part::Answer(without_think_marks(piece)));
            }
        }
    }

    fn push_thinking(&mut self, piece: Piece, output: &mut Vec<Part>) {
        let State::Thinking { begun, line_breaks } = &mut self.0 else {
            return;
        };
        let text = match piece {
            Piece::Marker(Marker::ThinkClose, _) => {
                self.0 = State::Between;
                return;
            }
            // Some models repeat the mark that their prompt already ended with.
            Piece::Marker(Marker::ThinkOpen, _) if !*begun => return,
            Piece::Marker(_, fragment) | Piece::Text(fragment) => fragment.into_text(),
        };
        let text = if *begun {
            text.as_str()
        } else {
            text.trim_start_matches(LINE_BREAKS)
        };
        let body = text.trim_end_matches(LINE_BREAKS);
        if !body.is_empty() {
            let mut reasoning = std::mem::take(line_breaks);
            reasoning.push_str(body);
            output.push(Part::Reasoning(reasoning));
            *begun = true;
        }
        if *begun {
            line_breaks.push_str(&text[body.len()..]);
        }
    }

    fn push_between(&mut self, piece: Piece, output: &mut Vec<Part>) {
        match piece {
            Piece::Text(mut fragment) => {
                fragment.trim_leading(LINE_BREAKS);
                if !fragment.is_empty() {
                    push_answer(fragment, output);
                    self.0 = State::Answer;
                }
            }
            Piece::Marker(..) => {
                output.push(Part::Answer(without_think_marks(piece)));
                self.0 = State::Answer;
            }
        }
    }
}

fn push_answer(fragment: Fragment, output: &mut Vec<Part>) {
    let mut pieces = Vec::new();
    push_text(fragment, &mut pieces);
    output.extend(pieces.into_iter().map(Part::Answer));
}

fn without_think_marks(piece: Piece) -> Piece {
    match piece {
        Piece::Marker(Marker::ThinkOpen | Marker::ThinkClose, fragment) => Piece::Text(fragment),
        Piece::Marker(..) | Piece::Text(_) => piece,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::answer::markers::MarkerFinder;

    /// Runs the splitter behind the finder of spelled marks; returns reasoning and answer.
    fn run<'a>(opening: Opening, chunks: impl IntoIterator<Item = &'a str>) -> (String, String) {
        let mut finder = MarkerFinder::new(vec![Marker::ThinkOpen, Marker::ThinkClose]);
        let mut splitter = ThinkSplitter::new(opening);
        let (mut pieces, mut parts) = (Vec::new(), Vec::new());
        for chunk in chunks {
            finder.push(Piece::Text(Fragment::from(chunk)), &mut pieces);
        }
        finder.flush(&mut pieces);
        for piece in pieces {
            splitter.push(piece, &mut parts);
        }
        splitter.flush(&mut parts);
        let (mut reasoning, mut answer) = (String::new(), String::new());
        for part in parts {
            match part {
                Part::Reasoning(text) => reasoning.push_str(&text),
                Part::Answer(Piece::Text(fragment) | Piece::Marker(_, fragment)) => {
                    answer.push_str(fragment.text());
                }
            }
        }
        (reasoning, answer)
    }

    fn pair(reasoning: &str, answer: &str) -> (String, String) {
        (reasoning.to_owned(), answer.to_owned())
    }

    #[test]
    fn a_block_at_the_beginning_is_reasoning_without_its_line_breaks() {
        let answer = run(Opening::Undecided, ["<think>\n1+1\n=2\n</think>\n\n2"]);
        assert_eq!(answer, pair("1+1\n=2", "2"));
    }

    #[test]
    fn an_empty_block_leaves_only_the_answer() {
        assert_eq!(
            run(Opening::Undecided, ["\n<think>\n\n</think>\n\nhi"]),
            pair("", "hi")
        );
    }

    #[test]
    fn a_block_opened_by_the_prompt_may_be_opened_again() {
        assert_eq!(run(Opening::Thinking, ["a</think>b"]), pair("a", "b"));
        assert_eq!(run(Opening::Thinking, ["<think>\na</think>b"]), pair("a", "b"));
    }

    #[test]
    fn marks_later_in_the_answer_are_text() {
        let text = "The tag <think> ends with </think>.";
        assert_eq!(run(Opening::Undecided, [text]), pair("", text));
        assert_eq!(
            run(Opening::Visible, ["<think>x</think>"]),
            pair("", "<think>x</think>")
        );
    }

    #[test]
    fn white_space_before_a_plain_answer_is_kept() {
        assert_eq!(run(Opening::Undecided, [" \n", "x"]), pair("", " \nx"));
        assert_eq!(run(Opening::Undecided, [" \n"]), pair("", " \n"));
    }

    #[test]
    fn reasoning_cut_by_the_length_limit_is_all_reasoning() {
        assert_eq!(run(Opening::Undecided, ["<think>\nabc\n"]), pair("abc", ""));
    }

    proptest! {
        #[test]
        fn the_split_does_not_depend_on_token_borders(
            words in prop::collection::vec(
                prop::sample::select(vec!["<think>", "</think>", "\n", " ", "<", "a", "思", "</thi"]), 0..14),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
            opening in prop::sample::select(vec![Opening::Visible, Opening::Undecided, Opening::Thinking]),
        ) {
            let text = words.concat();
            let borders: Vec<usize> = (0..=text.len()).filter(|i| text.is_char_boundary(*i)).collect();
            let mut at: Vec<usize> = cuts.iter().map(|cut| *cut.get(&borders)).chain([0, text.len()]).collect();
            at.sort_unstable();
            let chunks: Vec<&str> = at.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            prop_assert_eq!(run(opening, chunks), run(opening, [text.as_str()]));
        }
    }
}
