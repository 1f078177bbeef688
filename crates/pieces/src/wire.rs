//! The fields of a message in the protocol buffers' wire format, lent from the bytes they lie in
//! (<https://protobuf.dev/programming-guides/encoding>).

use crate::PiecesError;

/// One field's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum FieldValue<'a> {
    Number(u64),
    /// A text, bytes, or a message.
    Bytes(&'a [u8]),
    Float(f32),
    /// Eight bytes; no field that is read has them.
    Wide,
}

/// The fields of a message, one after the other.
pub(crate) struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where `bytes` begin in the file.
    start: usize,
    /// What the message is, for the errors.
    inside: &'static str,
}

impl<'a> Fields<'a> {
    pub(crate) fn of_file(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            start: 0,
            inside: "the model",
        }
    }

    /// The fields of the message that was returned last.
    pub(crate) fn of_message(&self, message: &'a [u8], inside: &'static str) -> Self {
        Self {
            bytes: message,
            at: 0,
            start: self.start + self.at - message.len(),
            inside,
        }
    }

    /// The next field's number and value; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, FieldValue<'a>)>, PiecesError> {
        if self.at == self.bytes.len() {
            return Ok(None);
        }
        let tag = self.number()?;
        let value = match tag & 7 {
            0 => FieldValue::Number(self.number()?),
            1 => self.take(8).map(|_| FieldValue::Wide)?,
            2 => {
                let length = self.number()?;
                // What does not fit a machine word is longer than any file.
                FieldValue::Bytes(self.take(usize::try_from(length).unwrap_or(usize::MAX))?)
            }
            5 => {
                let bytes = self.take(4)?.first_chunk().copied().unwrap_or_default();
                FieldValue::Float(f32::from_le_bytes(bytes))
            }
            // Groups, which nobody writes any more, and what was never given a meaning.
            other => {
                return Err(self.malformed(&format!("has a field of the wire type {other}")));
            }
        };
        match tag >> 3 {
            0 => Err(self.malformed("has a field of the number 0")),
            number => Ok(Some((number, value))),
        }
    }

    /// A variable-length integer: seven bits a byte, the lowest first.
    fn number(&mut self) -> Result<u64, PiecesError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?.first().copied().unwrap_or_default();
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(self.malformed("has a number of more than 64 bits"))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], PiecesError> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or(PiecesError::Truncated {
            inside: self.inside,
            at: self.start + self.at,
        })?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn malformed(&self, problem: &str) -> PiecesError {
        PiecesError::malformed(self.inside, format!("{problem} at byte {}", self.start + self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<(u64, FieldValue<'_>)>, String> {
        let mut fields = Fields::of_file(bytes);
        let mut found = Vec::new();
        while let Some(field) = fields.next().map_err(|error| error.to_string())? {
            found.push(field);
        }
        Ok(found)
    }

    #[test]
    fn fields_of_all_types_are_told_apart() {
        // 1: 300; 2: "ab"; 3: 1.5 as f32; 4: eight bytes; 1: the largest number.
        let mut bytes = vec![0x08, 0xac, 0x02, 0x12, 2, b'a', b'b', 0x1d, 0, 0, 0xc0, 0x3f];
        bytes.extend([0x21, 0, 0, 0, 0, 0, 0, 0, 0, 0x08]);
        bytes.extend([0xff; 9]);
        bytes.push(1);
        let expected = [
            (1, FieldValue::Number(300)),
            (2, FieldValue::Bytes(b"ab")),
            (3, FieldValue::Float(1.5)),
            (4, FieldValue::Wide),
            (1, FieldValue::Number(u64::MAX)),
        ];
        assert_eq!(all(&bytes).unwrap(), expected);
    }

    #[test]
    fn what_reaches_beyond_the_end_is_truncated() {
        let huge = [&[0x12][..], &[0xff; 9], &[1]].concat();
        for bytes in [
            &[0x08][..],
            &[0x08, 0x80],
            &[0x12],
            &[0x12, 5, 1, 2, 3, 4],
            &[0x1d, 0, 0, 0],
            &[0x21, 0],
            &huge,
        ] {
            let refused = all(bytes).unwrap_err();
            assert!(
                refused.starts_with("it ends inside the model at byte"),
                "{refused}"
            );
        }
    }

    #[test]
    fn what_the_format_does_not_know_is_refused() {
        let long = [&[0x08][..], &[0xff; 10], &[1]].concat();
        let wide = [&[0x08][..], &[0xff; 9], &[2]].concat();
        for (bytes, told) in [
            (&[0x0b][..], "wire type 3"),
            (&[0x0f, 0], "wire type 7"),
            (&[0x00, 1], "number 0"),
            (&long, "more than 64 bits"),
            (&wide, "more than 64 bits"),
        ] {
            let refused = all(bytes).unwrap_err();
            assert!(refused.contains(told), "{refused}");
        }
    }
}
