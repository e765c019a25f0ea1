//! Durable appends to the log: 1 KB records in batches of 1, 32 and 256. Each batch starts when the one before is
//! synced.

use std::sync::Arc;
use std::time::Instant;

use switchhook::disk::OsDisk;
use switchhook::log::{LogOptions, NewRecord, open};
use switchhook::model::Clock;
use tokio_util::sync::CancellationToken;

pub(crate) fn run() {
    for (batch, rounds) in [(1, 4000), (32, 3000), (256, 1500)] {
        let dir = tempfile::tempdir().unwrap();
        let opened = open(Arc::new(OsDisk), dir.path(), LogOptions::default(), Clock::system()).unwrap();
        let stop = CancellationToken::new();
        let (writer, stopping) = (opened.writer, stop.clone());
        let writing = std::thread::spawn(move || writer.run(stopping));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let payload = bytes::Bytes::from(vec![7; 1024]);
        let record = NewRecord { tag: 1, flags: 0, time_us: 1, payload };
        let began = Instant::now();
        for _ in 0..rounds {
            runtime.block_on(opened.appender.append(vec![record.clone(); batch])).unwrap();
        }
        let seconds = began.elapsed().as_secs_f64();
        let each = seconds / f64::from(rounds) * 1000.0;
        let rate = f64::from(rounds) * batch as f64 / seconds;
        println!("append  batch {batch:>3}: {rate:>9.0} records/s, {each:.3} ms a commit");
        stop.cancel();
        writing.join().unwrap().unwrap();
    }
}
