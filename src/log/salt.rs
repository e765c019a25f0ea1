//! The salt of a log's checksums: a random number, drawn when the log is created and never shown to anyone.
//!
//! Payloads come from outsiders. Without a salt, an outsider could send a payload that contains a complete record
//! with any tag; after damage in front of it, a scan would take it for a real record. Every segment header contains
//! the salt.
//! A separate file contains it too, because the only header may be damaged: salt u32 | CRC-32C u32, little-endian.

use std::io;
use std::path::Path;

use super::bytes::{take, take_u32};
use super::names;
use crate::disk::Disk;

/// Reads the salt file; `None` when it is missing or damaged.
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

/// Writes the salt file. Its name is durable once the caller has synced the directory.
pub(super) fn write(disk: &dyn Disk, dir: &Path, salt: u32) -> io::Result<()> {
    // With a checksum: a damaged salt would make every record look damaged.
    let mut bytes = salt.to_le_bytes().to_vec();
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    let file = disk.create(&names::salt(dir))?;
    file.write_at(&bytes, 0)?;
    file.sync_data()
}
