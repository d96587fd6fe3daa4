//! Reading and writing the few primitive shapes everything else is made of.
//!
//! | shape | bytes |
//! |---|---|
//! | `u8`, `u16`, `u32`, `u64` | little endian, fixed width |
//! | varint | LEB128 of a `u32`, at most 5 bytes |
//! | text | varint byte length, then UTF-8 |
//!
//! Example: the text `ab` is `02 61 62`; the varint 300 is `ac 02`.

use std::fmt;

/// Bytes that break the format: what was being read, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// What the reader expected at this place, for example `"a token tag"`.
    pub expected: &'static str,
    /// Offset in bytes from the start of the buffer.
    pub at: usize,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} at byte {}", self.expected, self.at)
    }
}

impl std::error::Error for Malformed {}

/// A cursor over bytes from another party.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    pos: usize,
}

impl<'a> Reader<'a> {
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, pos: 0 }
    }

    /// Starts at `pos`; a position past the end behaves as the end.
    #[must_use]
    pub fn at(bytes: &'a [u8], pos: usize) -> Self {
        Self { bytes, pos: pos.min(bytes.len()) }
    }

    /// Offset of the next byte from the start of the buffer.
    #[must_use]
    pub fn pos(&self) -> usize {
        self.pos
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pos >= self.bytes.len()
    }

    #[must_use]
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.pos
    }

    /// An error for this place.
    #[must_use]
    pub fn malformed(&self, expected: &'static str) -> Malformed {
        Malformed { expected, at: self.pos }
    }

    pub fn take(&mut self, n: usize, expected: &'static str) -> Result<&'a [u8], Malformed> {
        let end = self.pos.checked_add(n).filter(|&e| e <= self.bytes.len());
        let end = end.ok_or_else(|| self.malformed(expected))?;
        let taken = &self.bytes[self.pos..end];
        self.pos = end;
        Ok(taken)
    }

    pub fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1, "a byte")?[0])
    }

    pub fn u16(&mut self) -> Result<u16, Malformed> {
        let b = self.take(2, "a u16")?;
        Ok(u16::from_le_bytes([b[0], b[1]]))
    }

    pub fn u32(&mut self) -> Result<u32, Malformed> {
        let b = self.take(4, "a u32")?;
        Ok(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    }

    pub fn u64(&mut self) -> Result<u64, Malformed> {
        let lo = self.u32()?;
        let hi = self.u32()?;
        Ok(u64::from(lo) | (u64::from(hi) << 32))
    }

    pub fn varint(&mut self) -> Result<u32, Malformed> {
        let start = self.pos;
        let bad = Malformed { expected: "a varint", at: start };
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.u8().map_err(|_| bad.clone())?;
            let low = u32::from(byte & 0x7f);
            if shift == 28 && low > 0x0f {
                return Err(bad);
            }
            value |= low << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(bad)
    }

    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        let start = self.pos;
        let len = self.varint()? as usize;
        let bytes = self.take(len, "text as long as it says")?;
        std::str::from_utf8(bytes).map_err(|_| Malformed { expected: "UTF-8 text", at: start })
    }

    /// Bytes behind a varint length.
    pub fn blob(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.varint()? as usize;
        self.take(len, "bytes as long as they say")
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        let rest = &self.bytes[self.pos..];
        self.pos = self.bytes.len();
        rest
    }

    /// Fails when something is left over.
    pub fn end(&self) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(self.malformed("the end")) }
    }
}

/// A growing buffer with the same shapes. Lengths over `u32::MAX` can't be written; they are cut by the limits on
/// output size long before.
#[derive(Debug, Clone, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn with_capacity(n: usize) -> Self {
        Self { bytes: Vec::with_capacity(n) }
    }

    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    pub fn u8(&mut self, v: u8) {
        self.bytes.push(v);
    }

    pub fn u16(&mut self, v: u16) {
        self.raw(&v.to_le_bytes());
    }

    pub fn u32(&mut self, v: u32) {
        self.raw(&v.to_le_bytes());
    }

    pub fn u64(&mut self, v: u64) {
        self.raw(&v.to_le_bytes());
    }

    pub fn varint(&mut self, mut v: u32) {
        while v >= 0x80 {
            self.bytes.push((v as u8 & 0x7f) | 0x80);
            v >>= 7;
        }
        self.bytes.push(v as u8);
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub fn text(&mut self, text: &str) {
        self.blob(text.as_bytes());
    }

    pub fn blob(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u32);
        self.raw(bytes);
    }

    /// Leaves room for a `u32` that [`Writer::patch_u32`] fills in later; returns its offset.
    pub fn reserve_u32(&mut self) -> usize {
        let at = self.bytes.len();
        self.u32(0);
        at
    }

    /// `at` is what [`Writer::reserve_u32`] returned on this writer.
    pub fn patch_u32(&mut self, at: usize, v: u32) {
        self.bytes[at..at + 4].copy_from_slice(&v.to_le_bytes());
    }
}
