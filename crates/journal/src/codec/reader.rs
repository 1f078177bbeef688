//! Takes the fields out of an event's bytes, one after the other.

use uuid::Uuid;

use super::BadPayload;

pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes not read yet.
    pub(super) const fn left(&self) -> usize {
        self.rest.len()
    }

    pub(super) const fn end(&self) -> Result<(), BadPayload> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(BadPayload::Trailing)
        }
    }

    pub(super) fn byte(&mut self) -> Result<u8, BadPayload> {
        let (byte, rest) = self.rest.split_first().ok_or(BadPayload::Short)?;
        self.rest = rest;
        Ok(*byte)
    }

    pub(super) fn uuid(&mut self) -> Result<Uuid, BadPayload> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(BadPayload::Short)?;
        self.rest = rest;
        Ok(Uuid::from_bytes(*bytes))
    }

    pub(super) fn text(&mut self, field: &'static str) -> Result<&'a str, BadPayload> {
        let length = usize::try_from(self.unsigned()?).map_err(|_| BadPayload::Short)?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(BadPayload::Short)?;
        self.rest = rest;
        std::str::from_utf8(bytes).map_err(|_| BadPayload::Field(field))
    }

    pub(super) fn unsigned(&mut self) -> Result<u64, BadPayload> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if shift == 63 && byte > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(BadPayload::Field("number"))
    }

    pub(super) fn signed(&mut self) -> Result<i64, BadPayload> {
        let value = self.unsigned()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }
}
