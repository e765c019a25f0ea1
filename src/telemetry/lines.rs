//! Log lines on their way out: through a bounded buffer to one thread that writes them, so that no other thread ever
//! waits for the reader of the log lines.
//!
//! When nobody reads, lines are dropped and counted, and a line says how many were lost. tracing-appender does most of
//! this, but complains on stderr when the program ends while stderr takes nothing, and waits for it for ever.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use crate::config::LogFormat;
use crate::model::{Clock, iso8601};

/// Lines that wait at most, and their bytes.
const LINES: usize = 8192;
const BYTES: usize = 4 << 20;
/// How often the end of the program looks whether there is room to ask for the last lines.
const LOOK: Duration = Duration::from_millis(10);

enum Message {
    Line(Vec<u8>),
    /// Everything before this has been written.
    Flush(SyncSender<()>),
}

#[derive(Debug, Default)]
struct Counts {
    /// Bytes of the lines that wait.
    waiting: AtomicUsize,
    /// Lines that were dropped and not told yet.
    lost: AtomicU64,
}

/// Takes lines and never waits; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    to: SyncSender<Message>,
    counts: Arc<Counts>,
}

impl Lines {
    /// Starts the thread that writes to `out`.
    pub(super) fn start(
        out: impl Write + Send + 'static,
        format: LogFormat,
        clock: Clock,
    ) -> io::Result<Self> {
        let (to, lines) = sync_channel(LINES);
        let counts = Arc::<Counts>::default();
        let writer = Writer { lines, counts: Arc::clone(&counts), out, format, clock };
        std::thread::Builder::new().name("log-lines".to_owned()).spawn(move || writer.run())?;
        Ok(Self { to, counts })
    }

    /// Waits until everything up to now is written: for `within` at most until there is room to ask for it, and for
    /// as long again until it is done.
    pub(super) fn flush(&self, within: Duration) {
        let (done, written) = sync_channel(1);
        let mut looks = within.as_millis() / LOOK.as_millis();
        while self.to.try_send(Message::Flush(done.clone())).is_err() {
            if looks == 0 {
                return;
            }
            looks -= 1;
            std::thread::sleep(LOOK);
        }
        // An error: it took too long, or the thread is gone.
        let _written = written.recv_timeout(within);
    }

    fn take(&self, line: &[u8]) {
        let waiting = self.counts.waiting.fetch_add(line.len(), Ordering::Relaxed);
        let has_room = waiting.saturating_add(line.len()) <= BYTES;
        if !has_room || self.to.try_send(Message::Line(line.to_vec())).is_err() {
            self.counts.waiting.fetch_sub(line.len(), Ordering::Relaxed);
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.take(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// The one that waits.
struct Writer<W> {
    lines: Receiver<Message>,
    counts: Arc<Counts>,
    out: W,
    format: LogFormat,
    clock: Clock,
}

impl<W: Write> Writer<W> {
    fn run(mut self) {
        while let Ok(message) = self.lines.recv() {
            let Message::Line(line) = message else {
                self.tell_lost();
                if let Message::Flush(done) = message {
                    let _asked = done.send(());
                }
                continue;
            };
            // A terminal that was closed, or a pipe without a reader, must not end anything.
            drop(self.out.write_all(&line).and_then(|()| self.out.flush()));
            self.counts.waiting.fetch_sub(line.len(), Ordering::Relaxed);
            self.tell_lost();
        }
    }

    fn tell_lost(&mut self) {
        let lost = self.counts.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let time = iso8601(self.clock.now_us());
            drop(writeln!(self.out, "{}", line_of_loss(self.format, &time, lost)));
        }
    }
}

fn line_of_loss(format: LogFormat, time: &str, lost: u64) -> String {
    let message = "log lines were lost here: nobody read them in time";
    match format {
        LogFormat::Text => format!("{time}  WARN {}: {message} lost={lost}", module_path!()),
        LogFormat::Json => serde_json::json!({
            "timestamp": time, "level": "WARN", "fields": {"message": message, "lost": lost},
            "target": module_path!(),
        })
        .to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;

    /// Takes nothing while it is locked.
    #[derive(Clone, Default)]
    struct Pipe(Arc<Mutex<Vec<u8>>>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_nobody_reads_is_dropped_counted_and_told() {
        let pipe = Pipe::default();
        let mut lines = Lines::start(pipe.clone(), LogFormat::Text, Clock::system()).unwrap();
        let stuck = pipe.0.lock().unwrap();
        let given = LINES + 1000;
        for n in 0..given {
            lines.write_all(format!("line {n}\n").as_bytes()).unwrap();
        }
        Lines::flush(&lines, Duration::from_millis(1));
        drop(stuck);
        Lines::flush(&lines, Duration::from_secs(60));
        let text = String::from_utf8(pipe.0.lock().unwrap().clone()).unwrap();
        let told = text.lines().filter_map(|line| line.split("lost=").nth(1)?.parse::<usize>().ok());
        let written = text.lines().filter(|line| line.starts_with("line ")).count();
        assert_eq!(written + told.sum::<usize>(), given);
        assert!((LINES..given).contains(&written), "{written}");
        assert_eq!(lines.counts.waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn lines_are_bounded_by_their_bytes_too() {
        let pipe = Pipe::default();
        let mut lines = Lines::start(pipe.clone(), LogFormat::Json, Clock::system()).unwrap();
        let stuck = pipe.0.lock().unwrap();
        let long = vec![b'x'; 1 << 20];
        for _ in 0..10 {
            lines.write_all(&long).unwrap();
        }
        assert!(lines.counts.waiting.load(Ordering::Relaxed) <= BYTES);
        drop(stuck);
        Lines::flush(&lines, Duration::from_secs(60));
        let text = String::from_utf8(pipe.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("\"lost\":6"), "{}", text.replace('x', ""));
    }
}
