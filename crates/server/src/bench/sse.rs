//! Reads server-sent events (HTML standard, section 9.2) from a stream of bytes.

/// The largest event that is kept, in bytes.
const EVENT_LIMIT: usize = 1 << 20;

/// Collects bytes and gives back the data of each complete event. Only `data` fields matter here;
/// comments and other fields are passed over.
#[derive(Debug, Default)]
pub(super) struct SseReader {
    /// The line that is not complete yet.
    line: Vec<u8>,
    /// The data lines of the event that is not complete yet.
    data: Option<String>,
    /// Whether the last byte was a carriage return, whose line feed is still to come.
    after_return: bool,
}

/// What the server sent is no event stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum SseError {
    /// An event grew beyond the limit.
    #[error("an event is longer than 1 MiB")]
    TooLong,
    /// A line is no UTF-8.
    #[error("a line is no UTF-8")]
    NotUtf8,
}

impl SseReader {
    /// Takes the next bytes and returns the data of the events they complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, SseError> {
        let mut events = Vec::new();
        for &byte in bytes {
            let line_feed_of_pair = std::mem::replace(&mut self.after_return, byte == b'\r') && byte == b'\n';
            match byte {
                b'\n' if line_feed_of_pair => {}
                b'\n' | b'\r' => events.extend(self.end_line()?),
                _ if self.line.len() >= EVENT_LIMIT => return Err(SseError::TooLong),
                _ => self.line.push(byte),
            }
        }
        Ok(events)
    }

    /// Ends the current line; returns the data if that completed an event.
    fn end_line(&mut self) -> Result<Option<String>, SseError> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return Ok(self.data.take());
        }
        let line = String::from_utf8(line).map_err(|_| SseError::NotUtf8)?;
        let value = match line.split_once(':') {
            Some(("data", value)) => value.strip_prefix(' ').unwrap_or(value),
            None if line == "data" => "",
            _ => return Ok(None),
        };
        match &mut self.data {
            Some(data) if data.len() + value.len() >= EVENT_LIMIT => return Err(SseError::TooLong),
            Some(data) => {
                data.push('\n');
                data.push_str(value);
            }
            None => self.data = Some(value.to_owned()),
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Vec<String> {
        SseReader::default().push(text.as_bytes()).unwrap()
    }

    #[test]
    fn events_end_at_a_blank_line() {
        assert_eq!(
            read("data: {\"a\":1}\n\ndata: [DONE]\n\n"),
            ["{\"a\":1}", "[DONE]"]
        );
        assert_eq!(read("data: not complete\n"), Vec::<String>::new());
    }

    #[test]
    fn all_line_endings_comments_and_other_fields_are_understood() {
        assert_eq!(read("data:a\r\n\r\n: ping\r\rdata: b\r\r"), ["a", "b"]);
        assert_eq!(read("event: x\nid: 3\ndata: c\ndata\ndata:  d\n\n"), ["c\n\n d"]);
        assert_eq!(read("\n\n: only a comment\n\n"), Vec::<String>::new());
    }

    #[test]
    fn endless_lines_and_bytes_that_are_no_text_are_refused() {
        assert_eq!(
            SseReader::default().push(&vec![b'x'; EVENT_LIMIT + 1]),
            Err(SseError::TooLong)
        );
        assert_eq!(
            SseReader::default().push(b"data: \xff\n\n"),
            Err(SseError::NotUtf8)
        );
    }

    proptest! {
        #[test]
        fn the_borders_of_reads_do_not_matter(text in "(data: ?|: |x:|[ab\u{6a21}]|\n|\r|\r\n){0,40}", cuts in prop::collection::vec(1_usize..5, 0..80)) {
            let whole = SseReader::default().push(text.as_bytes()).unwrap();
            let mut reader = SseReader::default();
            let mut rest = text.as_bytes();
            let mut pieces = Vec::new();
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                pieces.extend(reader.push(piece).unwrap());
                rest = after;
            }
            pieces.extend(reader.push(rest).unwrap());
            prop_assert_eq!(pieces, whole);
        }
    }
}
