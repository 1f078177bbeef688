//! Where the body of an answer ends, and its bytes: a state machine without I/O.

use bytes::{Buf as _, Bytes, BytesMut};

use crate::TransferError;

/// The longest line between two chunks, in bytes: a size, and what nobody here knows.
const LONGEST_LINE: usize = 4 * 1024;
/// The longest end of an answer in chunks, in bytes.
const LONGEST_TRAILERS: usize = 16 * 1024;

/// How the end of a body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// By its length: so many bytes are left.
    Length(u64),
    /// By its last chunk (RFC 9112, section 7.1).
    Chunked(Chunked),
    /// By the end of the connection.
    UntilClose,
}

/// What comes next of a body in chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunked {
    /// The line with the size of a chunk.
    Size,
    /// So many bytes of a chunk.
    Data(u64),
    /// The line's end after a chunk.
    DataEnd,
    /// The lines after the last chunk, of which so many bytes have come.
    Trailers(usize),
}

/// What was found in the bytes that are there.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A part of the body.
    Data(Bytes),
    /// Nothing; more must be read first.
    More,
    /// The body is over.
    End,
}

impl Framing {
    pub(super) const fn chunked() -> Self {
        Self::Chunked(Chunked::Size)
    }

    /// Whether the end is known to have come.
    pub(super) const fn is_over(self) -> bool {
        matches!(self, Self::Length(0))
    }

    /// Takes the next part of the body from the begin of what was received.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn step(&mut self, received: &mut BytesMut) -> Result<Step, TransferError> {
        match self {
            Self::Length(0) => Ok(Step::End),
            Self::Length(left) => Ok(data(left, received)),
            Self::UntilClose => {
                let mut left = u64::MAX;
                Ok(data(&mut left, received))
            }
            Self::Chunked(chunked) => chunked.step(received),
        }
    }
}

impl Chunked {
    fn step(&mut self, received: &mut BytesMut) -> Result<Step, TransferError> {
        loop {
            match self {
                Self::Data(0) => *self = Self::DataEnd,
                Self::Data(left) => return Ok(data(left, received)),
                Self::Size => {
                    let Some(line) = line(received)? else {
                        return Ok(Step::More);
                    };
                    *self = match size(line).ok_or(TransferError::Chunk("its size is none"))? {
                        0 => Self::Trailers(0),
                        size => Self::Data(size),
                    };
                    skip_line(received);
                }
                Self::DataEnd => match **received {
                    [] | [b'\r'] => return Ok(Step::More),
                    [b'\r', b'\n', ..] => {
                        received.advance(2);
                        *self = Self::Size;
                    }
                    _ => return Err(TransferError::Chunk("it is longer than it says")),
                },
                Self::Trailers(length) => match line(received)? {
                    None => return Ok(Step::More),
                    Some([]) => {
                        skip_line(received);
                        return Ok(Step::End);
                    }
                    // They say nothing here.
                    Some(trailer) => {
                        *length += trailer.len();
                        if *length > LONGEST_TRAILERS {
                            return Err(TransferError::Chunk("too much follows the last one"));
                        }
                        skip_line(received);
                    }
                },
            }
        }
    }
}

/// Takes what is there of `left` bytes.
fn data(left: &mut u64, received: &mut BytesMut) -> Step {
    if received.is_empty() {
        return Step::More;
    }
    let most = usize::try_from(*left).unwrap_or(usize::MAX);
    let data = received.split_to(received.len().min(most)).freeze();
    *left = left.saturating_sub(u64::try_from(data.len()).unwrap_or(u64::MAX));
    Step::Data(data)
}

/// The line at the begin, without its end; `None` when that has not come.
fn line(received: &[u8]) -> Result<Option<&[u8]>, TransferError> {
    let Some(end) = memchr::memchr(b'\n', received) else {
        return match received.len() {
            0..=LONGEST_LINE => Ok(None),
            _ => Err(TransferError::Chunk("a line beside it is too long")),
        };
    };
    let line = received.get(..end).and_then(|line| line.strip_suffix(b"\r"));
    line.map(Some)
        .ok_or(TransferError::Chunk("a line beside it has another end"))
}

