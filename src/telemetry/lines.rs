//! Writes log lines: they go through a bounded buffer to one writer thread, so that no other thread ever waits for
//! the reader of the lines.
//!
//! Each call site may write a limited number of lines per period (`ration`); a line says how many were withheld.
//! Debug lines are not limited.
//!
//! When the reader does not keep up, lines are dropped and counted, and a line says how many were lost.
//! tracing-appender does most of this too, but when the program ends while stderr is blocked, it waits for stderr for
//! ever.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::callsite::Identifier;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use super::ration::{PERIOD_US, Ration};
use crate::config::LogFormat;
use crate::model::{Clock, iso8601};

/// Most buffered lines, and their bytes.
const LINES: usize = 8192;
const BYTES: usize = 4 << 20;
/// Interval at which shutdown checks whether the buffer has room for the flush request.
const LOOK: Duration = Duration::from_millis(10);

enum Message {
    Line(Vec<u8>),
    /// Answers when everything before this has been written.
    Flush(SyncSender<()>),
}

#[derive(Debug, Default)]
struct Counts {
    /// Bytes of the buffered lines.
    waiting: AtomicUsize,
    /// Dropped lines that no line has reported yet.
    lost: AtomicU64,
    /// All dropped lines.
    all_lost: LostLines,
}

/// How many log lines were dropped since the start. Clones share the number.
#[derive(Debug, Clone, Default)]
pub struct LostLines(Arc<AtomicU64>);

impl LostLines {
    /// The number.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The lines that each call site has written recently.
#[derive(Debug)]
struct CallSites {
    clock: Clock,
    /// Bounded by the number of call sites.
    by_site: Mutex<HashMap<Identifier, CallSite>>,
}

#[derive(Debug)]
struct CallSite {
    /// Module and line.
    name: String,
    ration: Ration,
}

impl CallSites {
    fn may_write(&self, meta: &Metadata<'_>) -> bool {
        if *meta.level() > Level::INFO {
            return true;
        }
        let mut sites = self.by_site.lock().unwrap_or_else(PoisonError::into_inner);
        let site = sites.entry(meta.callsite()).or_insert_with(|| CallSite {
            name: format!("{}:{}", meta.target(), meta.line().unwrap_or_default()),
            ration: Ration::default(),
        });
        site.ration.take(self.clock.now_us())
    }
}

/// Accepts lines without ever waiting; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    to: SyncSender<Message>,
    counts: Arc<Counts>,
    sites: Arc<CallSites>,
}

/// The destination of a line, or none when the line is withheld.
#[derive(Debug)]
pub(super) struct LogLine {
    lines: Lines,
    is_withheld: bool,
}

impl Write for LogLine {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if !self.is_withheld {
            self.lines.take(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
        let sites = Arc::new(CallSites { clock, by_site: Mutex::default() });
        let writer =
            Writer { lines, counts: Arc::clone(&counts), sites: Arc::clone(&sites), out, format, told_us: 0 };
        std::thread::Builder::new().name("log-lines".to_owned()).spawn(move || writer.run())?;
        Ok(Self { to, counts, sites })
    }

    /// Waits until all lines so far are written: at most `within` until the buffer has room for the request, and at
    /// most `within` again until it is done.
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
        // On an error it took too long, or the thread has ended.
        let _written = written.recv_timeout(within);
    }

    /// The number of dropped lines.
    pub(super) fn lost(&self) -> LostLines {
        self.counts.all_lost.clone()
    }

