//! The bytes of one event, version 1: fixed order, variable-length integers, no names.
//!
//! Written by hand because every call pays for it: JSON takes three times the bytes and several
//! times the time, and the serde form of some fields is for readers that see names.

mod reader;

use jiff::Timestamp;
use silica_billing::{BillingDay, BucketKind, BucketPart, CallStatus, PriceVersion, Units, UsageEvent};
use silica_types::{AccountId, ApiKeyId, BucketId, ModelName, Money, RequestId, TraceId, UsageSource};

use reader::Reader;

/// Why bytes are not an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPayload {
    /// They end too early.
    #[error("it ends too early")]
    Short,
    /// Something follows the event.
    #[error("something follows it")]
    Trailing,
    /// A field holds what cannot be.
    #[error("its {0} cannot be")]
    Field(&'static str),
}

/// Appends the bytes of `event`.
pub(crate) fn encode(event: &UsageEvent, out: &mut Vec<u8>) {
    out.extend_from_slice(event.id.as_uuid().as_bytes());
    out.extend_from_slice(event.account.as_uuid().as_bytes());
    out.extend_from_slice(event.key.as_uuid().as_bytes());
    put_text(event.model.as_str(), out);
    put_units(&event.units, out);
    out.push(source_code(event.source));
    out.push(status_code(event.status));
    match event.price {
        None => out.push(0),
        Some(PriceVersion(version)) => {
            out.push(1);
            put_signed(version, out);
        }
    }
    put_signed(event.amount.nano(), out);
    put_signed(event.shortfall.nano(), out);
    put_unsigned(event.parts.len() as u64, out);
    for part in &event.parts {
        out.extend_from_slice(part.bucket.as_uuid().as_bytes());
        out.push(kind_code(part.kind));
        put_signed(part.amount.nano(), out);
    }
    put_text(event.trace.as_str(), out);
    put_time(event.started_at, out);
    put_time(event.settled_at, out);
    put_signed(i64::from(event.day.number()), out);
}

/// Reads what [`encode`] wrote.
pub(crate) fn decode(bytes: &[u8]) -> Result<UsageEvent, BadPayload> {
    let mut reader = Reader::new(bytes);
    let event = UsageEvent {
        id: RequestId::from_uuid(reader.uuid()?),
        account: AccountId::from_uuid(reader.uuid()?),
        key: ApiKeyId::from_uuid(reader.uuid()?),
        model: ModelName::new(reader.text("model")?).map_err(|_| BadPayload::Field("model"))?,
        units: units(&mut reader)?,
        source: source(reader.byte()?)?,
        status: status(reader.byte()?)?,
        price: match reader.byte()? {
            0 => None,
            1 => Some(PriceVersion(reader.signed()?)),
            _ => return Err(BadPayload::Field("price")),
        },
        amount: Money::from_nano(reader.signed()?),
        shortfall: Money::from_nano(reader.signed()?),
        parts: parts(&mut reader)?,
        trace: TraceId::from_caller(reader.text("trace id")?).map_err(|_| BadPayload::Field("trace id"))?,
        started_at: time(&mut reader, "start")?,
        settled_at: time(&mut reader, "end")?,
        day: day(&mut reader)?,
    };
    reader.end()?;
    Ok(event)
}

/// The counts in the order of their bits in the mask; a count of zero is not written.
const fn counts(units: &Units) -> [u64; 10] {
    [
        units.prompt_tokens,
        units.cached_tokens,
        units.completion_tokens,
        units.reasoning_tokens,
        units.images,
        units.pixel_steps,
        units.videos,
        units.text_bytes,
        units.milliseconds,
        units.training_tokens,
    ]
}

const BATCH: u16 = 1 << 15;

fn put_units(units: &Units, out: &mut Vec<u8>) {
    let counts = counts(units);
    let mut mask = if units.batch { BATCH } else { 0 };
    for (bit, count) in counts.iter().enumerate() {
        if *count != 0 {
            mask |= 1 << bit;
        }
    }
    out.extend_from_slice(&mask.to_le_bytes());
    for count in counts.into_iter().filter(|count| *count != 0) {
        put_unsigned(count, out);
    }
}

