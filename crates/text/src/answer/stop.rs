//! Ends the visible answer at a stop text.

use super::fragment::Fragment;
use super::matcher::{Matcher, Patterns};

/// Watches the visible answer for stop texts, also across token borders, and holds back only the
/// longest end that may still become one.
///
/// The stop text that is complete first wins, the longest of those that end together; it and all
/// after it is left out.
#[derive(Debug)]
pub(crate) struct StopMatcher {
    matcher: Matcher,
    held: Fragment,
    /// What was met.
    met: Option<String>,
}

impl StopMatcher {
    pub(crate) fn new(stops: Patterns) -> Self {
        Self {
            matcher: Matcher::new(stops),
            held: Fragment::default(),
            met: None,
        }
    }

    /// Takes more text; returns what is certain now, and whether a stop text was met. After that
    /// nothing more may be pushed.
    pub(crate) fn push(&mut self, fragment: Fragment) -> (Fragment, bool) {
        if self.matcher.is_empty() {
            return (fragment, false);
        }
        let start = self.held.text().len();
        let mut text = std::mem::take(&mut self.held);
        text.append(fragment);
        for i in start..text.text().len() {
            if let Some(found) = self.matcher.push(text.text().as_bytes()[i]) {
                self.met = Some(text.split_off(i + 1 - found.length).text()[..found.length].to_owned());
                return (text, true);
            }
        }
        self.held = text.split_off(text.text().len() - self.matcher.held());
        (text, false)
    }

    /// The stop text that was met.
    pub(crate) fn met(&self) -> Option<&str> {
        self.met.as_deref()
    }

    /// Returns the held text and forgets it: something that is no text follows, or nothing.
    pub(crate) fn flush(&mut self) -> Fragment {
        self.matcher.reset();
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(stops: &[String], chunks: &[&str]) -> (String, bool) {
        let mut matcher = StopMatcher::new(Patterns::new(stops.iter().map(String::as_str)));
        let mut output = String::new();
        for chunk in chunks {
            let (text, met) = matcher.push(Fragment::from(*chunk));
            output.push_str(text.text());
            if met {
                return (output, true);
            }
        }
        output.push_str(matcher.flush().text());
        (output, false)
    }

    /// The definition: after each character, does the text end with a stop text?
    fn reference(stops: &[String], text: &str) -> (String, bool) {
        for end in (1..=text.len()).filter(|end| text.is_char_boundary(*end)) {
            let longest = stops
                .iter()
                .filter(|stop| text[..end].ends_with(stop.as_str()))
                .map(String::len)
                .max();
            if let Some(length) = longest {
                return (text[..end - length].to_owned(), true);
            }
        }
        (text.to_owned(), false)
    }

    /// Cuts a text into chunks of whole characters.
    fn chunks<'a>(text: &'a str, cuts: &[prop::sample::Index]) -> Vec<&'a str> {
        let borders: Vec<usize> = (0..=text.len()).filter(|i| text.is_char_boundary(*i)).collect();
        let mut at: Vec<usize> = cuts
            .iter()
            .map(|cut| *cut.get(&borders))
            .chain([0, text.len()])
            .collect();
        at.sort_unstable();
        at.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect()
    }

    proptest! {
        #[test]
        fn stopping_equals_the_definition_for_any_cut(
            stops in prop::collection::vec("[ab停止]{1,4}", 0..4),
            text in "[ab停止]{0,40}",
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            prop_assert_eq!(run(&stops, &chunks(&text, &cuts)), reference(&stops, &text));
        }
    }

    #[test]
    fn only_a_possible_beginning_of_a_stop_text_is_held_back() {
        let mut matcher = StopMatcher::new(Patterns::new(["###"]));
        assert_eq!(matcher.push(Fragment::from("a##")), (Fragment::from("a"), false));
        assert_eq!(matcher.push(Fragment::from("b#")), (Fragment::from("##b"), false));
        assert_eq!(matcher.flush(), Fragment::from("#"));
    }
}