fn skip_line(received: &mut BytesMut) {
    let end = memchr::memchr(b'\n', received);
    received.advance(end.map_or(0, |end| end + 1));
}

/// The size of a chunk: hexadecimal digits, and what may follow them.
fn size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?;
    let blanks = digits
        .iter()
        .rev()
        .take_while(|byte| matches!(byte, b' ' | b'\t'));
    let digits = digits.get(..digits.len() - blanks.count())?;
    if line.contains(&b'\r') || digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The body of an answer that comes in these pieces, and what is left behind it.
    fn read(mut framing: Framing, pieces: &[&[u8]]) -> Result<(Vec<u8>, Vec<u8>), TransferError> {
        let (mut received, mut body) = (BytesMut::new(), Vec::new());
        let mut pieces = pieces.iter();
        loop {
            match framing.step(&mut received)? {
                Step::Data(data) => body.extend_from_slice(&data),
                Step::End => {
                    pieces.for_each(|piece| received.extend_from_slice(piece));
                    return Ok((body, received.to_vec()));
                }
                Step::More => match pieces.next() {
                    Some(piece) => received.extend_from_slice(piece),
                    None => return Err(TransferError::Closed),
                },
            }
        }
    }

    fn chunks(text: &str) -> Result<(String, String), TransferError> {
        let (body, rest) = read(Framing::chunked(), &[text.as_bytes()])?;
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ok((text(body), text(rest)))
    }

    #[test]
    fn a_body_of_known_length_ends_there_and_keeps_what_follows() {
        let read = |length, pieces: &[&[u8]]| read(Framing::Length(length), pieces);
        assert_eq!(read(0, &[b"next"]).unwrap(), (vec![], b"next".to_vec()));
        assert_eq!(
            read(3, &[b"a", b"bcnext"]).unwrap(),
            (b"abc".to_vec(), b"next".to_vec())
        );
        assert!(matches!(read(4, &[b"abc"]), Err(TransferError::Closed)));
    }

    #[test]
    fn chunks_are_joined_and_what_stands_beside_them_is_left_out() {
        for (text, body, rest) in [
            ("0\r\n\r\n", "", ""),
            ("3\r\nabc\r\n0\r\n\r\nnext", "abc", "next"),
            (
                "3;name=value\r\na\r\n\r\n01 \r\nd\r\n000\r\nx: y\r\nz: 1\r\n\r\n",
                "a\r\nd",
                "",
            ),
            (
                "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
                "01234567890123456789",
                "",
            ),
        ] {
            assert_eq!(
                chunks(text).unwrap(),
                (body.to_owned(), rest.to_owned()),
                "{text:?}"
            );
        }
    }

    #[test]
    fn what_are_no_chunks_is_refused() {
        let long = format!("3;{}", "x".repeat(LONGEST_LINE));
        let trailers = format!("0\r\n{}", "x: y\r\n".repeat(LONGEST_TRAILERS));
        for text in [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "+1\r\na",
            "0x1\r\na",
            " 1\r\na",
            "1\r\r\na",
            "1;a\rb\r\na",
            "3\nabc",
            "3\r\nabcd\r\n",
            "10000000000000000\r\n",
            &long,
            &trailers,
        ] {
            assert!(matches!(chunks(text), Err(TransferError::Chunk(_))), "{text:?}");
        }
        for text in ["", "3", "3\r\n", "3\r\nab", "3\r\nabc\r\n", "0\r\n"] {
            assert!(matches!(chunks(text), Err(TransferError::Closed)), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn where_the_answer_is_cut_into_pieces_changes_nothing(
            parts in prop::collection::vec("[a-z\r\n]{1,20}", 0..5),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let chunks = parts.iter().map(|part| format!("{:x}\r\n{part}\r\n", part.len()));
            let mut text = chunks.collect::<Vec<_>>().concat();
            text.push_str("0\r\n\r\nnext");
            let text = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            let (body, rest) = read(Framing::chunked(), &pieces).unwrap();
            prop_assert_eq!(body, parts.concat().into_bytes());
            prop_assert_eq!(rest, b"next");
        }
    }
}
