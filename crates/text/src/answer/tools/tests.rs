use proptest::prelude::*;

use super::*;
use crate::answer::choice::call_marks;
use crate::answer::markers::MarkerFinder;

#[derive(Debug, Default, PartialEq)]
struct Answer {
    text: String,
    calls: Vec<(String, String)>,
}

/// Runs the parser behind the finder of spelled marks.
fn run<'a>(chunks: impl IntoIterator<Item = &'a str>) -> Answer {
    read(CallSyntax::Hermes, chunks)
}

fn read<'a>(syntax: CallSyntax, chunks: impl IntoIterator<Item = &'a str>) -> Answer {
    let mut finder = MarkerFinder::new(call_marks(syntax));
    let mut parser = ToolParser::new(syntax);
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
    let mut parser = ToolParser::new(CallSyntax::Hermes);
    let mut output = Vec::new();
    parser.push(
        Piece::Marker(Marker::ToolOpen("<tool_call>"), Fragment::from("<tool_call>")),
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

/// Each syntax with two calls as its model writes them, and what stands around calls there.
fn written() -> Vec<(CallSyntax, &'static str, Vec<&'static str>)> {
    vec![
        (
            CallSyntax::Hermes,
            "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"}\"}}\n</tool_call>\n<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>",
            vec![
                "<tool_call>",
                "</tool_call>",
                "{\"arguments\": {}, \"name\": \"g\"}",
            ],
        ),
        (
            CallSyntax::Llama,
            "{\"name\": \"f\", \"parameters\": {\"a\": \"}\"}}; {\"name\": \"g\", \"parameters\": {}}",
            vec![
                "<|python_tag|>",
                ";",
                "{\"name\": \"f\", \"parameters\": {}}",
                "{",
            ],
        ),
        (
            CallSyntax::Mistral,
            "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {\"a\": \"}\"}, \"id\": \"123456789\"}, {\"name\": \"g\", \"arguments\": {}}]",
            vec![
                "[TOOL_CALLS]",
                "[",
                "]",
                ",",
                "{\"name\": \"f\", \"arguments\": {}}",
                "{\"arguments\": {}, \"name\": \"g\"}",
            ],
        ),
        (
            CallSyntax::MistralArguments,
            "[TOOL_CALLS]f[ARGS]{\"a\": \"}\"}[TOOL_CALLS]g[ARGS]{}",
            vec!["[TOOL_CALLS]", "[ARGS]", "f", "{}"],
        ),
        (
            CallSyntax::DeepSeek,
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"a\": \"}\"}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>g\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
            vec![
                "<｜tool▁calls▁begin｜>",
                "<｜tool▁call▁begin｜>",
                "<｜tool▁sep｜>",
                "<｜tool▁call▁end｜>",
                "<｜tool▁calls▁end｜>",
                "function",
                "f",
                "\n```json\n",
                "\n```",
                "{}",
            ],
        ),
        (
            CallSyntax::DeepSeekBare,
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\": \"}\"}<｜tool▁call▁end｜><｜tool▁call▁begin｜>g<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
            vec![
                "<｜tool▁call▁begin｜>",
                "<｜tool▁sep｜>",
                "<｜tool▁call▁end｜>",
                "f",
                "{}",
            ],
        ),
        (
            CallSyntax::InternLm,
            "<|action_start|><|plugin|>\n{\"name\": \"f\", \"parameters\": {\"a\": \"}\"}}<|action_end|>\n<|action_start|><|plugin|>\n{\"name\": \"g\", \"parameters\": {}}<|action_end|>",
            vec![
                "<|action_start|>",
                "<|plugin|>",
                "<|action_end|>",
                "{\"name\": \"f\", \"parameters\": {}}",
            ],
        ),
        (
            CallSyntax::Glm,
            "f\n{\"a\": \"}\"}\ng\n{}",
            vec!["f", "f\n", "{}", "f g\n{}", "\n\n"],
        ),
    ]
}

#[test]
fn calls_are_read_in_the_syntax_of_each_family() {
    for (syntax, text, _) in written() {
        let expected = answer("", &[("f", "{\"a\": \"}\"}"), ("g", "{}")]);
        assert_eq!(read(syntax, [text]), expected, "{syntax:?}");
        if !syntax.begins_bare() {
            let after = read(syntax, ["I look.\n\n", text, "\n"]);
            assert_eq!(
                after,
                Answer {
                    text: "I look.".to_owned(),
                    ..expected
                },
                "{syntax:?}"
            );
        }
    }
}

#[test]
fn a_call_that_is_cut_within_its_arguments_keeps_them() {
    for (syntax, text, _) in written() {
        let end = text.find("\"}\"}").unwrap();
        assert_eq!(
            read(syntax, [&text[..end]]),
            answer("", &[("f", "{\"a\": ")]),
            "{syntax:?}"
        );
    }
}

#[test]
fn bare_calls_begin_an_answer_and_stand_nowhere_else() {
    let call = "{\"name\": \"f\", \"parameters\": {}}";
    assert_eq!(read(CallSyntax::Llama, ["\n", call]), answer("", &[("f", "{}")]));
    assert_eq!(
        read(CallSyntax::Llama, ["<|python_tag|>", call]),
        answer("", &[("f", "{}")])
    );
    for text in [
        format!("So: {call}"),
        "{\"a\": 1}".to_owned(),
        "{".to_owned(),
        " \n".to_owned(),
    ] {
        assert_eq!(read(CallSyntax::Llama, [text.as_str()]), answer(&text, &[]));
    }
}

#[test]
fn an_answer_that_only_begins_with_a_name_is_passed_on_at_once() {
    let mut parser = ToolParser::new(CallSyntax::Glm);
    let mut output = Vec::new();
    parser.push(Piece::Text(Fragment::from("Hello")), &mut output);
    assert_eq!(output, [], "it may be a function's name");
    parser.push(Piece::Text(Fragment::from(", you")), &mut output);
    assert_eq!(output, [ToolOutput::Text(Fragment::from("Hello, you"))]);
    for text in ["Hello", "你好\n{}", "f {}", "f\n[1]", "{\"a\": 1}", "f: {}"] {
        assert_eq!(read(CallSyntax::Glm, [text]), answer(text, &[]), "{text}");
    }
}

proptest! {
    #[test]
    fn the_result_does_not_depend_on_token_borders_in_any_syntax(
        which in 0_usize..8,
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..16),
    ) {
        let (syntax, usual, parts) = written().swap_remove(which);
        let mut words = vec![usual, "{\"名\": \"}\\\"\"}", "}", "\n", "text", "<", "\"", " "];
        words.extend(parts);
        let text: String = picks.iter().map(|pick| *pick.get(&words)).collect();
        let borders: Vec<usize> = (0..=text.len()).filter(|i| text.is_char_boundary(*i)).collect();
        let mut at: Vec<usize> = cuts.iter().map(|cut| *cut.get(&borders)).chain([0, text.len()]).collect();
        at.sort_unstable();
        let chunks: Vec<&str> = at.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
        prop_assert_eq!(read(syntax, chunks), read(syntax, [text.as_str()]));
    }
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
