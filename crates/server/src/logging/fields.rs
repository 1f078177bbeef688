//! The fields of a log line that no terminal shows.
//!
//! The subscriber's own writer of fields asks for each name and each sign how it is to be painted, which
//! costs every call as much as a tenth of all else. Without colours the text is the same.

use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

/// Writes `message name=value name=value`.
#[derive(Debug, Clone, Copy)]
pub(super) struct PlainFields;

impl<'writer> FormatFields<'writer> for PlainFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut line = Line {
            out: OneLine(writer),
            is_first: true,
            result: Ok(()),
        };
        fields.record(&mut line);
        line.result
    }
}

struct Line<'writer> {
    out: OneLine<'writer>,
    is_first: bool,
    result: fmt::Result,
}

impl Line<'_> {
    fn write(&mut self, field: &Field, value: fmt::Arguments<'_>) -> fmt::Result {
        if !std::mem::take(&mut self.is_first) {
            self.out.write_str(" ")?;
        }
        if field.name() != "message" {
            self.out.write_str(field.name())?;
            self.out.write_str("=")?;
        }
        self.out.write_fmt(value)
    }
}

impl Visit for Line<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.record_debug(field, &format_args!("{value}"));
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if self.result.is_ok() {
            self.result = self.write(field, format_args!("{value:?}"));
        }
    }
}

/// Lets through what stays on its line and moves nothing; other characters are written as Rust writes
/// them in its sources. A text from elsewhere, such as an error's, must not look like a line of ours.
struct OneLine<'writer>(Writer<'writer>);

impl Write for OneLine<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let is_plain = |byte: u8| (b' '..0x7f).contains(&byte);
        if text.bytes().all(is_plain) {
            return self.0.write_str(text);
        }
        text.chars().try_for_each(|character| {
            if character.is_control() {
                write!(self.0, "{}", character.escape_default())
            } else {
                self.0.write_char(character)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Debug, Clone, Default)]
    struct Text(Arc<Mutex<Vec<u8>>>);

    impl io::Write for &Text {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Text {
        type Writer = &'a Self;

        fn make_writer(&'a self) -> &'a Self {
            self
        }
    }

    impl Text {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
        }
    }

    fn say() {
        let error = io::Error::other("no room");
        tracing::info!(
            name = "x",
            trace.id = %"ti_1",
            count = 7_u64,
            change = -7_i64,
            share = 0.5,
            is_good = true,
            absent = None::<u64>,
            present = Some(3_u64),
            list = ?[1, 2],
            error = &error as &dyn std::error::Error,
            "call of {} {}",
            "Qwen/é",
            "complete"
        );
        tracing::warn!(only = "fields");
        tracing::error!("only words");
    }

    #[test]
    fn lines_are_those_of_the_subscriber() {
        let (ours, theirs) = (Text::default(), Text::default());
        let lines = || tracing_subscriber::fmt().without_time().with_ansi(false);
        let subscriber = lines().with_writer(ours.clone()).fmt_fields(PlainFields).finish();
        tracing::subscriber::with_default(subscriber, say);
        let subscriber = lines().with_writer(theirs.clone()).finish();
        tracing::subscriber::with_default(subscriber, say);
        assert_eq!(ours.take(), theirs.take());
    }

    #[test]
    fn no_text_ends_a_line_or_moves_the_cursor() {
        let text = Text::default();
        let subscriber = tracing_subscriber::fmt()
            .without_time()
            .with_ansi(false)
            .with_writer(text.clone())
            .fmt_fields(PlainFields)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(error = %"a\n2026 ERROR b\u{1b}[2J\u{9b}é", "c\rd");
        });
        let line = text.take();
        assert_eq!(line.matches('\n').count(), 1, "{line:?}");
        assert!(
            line.ends_with("c\\rd error=a\\n2026 ERROR b\\u{1b}[2J\\u{9b}é\n"),
            "{line:?}"
        );
    }
}
