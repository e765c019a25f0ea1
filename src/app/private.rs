//! What the program keeps is for its own user: new files and directories are 0600 and 0700 whatever the umask was,
//! and a data directory that is wider is narrowed before anything in it is opened.

use std::fs::{Permissions, read_dir, set_permissions, symlink_metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::process::umask;

/// The permissions of the group and of others.
const WIDER: u32 = 0o077;

/// The permissions of a part of the data directory could not be read or narrowed.
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

/// Makes everything that this process creates from now on its user's own. Called before other threads start.
pub fn keep_private() {
    umask(Mode::RWXG | Mode::RWXO);
}

/// Takes the permissions of the group and of others from everything below `dir`. Answers how many files and
/// directories had such permissions. Symbolic links are not followed below `dir`; a missing `dir` is no error.
pub fn narrow(dir: &Path) -> Result<usize, PrivateError> {
    let at = |path: &Path, source| PrivateError { path: path.to_owned(), source };
    // The directory itself may be named by a link; what is below it may not lead outside.
    let dir = match dir.canonicalize() {
        Ok(dir) => dir,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(at(dir, error)),
    };
    let (mut found, mut left) = (0, vec![dir]);
    while let Some(path) = left.pop() {
        let meta = match symlink_metadata(&path) {
            Ok(meta) => meta,
            // Another process that holds the directory may have removed the file.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(at(&path, error)),
        };
        if meta.is_symlink() {
            continue;
        }
        let mode = meta.permissions().mode();
        if mode & WIDER != 0 {
            set_permissions(&path, Permissions::from_mode(mode & 0o7777 & !WIDER))
                .map_err(|error| at(&path, error))?;
            found += 1;
        }
        if meta.is_dir() {
            for entry in read_dir(&path).map_err(|error| at(&path, error))? {
                left.push(entry.map_err(|error| at(&path, error))?.path());
            }
        }
    }
    Ok(found)
}
