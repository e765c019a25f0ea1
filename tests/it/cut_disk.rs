//! An in-memory disk whose power can be cut at any operation.
//!
//! Live bytes and names are separate from durable ones. Only `sync_data` and `sync_dir` make live ones durable, so
//! everything that a program does not sync is lost after a cut.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use switchhook::disk::{DirEntry, Disk, File};

/// What happens to unsynced bytes and names when the power is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tear {
    /// Nothing unsynced survives.
    Nothing,
    /// The first half of each file's unsynced bytes survives, and all names.
    FirstHalf,
    /// The second half survives, with zeros before it, and all names: the disk wrote out of order.
    SecondHalf,
    /// Everything survives.
    All,
}

#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

#[derive(Debug, Clone, Default)]
struct Inode {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// The changes between durable and live contents.
    unsynced: Vec<Change>,
}

#[derive(Debug, Default)]
struct State {
    inodes: Vec<Inode>,
    live: HashMap<PathBuf, usize>,
    durable: HashMap<PathBuf, usize>,
    operations: u64,
    cut_at: Option<u64>,
    fail_sync: bool,
    free: Option<u64>,
    /// The number of times the power came back; older handles no longer work.
    life: u64,
}

/// The disk; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct CutDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct CutFile {
    disk: CutDisk,
    inode: usize,
    life: u64,
}

impl CutDisk {
    /// Makes the `n`-th changing operation from now, counted from 0, and all later ones fail.
    pub(crate) fn cut_at(&self, n: u64) {
        let mut state = self.state();
        state.cut_at = Some(state.operations + n);
    }

    /// Changing operations so far.
    pub(crate) fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Turns the power off and on again: only durable contents, and those that `tear` leaves, survive.
    pub(crate) fn power_on(&self, tear: Tear) {
        let state = &mut *self.state();
        if tear == Tear::Nothing {
            state.live.clone_from(&state.durable);
        } else {
            state.durable.clone_from(&state.live);
        }
        for inode in &mut state.inodes {
            inode.lose_power(tear);
        }
        state.cut_at = None;
        state.life += 1;
    }

    /// Makes the next `sync_data` fail; the bytes it should have synced never become durable.
    pub(crate) fn fail_next_sync(&self) {
        self.state().fail_sync = true;
    }

    /// Reports this number of free bytes from now on; `None` for no limit.
    pub(crate) fn set_free(&self, free: Option<u64>) {
        self.state().free = free;
    }

    /// A file's live bytes.
    pub(crate) fn bytes(&self, path: &Path) -> Vec<u8> {
        let state = self.state();
        state.inodes[state.live[path]].live.clone()
    }

    /// Adds a durable file.
    pub(crate) fn put(&self, path: &Path, bytes: Vec<u8>) {
        let mut state = self.state();
        state.inodes.push(Inode { live: bytes.clone(), durable: bytes, unsynced: Vec::new() });
        let inode = state.inodes.len() - 1;
        state.live.insert(path.to_owned(), inode);
        state.durable.insert(path.to_owned(), inode);
    }

    /// The names of all files, sorted.
    pub(crate) fn names(&self) -> Vec<PathBuf> {
        let mut names: Vec<PathBuf> = self.state().live.keys().cloned().collect();
        names.sort();
        names
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Counts a changing operation; an error when the power is off.
    fn change(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        state.operations += 1;
        if state.cut_at.is_some_and(|at| state.operations > at) {
            return Err(io::Error::other("the power is off"));
        }
        Ok(state)
    }

    fn handle(&self, inode: usize, life: u64) -> Arc<dyn File> {
        Arc::new(CutFile { disk: self.clone(), inode, life })
    }
}

impl Inode {
    fn apply(bytes: &mut Vec<u8>, change: &Change) {
        match change {
            Change::Write(pos, new) => {
                bytes.resize(bytes.len().max(pos + new.len()), 0);
                bytes[*pos..pos + new.len()].copy_from_slice(new);
            }
            Change::Truncate(len) => bytes.resize(*len, 0),
        }
    }