fn units(reader: &mut Reader<'_>) -> Result<Units, BadPayload> {
    let mask = u16::from_le_bytes([reader.byte()?, reader.byte()?]);
    let mut counts = [0; 10];
    if mask & !BATCH >= 1 << counts.len() {
        return Err(BadPayload::Field("units"));
    }
    for (bit, count) in counts.iter_mut().enumerate() {
        if mask & (1 << bit) != 0 {
            *count = reader.unsigned()?;
        }
    }
    let [
        prompt_tokens,
        cached_tokens,
        completion_tokens,
        reasoning_tokens,
        images,
        pixel_steps,
        videos,
        text_bytes,
        milliseconds,
        training_tokens,
    ] = counts;
    Ok(Units {
        prompt_tokens,
        cached_tokens,
        completion_tokens,
        reasoning_tokens,
        images,
        pixel_steps,
        videos,
        text_bytes,
        milliseconds,
        training_tokens,
        batch: mask & BATCH != 0,
    })
}

fn parts(reader: &mut Reader<'_>) -> Result<Vec<BucketPart>, BadPayload> {
    let count = reader.unsigned()?;
    // A part takes 18 bytes at least: a wrong count cannot make us reserve more than the bytes are.
    if count > reader.left() as u64 / 18 {
        return Err(BadPayload::Field("number of parts"));
    }
    (0..count)
        .map(|_| {
            Ok(BucketPart {
                bucket: BucketId::from_uuid(reader.uuid()?),
                kind: kind(reader.byte()?)?,
                amount: Money::from_nano(reader.signed()?),
            })
        })
        .collect()
}

fn put_time(time: Timestamp, out: &mut Vec<u8>) {
    put_signed(time.as_second(), out);
    put_signed(i64::from(time.subsec_nanosecond()), out);
}

fn time(reader: &mut Reader<'_>, field: &'static str) -> Result<Timestamp, BadPayload> {
    let second = reader.signed()?;
    let nanosecond = i32::try_from(reader.signed()?).map_err(|_| BadPayload::Field(field))?;
    Timestamp::new(second, nanosecond).map_err(|_| BadPayload::Field(field))
}

fn day(reader: &mut Reader<'_>) -> Result<BillingDay, BadPayload> {
    i32::try_from(reader.signed()?)
        .ok()
        .and_then(|number| BillingDay::from_number(number).ok())
        .ok_or(BadPayload::Field("day"))
}

const fn source_code(source: UsageSource) -> u8 {
    match source {
        UsageSource::Engine => 0,
        UsageSource::Counted => 1,
        UsageSource::Estimated => 2,
    }
}

const fn source(code: u8) -> Result<UsageSource, BadPayload> {
    match code {
        0 => Ok(UsageSource::Engine),
        1 => Ok(UsageSource::Counted),
        2 => Ok(UsageSource::Estimated),
        _ => Err(BadPayload::Field("usage source")),
    }
}

const fn status_code(status: CallStatus) -> u8 {
    match status {
        CallStatus::Complete => 0,
        CallStatus::Cancelled => 1,
        CallStatus::Failed => 2,
    }
}

const fn status(code: u8) -> Result<CallStatus, BadPayload> {
    match code {
        0 => Ok(CallStatus::Complete),
        1 => Ok(CallStatus::Cancelled),
        2 => Ok(CallStatus::Failed),
        _ => Err(BadPayload::Field("status")),
    }
}

const fn kind_code(kind: BucketKind) -> u8 {
    match kind {
        BucketKind::Voucher => 0,
        BucketKind::Gift => 1,
        BucketKind::Charge => 2,
    }
}

const fn kind(code: u8) -> Result<BucketKind, BadPayload> {
    match code {
        0 => Ok(BucketKind::Voucher),
        1 => Ok(BucketKind::Gift),
        2 => Ok(BucketKind::Charge),
        _ => Err(BadPayload::Field("bucket")),
    }
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    put_unsigned(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

/// Seven bits a byte, lowest first; the top bit says that more follow.
fn put_unsigned(mut value: u64, out: &mut Vec<u8>) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Zigzag, so that small negative numbers are short too.
fn put_signed(value: i64, out: &mut Vec<u8>) {
    put_unsigned(((value << 1) ^ (value >> 63)).cast_unsigned(), out);
}

#[cfg(test)]
mod tests;