    fn take(&self, line: &[u8]) {
        let waiting = self.counts.waiting.fetch_add(line.len(), Ordering::Relaxed);
        let has_room = waiting.saturating_add(line.len()) <= BYTES;
        if !has_room || self.to.try_send(Message::Line(line.to_vec())).is_err() {
            self.counts.waiting.fetch_sub(line.len(), Ordering::Relaxed);
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
            self.counts.all_lost.0.fetch_add(1, Ordering::Relaxed);
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
    type Writer = LogLine;

    fn make_writer(&self) -> LogLine {
        LogLine { lines: self.clone(), is_withheld: false }
    }

    fn make_writer_for(&self, meta: &Metadata<'_>) -> LogLine {
        LogLine { lines: self.clone(), is_withheld: !self.sites.may_write(meta) }
    }
}

/// The writer thread, the only one that waits for the reader.
struct Writer<W> {
    lines: Receiver<Message>,
    counts: Arc<Counts>,
    sites: Arc<CallSites>,
    out: W,
    format: LogFormat,
    /// Time of the last report of withheld lines.
    told_us: u64,
}

impl<W: Write> Writer<W> {
    fn run(mut self) {
        loop {
            match self.lines.recv_timeout(Duration::from_micros(PERIOD_US)) {
                Ok(Message::Line(line)) => {
                    // A closed terminal or a pipe without a reader must not end the thread.
                    drop(self.out.write_all(&line).and_then(|()| self.out.flush()));
                    self.counts.waiting.fetch_sub(line.len(), Ordering::Relaxed);
                    self.tell_lost();
                    self.tell_withheld(false);
                }
                Ok(Message::Flush(done)) => {
                    self.tell_lost();
                    self.tell_withheld(true);
                    let _asked = done.send(());
                }
                Err(RecvTimeoutError::Timeout) => self.tell_withheld(false),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn tell_lost(&mut self) {
        let lost = self.counts.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            self.tell("log lines were lost here: nobody read them in time", "lost", lost);
        }
    }

    /// Reports withheld lines, once a period or `at_once`.
    fn tell_withheld(&mut self, at_once: bool) {
        let now_us = self.sites.clock.now_us();
        if !at_once && now_us.abs_diff(self.told_us) < PERIOD_US {
            return;
        }
        self.told_us = now_us;
        let withheld: Vec<(String, u64)> = {
            let mut sites = self.sites.by_site.lock().unwrap_or_else(PoisonError::into_inner);
            let told = sites.values_mut().map(|site| (site.name.clone(), site.ration.withheld()));
            told.filter(|(_, withheld)| *withheld > 0).collect()
        };
        for (site, withheld) in withheld {
            self.tell(&format!("more log lines like those of {site} were left out"), "withheld", withheld);
        }
    }

    fn tell(&mut self, message: &str, name: &str, number: u64) {
        let time = iso8601(self.sites.clock.now_us());
        let line = match self.format {
            LogFormat::Text => format!("{time}  WARN {}: {message} {name}={number}", module_path!()),
            LogFormat::Json => serde_json::json!({
                "timestamp": time, "level": "WARN", "fields": {"message": message, name: number},
                "target": module_path!(),
            })
            .to_string(),
        };
        drop(writeln!(self.out, "{line}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;

    /// A writer that blocks while it is locked.
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
    fn unread_lines_are_dropped_counted_and_reported() {
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
        assert_eq!(lines.lost().count(), u64::try_from(given - written).unwrap());
        assert!((LINES..given).contains(&written), "{written}");
        assert_eq!(lines.counts.waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_flood_of_lines_from_one_call_site_is_limited_and_counted_and_hides_no_other() {
        let pipe = Pipe::default();
        let lines = Lines::start(pipe.clone(), LogFormat::Text, Clock::system()).unwrap();
        let logging =
            tracing_subscriber::fmt().with_writer(lines.clone()).with_max_level(Level::DEBUG).finish();
        tracing::subscriber::with_default(logging, || {
            for n in 0..3000 {
                tracing::warn!(n, "an outsider's doing");
            }
            tracing::info!("another site");
            for n in 0..1000 {
                tracing::debug!(n, "asked for");
            }
        });
        Lines::flush(&lines, Duration::from_secs(60));
        let text = String::from_utf8(pipe.0.lock().unwrap().clone()).unwrap();
        let written = |what: &str| text.lines().filter(|line| line.contains(what)).count();
        let told = text.lines().filter_map(|line| line.split("withheld=").nth(1)?.parse::<usize>().ok());
        assert!(written("outsider") <= 600, "{}", written("outsider"));
        assert_eq!(written("outsider") + told.sum::<usize>(), 3000);
        assert_eq!((written("another site"), written("asked for")), (1, 1000));
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
