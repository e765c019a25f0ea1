//! Files of logs and the contents of their records.

use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::disk::MemoryDisk;
use crate::log::{self, LogOptions, NewRecord, OpenedLog, ReaderOf, Record};
use crate::model::Clock;
use crate::queues::{self, LedgerRecord};

const DIR: &str = "/log";
const SEGMENT: &str = "/log/00000000000000000000.log";

/// The first byte decides how the rest is used: as a segment, as a ledger record, or as cuts and bit flips in the
/// segment of a small log. In each case the log must open, return no record that was not written, report what it
/// lost, and accept appends.
pub fn log(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    match how % 4 {
        0 => raw(rest.to_vec()),
        1 => ledger(rest),
        _ => hurt(rest),
    }
}

fn raw(bytes: Vec<u8>) {
    let disk = MemoryDisk::default();
    disk.put(Path::new(SEGMENT), bytes);
    let Some((first, _)) = look(&disk) else { return };
    // The next opening finds exactly the records that this one kept.
    assert_eq!(look(&disk).unwrap().0, first);
    append(&disk, vec![NewRecord { tag: 1, flags: 2, time_us: 3, payload: "last".into() }]);
    let (mut again, _) = look(&disk).unwrap();
    assert_eq!((&*again.pop().unwrap().payload, again), (&b"last"[..], first));
}

fn ledger(bytes: &[u8]) {
    let Ok(record) = LedgerRecord::decode(bytes) else { return };
    let encoded = record.encode();
    assert_eq!(LedgerRecord::decode(&encoded).unwrap().encode(), encoded);
    let disk = MemoryDisk::default();
    append(&disk, vec![NewRecord { tag: 1, flags: 0, time_us: 1, payload: encoded.into() }]);
    queues::recover(&ReaderOf::new(open(&disk).unwrap().reader), |_| false).unwrap();
}

/// Two bytes for each of up to eight flips or cuts, then the records, 16 bytes each.
fn hurt(data: &[u8]) {
    let (flips, payloads) = data.split_at(data.len().min(16));
    let record = |(at, payload): (u64, &[u8])| NewRecord {
        tag: at % 3,
        flags: 0,
        time_us: at,
        payload: payload.to_vec().into(),
    };
    let disk = MemoryDisk::default();
    append(&disk, (0..).zip(payloads.chunks(16)).map(record).collect());
    let (written, _) = look(&disk).unwrap();
    let mut bytes = disk.bytes(Path::new(SEGMENT)).unwrap();
    // A log that is cut at the end of a record looks as if it had never been longer.
    let (mut is_cut, len) = (false, bytes.len());
    for flip in flips.chunks_exact(2) {
        let [at, with] = flip else { continue };
        let at = usize::from(*at) * 7 % len;
        if *with == 0 {
            bytes.truncate(at);
            is_cut = true;
        } else if let Some(byte) = bytes.get_mut(at) {
            *byte ^= with;
        }
    }
    disk.put(Path::new(SEGMENT), bytes);
    // A header of another version is refused.
    let Some((found, reported)) = look(&disk) else { return };
    assert!(found.iter().all(|record| written.contains(record)), "a record that nobody wrote");
    assert!(found.len() == written.len() || reported || is_cut, "lost in silence");
}

fn open(disk: &MemoryDisk) -> Option<OpenedLog> {
    let clock = Clock::new(|| 1_760_000_000_000_000);
    log::open(Arc::new(disk.clone()), Path::new(DIR), LogOptions::default(), clock).ok()
}

/// All records, and whether the log reports a loss.
fn look(disk: &MemoryDisk) -> Option<(Vec<Record>, bool)> {
    let OpenedLog { reader, recovered, .. } = open(disk)?;
    let (mut all, mut next) = (Vec::new(), reader.first());
    while next < reader.end() {
        let batch = reader.read(next, 100, 1 << 20).unwrap();
        assert!(batch.next > next);
        next = batch.next;
        all.extend(batch.records);
    }
    let found = !reader.health().damage.is_empty() || recovered.cut_bytes > 0 || recovered.begun_anew;
    Some((all, found))
}

/// Appends these records with a writer that ends afterwards.
fn append(disk: &MemoryDisk, records: Vec<NewRecord>) {
    let OpenedLog { writer, appender, .. } = open(disk).unwrap();
    let writing = std::thread::spawn(move || writer.run(CancellationToken::new()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(appender.append(records)).unwrap();
    drop(appender);
    writing.join().unwrap().unwrap();
}
