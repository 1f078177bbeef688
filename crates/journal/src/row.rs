//! The frame of one row: what lets a row be recognised and checked wherever it is found.
//!
//! `SJE1`, length of the payload (u32), sequence (u64), mark (u64), payload, CRC-32 of all before;
//! numbers are little-endian. The sequence is part of what is checked, so that a row that got under
//! another row's number is noticed, and rows can be carved out of a file whose tree is damaged. The
//! mark says up to which number all events were forgotten when the row was written, so that carving
//! does not take old events for new ones.

use silica_billing::UsageEvent;

use crate::codec::{self, BadPayload};

/// Begins every row; the digit is the version of the payload's encoding.
pub(crate) const MAGIC: [u8; 4] = *b"SJE1";
/// Begins the row that says which events are forgotten.
pub(crate) const MARK_MAGIC: [u8; 4] = *b"SJM1";
const HEADER: usize = 24;
const CHECKSUM: usize = 4;
/// No event is longer: names and trace ids are bounded, and so are an account's vouchers in reason.
const LONGEST: usize = 1 << 20;

/// Why bytes are not a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRow {
    /// They do not begin like one or have another length than they say.
    #[error("it does not have the form of a row")]
    Frame,
    /// The checksum says that they changed.
    #[error("its checksum is wrong")]
    Checksum,
    /// It is a whole row, with another number.
    #[error("it belongs under number {0}")]
    Number(u64),
    /// The checksum is right and the content is not an event.
    #[error("its content is not an event")]
    Payload(#[from] BadPayload),
}

/// Writes the row of `event` into `buffer`, replacing what was there.
pub(crate) fn encode(sequence: u64, mark: u64, event: &UsageEvent, buffer: &mut Vec<u8>) {
    begin(MAGIC, sequence, mark, buffer);
    codec::encode(event, buffer);
    finish(buffer);
}

/// Writes the mark: a row without payload, whose number is the last event that is forgotten.
pub(crate) fn encode_mark(forgotten: u64) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(HEADER + CHECKSUM);
    begin(MARK_MAGIC, forgotten, forgotten, &mut buffer);
    finish(&mut buffer);
    buffer
}

fn begin(magic: [u8; 4], sequence: u64, mark: u64, buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.extend_from_slice(&magic);
    buffer.extend_from_slice(&[0; 4]);
    buffer.extend_from_slice(&sequence.to_le_bytes());
    buffer.extend_from_slice(&mark.to_le_bytes());
}

fn finish(buffer: &mut Vec<u8>) {
    // Longer than 4 GiB cannot be; a length that does not fit would be refused when read.
    let length = u32::try_from(buffer.len() - HEADER).unwrap_or(u32::MAX);
    buffer[4..8].copy_from_slice(&length.to_le_bytes());
    let checksum = crc32fast::hash(buffer);
    buffer.extend_from_slice(&checksum.to_le_bytes());
}

/// Reads the row that stands under `sequence`.
pub(crate) fn decode(sequence: u64, bytes: &[u8]) -> Result<UsageEvent, BadRow> {
    let row = Row::at_start(MAGIC, bytes)?;
    if row.length != bytes.len() {
        return Err(BadRow::Frame);
    }
    if row.sequence != sequence {
        return Err(BadRow::Number(row.sequence));
    }
    Ok(row.event()?)
}

/// Reads what [`encode_mark`] wrote.
pub(crate) fn decode_mark(bytes: &[u8]) -> Result<u64, BadRow> {
    let row = Row::at_start(MARK_MAGIC, bytes)?;
    if row.length == bytes.len() {
        Ok(row.sequence)
    } else {
        Err(BadRow::Frame)
    }
}

/// A row whose checksum is right.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) sequence: u64,
    /// Up to which number all were forgotten when it was written.
    pub(crate) mark: u64,
    /// Bytes of the whole row.
    pub(crate) length: usize,
    payload: &'a [u8],
}

impl<'a> Row<'a> {
    /// Reads the row that `bytes` begin with; more may follow.
    pub(crate) fn at_start(expected: [u8; 4], bytes: &'a [u8]) -> Result<Self, BadRow> {
        let (magic, rest) = bytes.split_first_chunk::<4>().ok_or(BadRow::Frame)?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or(BadRow::Frame)?;
        let (sequence, rest) = rest.split_first_chunk::<8>().ok_or(BadRow::Frame)?;
        let (mark, rest) = rest.split_first_chunk::<8>().ok_or(BadRow::Frame)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| BadRow::Frame)?;
        if *magic != expected || length > LONGEST {
            return Err(BadRow::Frame);
        }
        let (payload, rest) = rest.split_at_checked(length).ok_or(BadRow::Frame)?;
        let checksum = rest.first_chunk::<CHECKSUM>().ok_or(BadRow::Frame)?;
        if crc32fast::hash(&bytes[..HEADER + length]) != u32::from_le_bytes(*checksum) {
            return Err(BadRow::Checksum);
        }
        Ok(Self {
            sequence: u64::from_le_bytes(*sequence),
            mark: u64::from_le_bytes(*mark),
            length: HEADER + length + CHECKSUM,
            payload,
        })
    }

    pub(crate) fn event(&self) -> Result<UsageEvent, BadPayload> {
        codec::decode(self.payload)
    }
}
