//! Server-sent events, as far as chat completions use them: the data of each event.

use bytes::{Buf as _, Bytes};

use crate::RemoteError;

/// The longest event that is read, in bytes of its lines.
pub(crate) const LONGEST_EVENT: usize = 1024 * 1024;

/// Cuts a stream of bytes into the data of its events. Keeps at most one event.
#[derive(Debug, Default)]
pub(crate) struct EventDecoder {
    /// What was fed and not looked at yet.
    fed: Bytes,
    /// The line that is not whole yet.
    line: Vec<u8>,
    /// The data lines of this event, joined by line feeds; `None` when it has none.
    data: Option<Vec<u8>>,
    /// The last line ended with a carriage return, to which a line feed may belong.
    after_return: bool,
    /// Anything but the first line, which may begin with a byte order mark.
    past_first_line: bool,
}

impl EventDecoder {
    /// Takes the next bytes. Call [`EventDecoder::next_event`] until it has none before.
    pub(crate) fn feed(&mut self, bytes: Bytes) {
        debug_assert!(self.fed.is_empty(), "every event is taken before more is fed");
        self.fed = bytes;
    }

    /// The data of the next whole event, `None` when more must be fed first.
    ///
    /// # Errors
    /// When an event is longer than [`LONGEST_EVENT`].
    pub(crate) fn next_event(&mut self) -> Result<Option<Vec<u8>>, RemoteError> {
        while self.next_line()? {
            let line = std::mem::take(&mut self.line);
            if line.is_empty() {
                if let Some(data) = self.data.take() {
                    return Ok(Some(data));
                }
                continue;
            }
            self.keep(&line);
        }
        Ok(None)
    }

    /// The data of an event that the stream's end completes: servers exist that leave out the last
    /// empty line. A cut event shows by its JSON.
    pub(crate) fn last_event(&mut self) -> Option<Vec<u8>> {
        let line = std::mem::take(&mut self.line);
        self.keep(&line);
        self.data.take()
    }

    /// Moves bytes to `line` up to the end of a line. Says whether the line is whole.
    fn next_line(&mut self) -> Result<bool, RemoteError> {
        if self.after_return && !self.fed.is_empty() {
            self.after_return = false;
            if self.fed.first() == Some(&b'\n') {
                self.fed.advance(1);
            }
        }
        let end = self.fed.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let taken = self.fed.split_to(end.unwrap_or(self.fed.len()));
        let kept = self.line.len() + self.data.as_ref().map_or(0, Vec::len);
        if kept + taken.len() > LONGEST_EVENT {
            return Err(RemoteError::FrameTooLong(LONGEST_EVENT));
        }
        self.line.extend_from_slice(&taken);
        if end.is_none() {
            return Ok(false);
        }
        self.after_return = self.fed.get_u8() == b'\r';
        if !self.past_first_line {
            self.past_first_line = true;
            if self.line.starts_with(b"\xef\xbb\xbf") {
                self.line.drain(..3);
            }
        }
        Ok(true)
    }

    /// Adds a line to the event if it is one of data. Comments and other fields say nothing here.
    fn keep(&mut self, line: &[u8]) {
        let Some(value) = line.strip_prefix(b"data") else {
            return;
        };
        let value = match value {
            [] => value,
            [b':', b' ', value @ ..] | [b':', value @ ..] => value,
            _ => return,
        };
        if let Some(data) = &mut self.data {
            data.push(b'\n');
            data.extend_from_slice(value);
        } else {
            self.data = Some(value.to_vec());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All events of a stream that arrives in the given pieces.
    fn events(pieces: &[&[u8]]) -> Result<Vec<String>, RemoteError> {
        let mut decoder = EventDecoder::default();
        let mut found = Vec::new();
        for piece in pieces {
            decoder.feed(Bytes::copy_from_slice(piece));
            while let Some(event) = decoder.next_event()? {
                found.push(event);
            }
        }
        found.extend(decoder.last_event());
        Ok(found
            .into_iter()
            .map(|event| String::from_utf8(event).unwrap())
            .collect())
    }

    #[test]
    fn each_way_to_end_a_line_ends_it() {
        let text = b"data: a\n\ndata: b\r\n\r\ndata: c\r\rdata:d\n\n";
        assert_eq!(events(&[text]).unwrap(), ["a", "b", "c", "d"]);
    }

    #[test]
    fn comments_other_fields_and_empty_events_say_nothing() {
        let text = b": keep-alive\n\n\n\nevent: message\nid: 7\nretry: 10\ndata: a\ndatum: b\n\n: more\n\n";
        assert_eq!(events(&[text]).unwrap(), ["a"]);
    }

    #[test]
    fn several_data_lines_are_one_event() {
        assert_eq!(events(&[b"data: a\ndata\ndata:  b\n\n"]).unwrap(), ["a\n\n b"]);
    }

    #[test]
    fn a_byte_order_mark_and_a_missing_last_line_are_forgiven() {
        assert_eq!(
            events(&[b"\xef\xbb\xbfdata: a\n\ndata: [DONE]"]).unwrap(),
            ["a", "[DONE]"]
        );
    }

    #[test]
    fn an_event_that_is_too_long_is_refused_however_it_is_cut() {
        let line = [b"data: ", vec![b'x'; LONGEST_EVENT].as_slice()].concat();
        assert!(matches!(events(&[&line]), Err(RemoteError::FrameTooLong(_))));
        let half = [b"data: ", vec![b'x'; LONGEST_EVENT / 2].as_slice(), b"\n"].concat();
        assert!(matches!(
            events(&[&half, &half]),
            Err(RemoteError::FrameTooLong(_))
        ));
        let comment = [b":", vec![b'x'; LONGEST_EVENT].as_slice()].concat();
        assert!(matches!(events(&[&comment]), Err(RemoteError::FrameTooLong(_))));
    }

    proptest! {
        #[test]
        fn where_the_stream_is_cut_into_pieces_changes_nothing(
            lines in prop::collection::vec("(data: |data:|: |)[a-z\u{e9}]{0,5}(\n|\r\n|\r)", 0..20),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let text = lines.concat().into_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            prop_assert_eq!(events(&pieces).unwrap(), events(&[&text]).unwrap());
        }
    }
}
