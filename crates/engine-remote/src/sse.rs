//! Server-sent events, as far as chat completions use them: the data of each event.

use bytes::{Buf as _, Bytes};

use crate::RemoteError;

/// The longest event that is read, in bytes of its lines.
pub(crate) const LONGEST_EVENT: usize = 1024 * 1024;

/// Cuts a stream of bytes into the data of its events. Keeps at most one event. An event of one line
/// that came in one piece, as nearly all do, is handed out as a part of that piece; only others are
/// copied.
#[derive(Debug, Default)]
pub(crate) struct EventDecoder {
    /// What was fed and not looked at yet.
    fed: Bytes,
    /// The begin of a line whose end was not fed yet.
    line: Vec<u8>,
    data: Data,
    /// The last line ended with a carriage return, to which a line feed may belong.
    after_return: bool,
    /// Anything but the first line, which may begin with a byte order mark.
    past_first_line: bool,
}

/// The data lines of an event, joined by line feeds.
#[derive(Debug, Default)]
enum Data {
    #[default]
    None,
    /// One line, a part of what was fed.
    Part(Bytes),
    /// What was copied: a line whose event goes on after what was fed, or several.
    Own(Vec<u8>),
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
    pub(crate) fn next_event(&mut self) -> Result<Option<Bytes>, RemoteError> {
        while let Some(line) = self.next_line()? {
            if !line.is_empty() {
                self.keep(line);
            } else if let Some(data) = self.data.take() {
                return Ok(Some(data));
            }
        }
        // Whoever waits for more must not keep the whole piece alive for a part of it. It is copied
        // once, however often there is a little more that does not end it.
        if let Data::Part(line) = &self.data {
            self.data = Data::Own(line.to_vec());
        }
        Ok(None)
    }

    /// The data of an event that the stream's end completes: servers exist that leave out the last
    /// empty line. A cut event shows by its JSON.
    pub(crate) fn last_event(&mut self) -> Option<Bytes> {
        let line = std::mem::take(&mut self.line);
        self.keep(line.into());
        self.data.take()
    }

    /// The next whole line; `None` when its end was not fed yet.
    fn next_line(&mut self) -> Result<Option<Bytes>, RemoteError> {
        if self.after_return && !self.fed.is_empty() {
            self.after_return = false;
            if self.fed.first() == Some(&b'\n') {
                self.fed.advance(1);
            }
        }
        let end = memchr::memchr2(b'\n', b'\r', &self.fed);
        let mut line = self.fed.split_to(end.unwrap_or(self.fed.len()));
        let kept = self.line.len() + self.data.len();
        if kept + line.len() > LONGEST_EVENT {
            return Err(RemoteError::FrameTooLong(LONGEST_EVENT));
        }
        if end.is_none() {
            self.line.extend_from_slice(&line);
            return Ok(None);
        }
        self.after_return = self.fed.get_u8() == b'\r';
        if !self.line.is_empty() {
            self.line.extend_from_slice(&line);
            line = std::mem::take(&mut self.line).into();
        }
        if !std::mem::replace(&mut self.past_first_line, true) && line.starts_with(b"\xef\xbb\xbf") {
            line.advance(3);
        }
        Ok(Some(line))
    }

    /// Adds a line to the event if it is one of data. Comments and other fields say nothing here.
    fn keep(&mut self, mut line: Bytes) {
        let field = match line.strip_prefix(b"data") {
            Some([]) => 4,
            Some([b':', b' ', ..]) => 6,
            Some([b':', ..]) => 5,
            Some(_) | None => return,
        };
        line.advance(field);
        self.data.add(line);
    }
}

impl Data {
    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Part(line) => line.len(),
            Self::Own(lines) => lines.len(),
        }
    }

    fn add(&mut self, line: Bytes) {
        let mut lines = match std::mem::take(self) {
            Self::None => {
                *self = Self::Part(line);
                return;
            }
            Self::Part(first) => first.to_vec(),
            Self::Own(lines) => lines,
        };
        lines.push(b'\n');
        lines.extend_from_slice(&line);
        *self = Self::Own(lines);
    }

    fn take(&mut self) -> Option<Bytes> {
        match std::mem::take(self) {
            Self::None => None,
            Self::Part(line) => Some(line),
            Self::Own(lines) => Some(lines.into()),
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
            .map(|event| String::from_utf8(event.to_vec()).unwrap())
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

    #[test]
    fn an_event_of_one_line_is_a_part_of_what_was_fed() {
        let fed = Bytes::from_static(b"data: a\n\ndata: b\n\n");
        let places = fed.as_ptr().addr()..fed.as_ptr().addr() + fed.len();
        let mut decoder = EventDecoder::default();
        decoder.feed(fed);
        for expected in ["a", "b"] {
            let event = decoder.next_event().unwrap().unwrap();
            assert_eq!(event, expected);
            assert!(places.contains(&event.as_ptr().addr()), "{expected} was copied");
        }
        assert_eq!(decoder.next_event().unwrap(), None);
    }

    #[test]
    fn an_event_that_is_not_whole_keeps_no_piece_alive() {
        let fed = Bytes::from(b"data: a\nda".to_vec());
        let mut decoder = EventDecoder::default();
        decoder.feed(fed.clone());
        assert_eq!(decoder.next_event().unwrap(), None);
        assert!(fed.is_unique(), "the piece is still held");
        decoder.feed(Bytes::from_static(b"ta: b\n\n"));
        assert_eq!(decoder.next_event().unwrap().unwrap(), "a\nb");
    }

    #[test]
    fn an_event_that_waits_is_copied_once_however_many_comments_follow() {
        let mut decoder = EventDecoder::default();
        decoder.feed(Bytes::from_static(b"data: a\n"));
        assert_eq!(decoder.next_event().unwrap(), None);
        let place = |decoder: &EventDecoder| match &decoder.data {
            Data::Own(line) => line.as_ptr(),
            Data::None | Data::Part(_) => panic!("the line is kept as a copy"),
        };
        let first = place(&decoder);
        for _ in 0..100 {
            decoder.feed(Bytes::from_static(b":\n"));
            assert_eq!(decoder.next_event().unwrap(), None);
            assert_eq!(place(&decoder), first);
        }
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
