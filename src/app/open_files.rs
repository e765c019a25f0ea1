//! How many files the process may have open. Each websocket session, API client and receiver is one, and so is each
//! segment that is read or written.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Lets this process have as many files open as the system allows it: the soft limit becomes the hard one. How many
/// that are; none when there is no limit.
///
/// The low soft limit that processes start with is for programs that call `select`, which this one does not.
pub fn raise_open_files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    if limit != raised
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    open_files()
}

/// How many files this process may have open; none when there is no limit.
pub(super) fn open_files() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// The number that is asked for, but no more than one in `part` of the files that this process may have open.
pub(super) fn share(asked: usize, part: u64) -> usize {
    open_files().map_or(asked, |files| asked.min(usize::try_from(files / part).unwrap_or(usize::MAX).max(1)))
}