    fn change(&mut self, change: Change) {
        Self::apply(&mut self.live, &change);
        self.unsynced.push(change);
    }

    fn lose_power(&mut self, tear: Tear) {
        let unsynced = std::mem::take(&mut self.unsynced);
        for change in unsynced {
            let survives = match (tear, change) {
                (Tear::Nothing, _) => continue,
                (Tear::FirstHalf, Change::Write(pos, bytes)) => {
                    Change::Write(pos, bytes[..bytes.len() / 2].to_vec())
                }
                (Tear::SecondHalf, Change::Write(pos, bytes)) => {
                    Change::Write(pos + bytes.len() / 2, bytes[bytes.len() / 2..].to_vec())
                }
                (_, change) => change,
            };
            Self::apply(&mut self.durable, &survives);
        }
        self.live.clone_from(&self.durable);
    }
}

impl Disk for CutDisk {
    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let state = self.state();
        let inside = state.live.iter().filter(|(path, _)| path.parent() == Some(dir));
        Ok(inside
            .map(|(path, inode)| DirEntry {
                name: path.file_name().unwrap().to_str().unwrap().to_owned(),
                len: state.inodes[*inode].live.len() as u64,
            })
            .collect())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut state = self.change()?;
        let inode = state.live.get(path).copied().unwrap_or(state.inodes.len());
        if inode == state.inodes.len() {
            state.inodes.push(Inode::default());
            state.live.insert(path.to_owned(), inode);
        } else {
            state.inodes[inode].change(Change::Truncate(0));
        }
        Ok(self.handle(inode, state.life))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let state = self.state();
        let inode = *state.live.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.handle(inode, state.life))
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.open(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        let inode = state.live.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.live.insert(to.to_owned(), inode);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        state.live.remove(path).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        let state = &mut *self.change()?;
        state.durable.clone_from(&state.live);
        Ok(())
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(self.state().free.unwrap_or(u64::MAX))
    }
}

impl CutFile {
    fn change(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.change()?;
        if state.life == self.life { Ok(state) } else { Err(io::Error::other("from before the cut")) }
    }
}

impl File for CutFile {
    fn read_at(&self, buf: &mut [u8], pos: u64) -> io::Result<usize> {
        let state = self.disk.state();
        let bytes = &state.inodes[self.inode].live;
        let from = usize::try_from(pos).unwrap().min(bytes.len());
        let len = buf.len().min(bytes.len() - from);
        buf[..len].copy_from_slice(&bytes[from..from + len]);
        Ok(len)
    }

    fn write_at(&self, buf: &[u8], pos: u64) -> io::Result<()> {
        let pos = usize::try_from(pos).unwrap();
        let mut state = match self.change() {
            Ok(state) => state,
            Err(e) => {
                // The write that the cut interrupts may still reach the disk in part.
                let mut state = self.disk.state();
                if state.cut_at == Some(state.operations - 1) && state.life == self.life {
                    state.inodes[self.inode].change(Change::Write(pos, buf.to_vec()));
                }
                return Err(e);
            }
        };
        let grows = (pos + buf.len()).saturating_sub(state.inodes[self.inode].live.len());
        let room = state.free.map_or(grows, |free| usize::try_from(free).unwrap().min(grows));
        if let Some(free) = &mut state.free {
            *free -= room as u64;
        }
        let fits = buf.len() - (grows - room);
        state.inodes[self.inode].change(Change::Write(pos, buf[..fits].to_vec()));
        if fits < buf.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.change()?;
        let failed = std::mem::take(&mut state.fail_sync);
        let inode = &mut state.inodes[self.inode];
        inode.unsynced.clear();
        if failed {
            return Err(io::Error::other("the disk did not take it"));
        }
        inode.durable.clone_from(&inode.live);
        Ok(())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let mut state = self.change()?;
        let len = usize::try_from(len).unwrap();
        let freed = state.inodes[self.inode].live.len().saturating_sub(len) as u64;
        if let Some(free) = &mut state.free {
            *free += freed;
        }
        state.inodes[self.inode].change(Change::Truncate(len));
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state().inodes[self.inode].live.len() as u64)
    }
}
