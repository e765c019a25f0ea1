//! The salt that a log's checksums start from: drawn at random when the log is made, known to nobody outside.
//!
//! Payloads come from outsiders. One that knew where the checksums start could send the image of a whole record, of
//! whatever tag, and damage in front of it would make it one. Every segment's header has the salt. A file beside them
//! has it once more, since the only header may be what is damaged: salt u32 | CRC-32C u32, little-endian.

use std::io;
use std::path::Path;

use super::bytes::{take, take_u32};
use super::names;
use crate::disk::Disk;

/// What the file says; `None` when it is missing or damaged.
pub(super) fn read(disk: &dyn Disk, dir: &Path) -> io::Result<Option<u32>> {
    let file = match disk.open_read(&names::salt(dir)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut bytes = [0; 8];
    let read = file.read_at(&mut bytes, 0)?;
    let mut rest = bytes.get(..read).unwrap_or(&[]);
    let salt = take::<4>(&mut rest);
    let crc = take_u32(&mut rest);
    Ok(salt.filter(|salt| crc == Some(crc32c::crc32c(salt))).map(u32::from_le_bytes))
}

/// Makes the file; its name is durable once the directory is synced.
pub(super) fn write(disk: &dyn Disk, dir: &Path, salt: u32) -> io::Result<()> {
    let mut bytes = salt.to_le_bytes().to_vec();
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    let file = disk.create(&names::salt(dir))?;
    file.write_at(&bytes, 0)?;
    file.sync_data()
}
