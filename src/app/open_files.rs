//! How many files the process may have open. Each websocket session, API client and receiver needs one, and so does
//! each segment that is read or written.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit of open files to the hard limit. Returns the new limit; `None` when there is no limit.
///
/// Processes start with a low soft limit because of programs that call `select`, which this one does not.
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

/// How many files this process may have open; `None` when there is no limit.
pub(super) fn open_files() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// `asked`, but at most one `part`-th of the files that this process may have open, and at least 1.
pub(super) fn share(asked: usize, part: u64) -> usize {
    open_files().map_or(asked, |files| asked.min(usize::try_from(files / part).unwrap_or(usize::MAX).max(1)))
}
