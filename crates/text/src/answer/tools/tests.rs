use proptest::prelude::*;

use super::*;
use crate::answer::markers::MarkerFinder;

#[derive(Debug, Default, PartialEq)]
struct Answer {
    text: String,
    calls: Vec<(String, String)>,
}

/// Runs the parser behind the finder of spelled marks.
fn run<'a>(chunks: impl IntoIterator<Item = &'a str>) -> Answer {
    let mut finder = MarkerFinder::new(vec![Marker::ToolOpen, Marker::ToolClose]);
    let mut parser = ToolParser::new();
    let (mut pieces, mut output) = (Vec::new(), Vec::new());
    for chunk in chunks {
        finder.push(Piece::Text(Fragment::from(chunk)), &mut pieces);
    }
    finder.flush(&mut pieces);
    for piece in pieces {
        parser.push(piece, &mut output);
    }
    parser.flush(&mut output);
    let mut answer = Answer::default();
    for item in output {
        match item {
            ToolOutput::Text(fragment) => answer.text.push_str(fragment.text()),
            ToolOutput::Started { index, name } => {
                assert_eq!(index as usize, answer.calls.len());
                answer.calls.push((name, String::new()));
            }
            ToolOutput::Arguments { index, text } => answer.calls[index as usize].1.push_str(&text),
        }
    }
    assert_eq!(parser.has_called(), !answer.calls.is_empty());
    answer
}

fn answer(text: &str, calls: &[(&str, &str)]) -> Answer {
    let calls = calls
        .iter()
        .map(|(name, arguments)| ((*name).to_owned(), (*arguments).to_owned()))
        .collect();
    Answer {
        text: text.to_owned(),
        calls,
    }
}

#[test]
fn two_calls_after_text_are_taken_out() {
    let input = "I look.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>\n\
                 <tool_call>\n{\"arguments\": {}, \"name\": \"g\"}\n</tool_call>";
    assert_eq!(
        run([input]),
        answer("I look.", &[("f", "{\"a\": 1}"), ("g", "{}")])
    );
}

#[test]
fn arguments_are_passed_on_before_the_call_is_complete() {
    let mut parser = ToolParser::new();
    let mut output = Vec::new();
    parser.push(
        Piece::Marker(Marker::ToolOpen, Fragment::from("<tool_call>")),
        &mut output,
    );
    parser.push(
        Piece::Text(Fragment::from("{\"name\": \"f\", \"arguments\": {\"a")),
        &mut output,
    );
    let started = ToolOutput::Started {
        index: 0,
        name: "f".to_owned(),
    };
    assert_eq!(
        output,
        [
            started,
            ToolOutput::Arguments {
                index: 0,
                text: "{\"a".to_owned()
            }
        ]
    );
}

#[test]
fn malformed_calls_are_text() {
    for input in [
        "<tool_call>f(1)</tool_call>",
        "a\n<tool_call>{\"name\": \"f\"",
        "</tool_call>",
        "x\n\n",
    ] {
        assert_eq!(run([input]), answer(input, &[]), "{input}");
    }
}

#[test]
fn a_call_without_its_closing_mark_counts() {
    assert_eq!(
        run(["<tool_call>{\"name\": \"f\", \"arguments\": {}}"]),
        answer("", &[("f", "{}")])
    );
    let twice = "<tool_call>{\"name\": \"f\"}<tool_call>{\"name\": \"g\"}</tool_call>";
    assert_eq!(run([twice]), answer("", &[("f", "{}"), ("g", "{}")]));
}

#[test]
fn arguments_cut_by_the_length_limit_stay_with_the_call() {
    let input = "<tool_call>{\"name\": \"f\", \"arguments\": {\"text\": \"<tool_call>";
    assert_eq!(run([input]), answer("", &[("f", "{\"text\": \"<tool_call>")]));
}

#[test]
fn text_after_a_call_is_kept_and_junk_in_it_too() {
    let call = "<tool_call>{\"name\": \"f\", \"arguments\": {}}";
    assert_eq!(
        run([call, "</tool_call>\n\nDone."]),
        answer("Done.", &[("f", "{}")])
    );
    assert_eq!(run([call, " so</tool_call>"]), answer("so", &[("f", "{}")]));
    let junk = "<tool_call>{\"name\": \"f\", \"arguments\": {} so</tool_call>";
    assert_eq!(run([junk]), answer("so", &[("f", "{}")]));
}

proptest! {
    #[test]
    fn the_result_does_not_depend_on_token_borders(
        words in prop::collection::vec(prop::sample::select(vec![
            "<tool_call>", "</tool_call>", "{\"name\": \"f\", ", "\"arguments\": ", "{\"名\": \"}\\\"\"}", "}", "\n",
            "text", "<", "{\"arguments\": {}, \"name\": \"g\"}", "\"",
        ]), 0..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..16),
    ) {
        let text = words.concat();
        let borders: Vec<usize> = (0..=text.len()).filter(|i| text.is_char_boundary(*i)).collect();
        let mut at: Vec<usize> = cuts.iter().map(|cut| *cut.get(&borders)).chain([0, text.len()]).collect();
        at.sort_unstable();
        let chunks: Vec<&str> = at.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
        prop_assert_eq!(run(chunks), run([text.as_str()]));
    }
}
