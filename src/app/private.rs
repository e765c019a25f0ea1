//! Keeps files private: new files and directories get the modes 0600 and 0700 whatever the umask was, and a data
//! directory with wider permissions is narrowed before anything in it is opened.
//!
//! One exception: the data directory itself may have wider permissions when it belongs to another user. Orchestrators
//! provide volumes like that (Kubernetes' fsGroup: root, group 1000, mode 2775). Everything in it is still private.

use std::fs::{Permissions, read_dir, set_permissions, symlink_metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::process::{geteuid, umask};

/// A directory that file systems create at the root of a volume. It is not the program's and often not readable.
const VOLUMES_OWN: &str = "lost+found";
/// The permissions of the group and of others.
const WIDER: u32 = 0o077;
/// The permission of others to write. With it, every user can replace files in a directory.
const OTHERS_WRITE: u32 = 0o002;

/// The permissions of a part of the data directory cannot be read or narrowed.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} may be read or written by other users, and this user may not change that; \
     give the data directory to the user that runs the program (chown -R), or run chmod -R go= on it: {source}",
    path.display()
)]
pub struct PrivateError {
    path: PathBuf,
    source: io::Error,
}

/// Makes all files that this process creates from now on private. Must be called before other threads start.
pub fn keep_private() {
    umask(Mode::RWXG | Mode::RWXO);
}

/// The result of narrowing a data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Narrowed {
    /// Files and directories that had permissions for the group or for others.
    pub found: usize,
    /// The permissions of the data directory itself, when it belongs to another user and could not be narrowed.
    pub left: Option<u32>,
}

/// Removes the permissions of the group and of others from everything below `dir` and from `dir` itself. `dir` may keep
/// them if it belongs to another user and others cannot write to it. Does not follow symbolic links below `dir`. A
/// missing `dir` is not an error.
pub fn narrow(dir: &Path) -> Result<Narrowed, PrivateError> {
    let at = |path: &Path, source| PrivateError { path: path.to_owned(), source };
    // The directory itself may be named through a link. Links below it must not lead outside.
    let dir = match dir.canonicalize() {
        Ok(dir) => dir,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Narrowed::default()),
        Err(error) => return Err(at(dir, error)),
    };
    let own_user = geteuid().as_raw();
    let (mut narrowed, mut to_do) = (Narrowed::default(), vec![dir.clone()]);
    let volumes_own = dir.join(VOLUMES_OWN);
    while let Some(path) = to_do.pop() {
        let meta = match symlink_metadata(&path) {
            Ok(meta) => meta,
            // Another process that uses the directory may have removed the file.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(at(&path, error)),
        };
        if meta.is_symlink() || path == volumes_own {
            continue;
        }
        let mode = meta.permissions().mode();
        let is_foreign = meta.uid() != own_user;
        if mode & WIDER != 0 {
            match set_permissions(&path, Permissions::from_mode(mode & 0o7777 & !WIDER)) {
                Ok(()) => narrowed.found += 1,
                Err(_) if is_foreign && path == dir && mode & OTHERS_WRITE == 0 => {
                    narrowed.left = Some(mode & 0o7777);
                }
                Err(error) => return Err(at(&path, error)),
            }
        }
        if meta.is_dir() {
            for entry in read_dir(&path).map_err(|error| at(&path, error))? {
                to_do.push(entry.map_err(|error| at(&path, error))?.path());
            }
        }
    }
    Ok(narrowed)
}
