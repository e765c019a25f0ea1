//! A log on a test disk with a running writer, and records whose bytes are determined by their offset.
#![expect(clippy::expect_used, reason = "a log that does not open should stop the test")]

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use switchhook::disk::Disk;
use switchhook::log::{
    AppendError, Appender, Batch, LogOptions, NewRecord, OpenError, OpenedLog, Reader, Record, Recovered,
    RunError, Writer, open,
};
use switchhook::model::Clock;
use tokio_util::sync::CancellationToken;

/// The directory of every test log.
pub(crate) const DIR: &str = "/log";

/// A log with its writer.
pub(crate) struct OpenLog {
    pub(crate) appender: Appender,
    pub(crate) reader: Reader,
    pub(crate) recovered: Recovered,
    writer: JoinHandle<Result<(), RunError>>,
}

impl OpenLog {
    /// Opens or fails.
    pub(crate) fn try_open(disk: Arc<dyn Disk>, dir: &Path, options: &LogOptions) -> Result<Self, OpenError> {
        let clock = Clock::new(|| 1_760_000_000_000_000);
        let OpenedLog { writer, appender, reader, recovered } = open(disk, dir, options.clone(), clock)?;
        Ok(Self { appender, reader, recovered, writer: start(writer) })
    }

    /// Opens.
    pub(crate) fn new(disk: &(impl Disk + Clone + 'static), options: &LogOptions) -> Self {
        Self::try_open(Arc::new(disk.clone()), Path::new(DIR), options).expect("the log opens")
    }

    /// Appends `count` records with the bytes of their offsets.
    pub(crate) fn append(&self, count: u64) -> Result<Range<u64>, AppendError> {
        let from = self.reader.end();
        block_on(self.appender.append((from..from + count).map(new_record).collect()))
    }

    /// Reads all records from the oldest on and checks that they are as appended.
    pub(crate) fn read_all(&self) -> Batch {
        let mut all = Batch { next: self.reader.first(), ..Batch::default() };
        while all.next < self.reader.end() {
            let batch = self.reader.read(all.next, 5, 1000).expect("the log is read");
            assert!(batch.next > all.next, "no standing still at {}", all.next);
            all.next = batch.next;
            all.records.extend(batch.records);
            all.damaged.extend(batch.damaged);
        }
        for record in &all.records {
            assert_eq!(*record, expected(record.offset), "offset {}", record.offset);
        }
        assert!(all.records.is_sorted_by_key(|record| record.offset));
        all
    }

    /// Ends the writer and returns its result.
    pub(crate) fn close(self) -> Result<(), RunError> {
        drop(self.appender);
        self.writer.join().expect("the writer does not panic")
    }
}

fn start(writer: Writer) -> JoinHandle<Result<(), RunError>> {
    std::thread::spawn(move || writer.run(CancellationToken::new()))
}

/// Runs a future on a thread without a runtime.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

/// The record that belongs at `offset`.
pub(crate) fn new_record(offset: u64) -> NewRecord {
    let text = format!("<{offset}>").repeat(usize::try_from(offset % 7).expect("small") + 1);
    NewRecord {
        tag: offset % 3,
        flags: u8::try_from(offset % 256).expect("a byte"),
        time_us: 1000 + offset * 10,
        payload: text.into(),
    }
}

/// The same record as a reader returns it.
pub(crate) fn expected(offset: u64) -> Record {
    let NewRecord { tag, flags, time_us, payload } = new_record(offset);
    Record { offset, time_us, tag, flags, payload }
}
