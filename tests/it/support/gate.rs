//! The machine's file system with a gate before every sync, and with configurable free space.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use switchhook::disk::{DirEntry, Disk, File, OsDisk};

/// A disk whose syncs can be delayed, and that can be full.
#[derive(Debug, Clone, Default)]
pub struct GateDisk(Arc<Gate>);

#[derive(Debug, Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
    full: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    held: usize,
}

impl GateDisk {
    /// From now on every sync of a file waits.
    pub fn close(&self) {
        self.0.state.lock().unwrap().closed = true;
    }

    /// Lets them all go on.
    pub fn open(&self) {
        self.0.state.lock().unwrap().closed = false;
        self.0.changed.notify_all();
    }

    /// How many syncs wait at the gate.
    pub fn held(&self) -> usize {
        self.0.state.lock().unwrap().held
    }

    /// Whether no byte is free.
    pub fn set_full(&self, full: bool) {
        self.0.full.store(full, Ordering::SeqCst);
    }

    fn gated(&self, inner: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(GateFile { inner, gate: Arc::clone(&self.0) })
    }
}

impl Disk for GateDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        OsDisk.create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        OsDisk.list(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(self.gated(OsDisk.create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(self.gated(OsDisk.open(path)?))
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        OsDisk.open_read(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        OsDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        OsDisk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        OsDisk.sync_dir(dir)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        if self.0.full.load(Ordering::SeqCst) { Ok(0) } else { OsDisk.free_bytes(path) }
    }
}

#[derive(Debug)]
struct GateFile {
    inner: Arc<dyn File>,
    gate: Arc<Gate>,
}

impl File for GateFile {
    fn read_at(&self, buf: &mut [u8], pos: u64) -> io::Result<usize> {
        self.inner.read_at(buf, pos)
    }

    fn write_at(&self, buf: &[u8], pos: u64) -> io::Result<()> {
        self.inner.write_at(buf, pos)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.gate.state.lock().unwrap();
        state.held += 1;
        let mut state = self.gate.changed.wait_while(state, |s| s.closed).unwrap();
        state.held -= 1;
        drop(state);
        self.inner.sync_data()
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.inner.truncate(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
}
