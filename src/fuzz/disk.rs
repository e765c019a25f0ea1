//! An in-memory disk that never fails, for short-lived logs.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{DirEntry, Disk, File};

/// The disk; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct MemoryDisk(Arc<Mutex<BTreeMap<PathBuf, MemoryFile>>>);

/// A file; clones share its bytes.
#[derive(Debug, Clone, Default)]
struct MemoryFile(Arc<Mutex<Vec<u8>>>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryDisk {
    /// Adds a file.
    pub(super) fn put(&self, path: &Path, bytes: Vec<u8>) {
        lock(&self.0).insert(path.to_owned(), MemoryFile(Arc::new(Mutex::new(bytes))));
    }

    /// A file's bytes.
    pub(super) fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        lock(&self.0).get(path).map(|file| lock(&file.0).clone())
    }
}

impl Disk for MemoryDisk {
    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let files = lock(&self.0);
        let inside = files.iter().filter(|(path, _)| path.parent() == Some(dir));
        let entry = |(path, file): (&PathBuf, &MemoryFile)| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            DirEntry { name, len: lock(&file.0).len() as u64 }
        };
        Ok(inside.map(entry).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.put(path, Vec::new());
        self.open(path)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let file = lock(&self.0).get(path).cloned();
        file.map(|file| Arc::new(file) as Arc<dyn File>).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.open(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = lock(&self.0);
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        lock(&self.0).remove(path).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

fn index(pos: u64) -> io::Result<usize> {
    usize::try_from(pos).map_err(io::Error::other)
}

impl File for MemoryFile {
    fn read_at(&self, buf: &mut [u8], pos: u64) -> io::Result<usize> {
        let (bytes, pos) = (lock(&self.0), index(pos)?);
        let from = bytes.get(pos..).unwrap_or_default();
        let len = from.len().min(buf.len());
        for (to, from) in buf.iter_mut().zip(from) {
            *to = *from;
        }
        Ok(len)
    }

    fn write_at(&self, buf: &[u8], pos: u64) -> io::Result<()> {
        let (mut bytes, pos) = (lock(&self.0), index(pos)?);
        let end = pos + buf.len();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        if let Some(part) = bytes.get_mut(pos..end) {
            part.copy_from_slice(buf);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        lock(&self.0).resize(index(len)?, 0);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.0).len() as u64)
    }
}
