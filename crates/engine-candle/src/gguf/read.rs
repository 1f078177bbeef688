//! Reads the parts of a GGUF header, never more than there are and never more than fit.

use std::io::{ErrorKind, Read};

use super::GgufError;
use super::value::{Array, Value, ValueType, shortened};

/// What the header may take in memory. The largest vocabularies in use (some 260,000 tokens and as
/// many merges) take 40 MiB.
const MEMORY_BYTES: u64 = 256 << 20;
/// The longest name of a setting or a tensor; the format's own limits are 65,535 and 64 bytes.
const NAME_BYTES: u64 = 1024;

/// Why a part could not be read.
pub(super) enum ReadError {
    File(std::io::Error),
    Content(GgufError),
}

impl From<GgufError> for ReadError {
    fn from(error: GgufError) -> Self {
        Self::Content(error)
    }
}

/// Reads little-endian numbers and texts from the front of a file.
pub(super) struct Reader<R> {
    input: R,
    position: u64,
    length: u64,
    memory_left: u64,
    /// What is being read, for the errors.
    inside: String,
}

impl<R: Read> Reader<R> {
    /// `length` is the whole file's, in bytes.
    pub(super) fn new(input: R, length: u64) -> Self {
        Self {
            input,
            position: 0,
            length,
            memory_left: MEMORY_BYTES,
            inside: "the header".to_owned(),
        }
    }

    /// Bytes read so far.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Names what comes next.
    pub(super) fn enter(&mut self, inside: String) {
        self.inside = inside;
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, ReadError> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, ReadError> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    /// The name of a setting or a tensor.
    pub(super) fn name(&mut self, what: &str) -> Result<String, ReadError> {
        self.enter(what.to_owned());
        let length = self.u64()?;
        if length > NAME_BYTES {
            return Err(self.too_large("the length of", length, NAME_BYTES));
        }
        self.text_of(length)
    }

    /// A value with its type before it.
    pub(super) fn value(&mut self) -> Result<Value, ReadError> {
        match self.value_type()? {
            ValueType::Array => self.array().map(Value::Array),
            ValueType::Text => {
                let length = self.u64()?;
                self.text_of(length).map(Value::Text)
            }
            ValueType::Bool => self.bool().map(Value::Bool),
            ValueType::F32 => self.f32().map(Value::Float),
            ValueType::F64 => self.f64().map(Value::Float),
            ValueType::Unsigned(width) => self.unsigned(width).map(|value| Value::Integer(value.into())),
            ValueType::Signed(width) => self.signed(width).map(|value| Value::Integer(value.into())),
        }
    }

    fn value_type(&mut self) -> Result<ValueType, ReadError> {
        let number = self.u32()?;
        ValueType::of(number).ok_or_else(|| self.malformed(format!("has the unknown type {number}")))
    }

    fn array(&mut self) -> Result<Array, ReadError> {
        let kind = self.value_type()?;
        let count = self.u64()?;
        Ok(match kind {
            ValueType::Array => return Err(self.malformed("has arrays in an array".to_owned())),
            ValueType::Text => {
                let text = |reader: &mut Self| {
                    let length = reader.u64()?;
                    reader.text_of(length)
                };
                Array::Texts(self.many(count, 8, text)?)
            }
            ValueType::Bool => Array::Bools(self.many(count, 1, Self::bool)?),
            ValueType::F32 => Array::Floats(self.many(count, 4, Self::f32)?),
            ValueType::F64 => Array::Floats(self.many(count, 8, Self::f64)?),
            ValueType::Signed(width) => {
                Array::Integers(self.many(count, width, |reader| reader.signed(width))?)
            }
            ValueType::Unsigned(width) => Array::Integers(self.many(count, width, |reader| {
                let value = reader.unsigned(width)?;
                i64::try_from(value).map_err(|_| reader.malformed(format!("has the entry {value}")))
            })?),
        })
    }

    /// `least` is the least number of bytes that an entry takes in the file.
    fn many<T>(
        &mut self,
        count: u64,
        least: u8,
        read: impl Fn(&mut Self) -> Result<T, ReadError>,
    ) -> Result<Vec<T>, ReadError> {
        let needed = count.checked_mul(least.into());
        if needed.is_none_or(|needed| needed > self.length - self.position) {
            return Err(self.truncated());
        }
        self.charge(count.saturating_mul(size_of::<T>() as u64))?;
        let mut values = Vec::with_capacity(usize::try_from(count).unwrap_or_default());
        for _ in 0..count {
            values.push(read(self)?);
        }
        Ok(values)
    }

    fn text_of(&mut self, length: u64) -> Result<String, ReadError> {
        if length > self.length - self.position {
            return Err(self.truncated());
        }
        self.charge(length)?;
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        self.fill(&mut bytes)?;
        String::from_utf8(bytes).map_err(|_| self.malformed("is not valid UTF-8".to_owned()))
    }

    fn bool(&mut self) -> Result<bool, ReadError> {
        match self.bytes::<1>()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(self.malformed(format!("has {other} for true or false"))),
        }
    }

    fn f32(&mut self) -> Result<f64, ReadError> {
        Ok(f32::from_le_bytes(self.bytes()?).into())
    }

    fn f64(&mut self) -> Result<f64, ReadError> {
        Ok(f64::from_le_bytes(self.bytes()?))
    }

    fn unsigned(&mut self, width: u8) -> Result<u64, ReadError> {
        Ok(match width {
            1 => u8::from_le_bytes(self.bytes()?).into(),
            2 => u16::from_le_bytes(self.bytes()?).into(),
            4 => self.u32()?.into(),
            _ => self.u64()?,
        })
    }

    fn signed(&mut self, width: u8) -> Result<i64, ReadError> {
        Ok(match width {
            1 => i8::from_le_bytes(self.bytes()?).into(),
            2 => i16::from_le_bytes(self.bytes()?).into(),
            4 => i32::from_le_bytes(self.bytes()?).into(),
            _ => i64::from_le_bytes(self.bytes()?),
        })
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), ReadError> {
        if bytes.len() as u64 > self.length - self.position {
            return Err(self.truncated());
        }
        self.input.read_exact(bytes).map_err(|error| {
            // Cut while we read it.
            if error.kind() == ErrorKind::UnexpectedEof {
                self.truncated()
            } else {
                ReadError::File(error)
            }
        })?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    fn charge(&mut self, bytes: u64) -> Result<(), ReadError> {
        let left = self.memory_left.checked_sub(bytes);
        self.memory_left = left.ok_or_else(|| {
            let taken = (MEMORY_BYTES - self.memory_left).saturating_add(bytes);
            self.too_large("the memory for the header up to", taken, MEMORY_BYTES)
        })?;
        Ok(())
    }

    fn truncated(&self) -> ReadError {
        let (length, inside) = (self.length, self.inside.clone());
        GgufError::Truncated { length, inside }.into()
    }

    fn too_large(&self, what: &str, value: u64, limit: u64) -> ReadError {
        let what = format!("{what} {}", self.inside);
        GgufError::TooLarge { what, value, limit }.into()
    }

    fn malformed(&self, problem: String) -> ReadError {
        let what = self.inside.clone();
        GgufError::Malformed { what, problem }.into()
    }
}

/// How a setting is called in messages.
pub(super) fn setting(key: &str) -> String {
    format!("the setting {}", shortened(key))
}
