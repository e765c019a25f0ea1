//! The first offset of a log, in a separate file: retention has removed everything below it. When the oldest segment starts at a
//! later offset, the log has lost segments. Format: first offset u64 | CRC-32C u32, little-endian.

use std::io;
use std::path::Path;

use super::bytes::{take, take_u32};
use super::names;
use crate::disk::Disk;

/// Reads the file; `None` when it is missing or damaged.
pub(super) fn read(disk: &dyn Disk, dir: &Path) -> io::Result<Option<u64>> {
    let file = match disk.open_read(&names::begin(dir)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut bytes = [0; 12];
    let read = file.read_at(&mut bytes, 0)?;
    let mut rest = bytes.get(..read).unwrap_or(&[]);
    let first = take::<8>(&mut rest);
    let crc = take_u32(&mut rest);
    Ok(first.filter(|first| crc == Some(crc32c::crc32c(first))).map(u64::from_le_bytes))
}

/// Writes the file. Must be called before the segments below `first` are removed. After a crash the file may then
/// name a later offset than the oldest segment's, which does no harm, but never an earlier one.
pub(super) fn write(disk: &dyn Disk, dir: &Path, first: u64) -> io::Result<()> {
    let mut bytes = first.to_le_bytes().to_vec();
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    let file = disk.create(&names::begin(dir))?;
    file.write_at(&bytes, 0)?;
    file.sync_data()
}
