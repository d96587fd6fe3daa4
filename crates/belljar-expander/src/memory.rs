//! A guest's memory as bytes. Every address and length comes from the guest and is checked.

use std::ops::Range;

/// An address or length that is not in the guest's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it gave {len} bytes at address {at}, which is not in its memory of {size} bytes")]
pub struct OutOfMemory {
    pub at: u32,
    pub len: u32,
    pub size: usize,
}

fn range(memory: &[u8], at: u32, len: u32) -> Result<Range<usize>, OutOfMemory> {
    let end = (at as usize).checked_add(len as usize).filter(|&end| end <= memory.len());
    let end = end.ok_or(OutOfMemory { at, len, size: memory.len() })?;
    Ok(at as usize..end)
}

pub(crate) fn bytes(memory: &[u8], at: u32, len: u32) -> Result<&[u8], OutOfMemory> {
    Ok(&memory[range(memory, at, len)?])
}

pub(crate) fn bytes_mut(memory: &mut [u8], at: u32, len: u32) -> Result<&mut [u8], OutOfMemory> {
    let range = range(memory, at, len)?;
    Ok(&mut memory[range])
}

pub(crate) fn write(memory: &mut [u8], at: u32, bytes: &[u8]) -> Result<(), OutOfMemory> {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    bytes_mut(memory, at, len)?.copy_from_slice(bytes);
    Ok(())
}

pub(crate) fn write_u32(memory: &mut [u8], at: u32, v: u32) -> Result<(), OutOfMemory> {
    write(memory, at, &v.to_le_bytes())
}

pub(crate) fn write_u64(memory: &mut [u8], at: u32, v: u64) -> Result<(), OutOfMemory> {
    write(memory, at, &v.to_le_bytes())
}

pub(crate) fn read_u32(memory: &[u8], at: u32) -> Result<u32, OutOfMemory> {
    let b = bytes(memory, at, 4)?;
    Ok(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

pub(crate) fn read_u64(memory: &[u8], at: u32) -> Result<u64, OutOfMemory> {
    let b = bytes(memory, at, 8)?;
    Ok(u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_is_reached() {
        let mut memory = vec![7u8; 64];
        for (at, len) in [(64, 1), (63, 2), (u32::MAX, 1), (u32::MAX, u32::MAX), (0, 65), (1, u32::MAX)] {
            assert!(bytes(&memory, at, len).is_err());
            assert!(bytes_mut(&mut memory, at, len).is_err());
        }
        assert_eq!(bytes(&memory, 64, 0), Ok(&[][..]));
        assert!(write_u64(&mut memory, 57, 0).is_err());
        assert!(read_u32(&memory, u32::MAX - 1).is_err());
        assert_eq!(memory, [7; 64]);
    }
}
