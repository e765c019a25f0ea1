//! A file in which a long reading keeps what it has read, so that an interrupted import need not read it again.
//!
//! It holds what takes a request for each account: failure limits, and over KAZOO's API the hooks. The lists are read
//! again, because they show what has changed meanwhile. It never contains users. An account counts as read once its own
//! line is in the file, which comes after the lines of its hooks; a torn last line is cut off.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Bounds, SourceError, Want, fits};
use crate::model::AccountId;
use crate::onboarding::reading::{KazooHook, OwnLimits, Reading};

/// The version of the format.
const VERSION: u32 = 1;
/// The longest line, in bytes.
const LONGEST_LINE: u64 = 16 << 20;
/// How long an account that was read need not be read again, in seconds.
pub const KEPT_S: u64 = 24 * 60 * 60;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ResumeLine {
    SwitchhookReading { version: u32, source: String, begun_s: u64 },
    Hook(KazooHook),
    Account { id: AccountId, limits: OwnLimits },
}

/// What an interrupted reading has read, and the file for what is read from now on.
#[derive(Debug)]
pub struct Resume {
    path: PathBuf,
    file: File,
    accounts: BTreeMap<AccountId, OwnLimits>,
    hooks: Vec<KazooHook>,
}

impl Resume {
    /// Opens the file, or creates it such that only this user can read it. A file that is older than a day begins
    /// again. A file of another source is refused, and so is one that another import uses.
    pub fn open(path: &Path, source: &str, bounds: Bounds, now_s: u64) -> Result<Self, SourceError> {
        let failed = |reason: String| SourceError::File { path: path.display().to_string(), reason };
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let file = file.map_err(|error| failed(error.to_string()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(failed("another import uses it".to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(error.to_string())),
        }
        let mut resume = Self { path: path.to_owned(), file, accounts: BTreeMap::new(), hooks: Vec::new() };
        let whole = resume.load(source, bounds, now_s)?;
        resume.file.set_len(whole).map_err(|error| failed(error.to_string()))?;
        resume.file.seek(SeekFrom::End(0)).map_err(|error| failed(error.to_string()))?;
        if whole == 0 {
            let source = source.to_owned();
            resume.write(&[ResumeLine::SwitchhookReading { version: VERSION, source, begun_s: now_s }])?;
        }
        Ok(resume)
    }

    /// Reads the file; returns the length of the part to keep.
    fn load(&mut self, source: &str, bounds: Bounds, now_s: u64) -> Result<u64, SourceError> {
        let failed = |reason: String| SourceError::File { path: self.path.display().to_string(), reason };
        let mut reader = BufReader::new(&self.file);
        let (mut whole, mut hooks, mut bytes, mut is_known) = (0, Vec::new(), 0, false);
        loop {
            let mut line = Vec::new();
            let read = reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line);
            let read = read.map_err(|error| failed(error.to_string()))?;
            let parsed = if line.ends_with(b"\n") { serde_json::from_slice(&line).ok() } else { None };
            match parsed {
                // Without a first line of ours it is a file of somebody else, which must not be overwritten.
                None if !is_known && read > 0 && !is_torn_head(&line) => {
                    return Err(failed("it is not a file that --resume has written".to_owned()));
                }
                None => break,
                Some(ResumeLine::SwitchhookReading { version, source: of, begun_s }) => {
                    if version != VERSION || of != source {
                        return Err(failed(format!(
                            "it belongs to an import from {}; name another file, or delete this one",
                            of.escape_debug()
                        )));
                    }
                    if begun_s > now_s || now_s - begun_s > KEPT_S {
                        return Ok(0);
                    }
                    is_known = true;
                }
                Some(_) if !is_known => {
                    return Err(failed("it is not a file that --resume has written".to_owned()));
                }
                Some(ResumeLine::Hook(hook)) => hooks.push(hook),
                Some(ResumeLine::Account { id, limits }) => drop(self.accounts.insert(id, limits)),
            }
            whole += read as u64;
            bytes += read;
            fits(bytes)?;
            bounds.check(self.accounts.len(), hooks.len())?;
        }
        // An account whose line is missing is read again with its hooks.
        hooks.retain(|hook: &KazooHook| self.accounts.contains_key(&hook.account));
        self.hooks = hooks;
        Ok(whole)
    }

    /// The number of accounts that need not be read again.
    #[must_use]
    pub fn accounts(&self) -> usize {
        self.accounts.len()
    }

    /// Adds what the file has to new lists; returns the accounts whose details are still to be read.
    pub(super) fn give(&mut self, reading: &mut Reading, mut wants: Vec<Want>) -> Vec<Want> {
        self.accounts.retain(|id, _| reading.accounts.contains_key(id));
        for (id, limits) in &self.accounts {
            if let Some(account) = reading.accounts.get_mut(id) {
                account.limits = *limits;
            }
        }
        for hook in self.hooks.drain(..).filter(|hook| self.accounts.contains_key(&hook.account)) {
            reading.add_hook(hook);
        }
        wants.retain(|want| !self.accounts.contains_key(&want.account));
        wants
    }

    /// Keeps the details of accounts that were read. `hooks`: whether their hooks are among them.
    pub(super) fn keep(&mut self, step: &[Want], reading: &Reading, hooks: bool) -> Result<(), SourceError> {
        let ids: BTreeMap<AccountId, OwnLimits> = step
            .iter()
            .filter_map(|want| Some((want.account, reading.accounts.get(&want.account)?.limits)))
            .collect();
        let own = reading.hooks.values().filter(|hook| hooks && ids.contains_key(&hook.account));
        let mut lines: Vec<_> = own.cloned().map(ResumeLine::Hook).collect();
        lines.extend(ids.iter().map(|(id, limits)| ResumeLine::Account { id: *id, limits: *limits }));
        self.write(&lines)?;
        self.accounts.extend(ids);
        Ok(())
    }

    fn write(&mut self, lines: &[ResumeLine]) -> Result<(), SourceError> {
        let failed = |reason: String| SourceError::File { path: self.path.display().to_string(), reason };
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, line).map_err(|error| failed(error.to_string()))?;
            text.push(b'\n');
        }
        self.file.write_all(&text).map_err(|error| failed(error.to_string()))
    }

    /// Removes the file: everything is imported.
    pub fn done(self) -> Result<(), SourceError> {
        let failed = |reason: String| SourceError::File { path: self.path.display().to_string(), reason };
        std::fs::remove_file(&self.path).map_err(|error| failed(error.to_string()))
    }
}

/// Whether a line is the beginning of our first line, which was being written when the program was killed.
fn is_torn_head(line: &[u8]) -> bool {
    let head = br#"{"switchhook_reading":"#;
    !line.ends_with(b"\n") && (head.starts_with(line) || line.starts_with(head))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::HookId;
    use crate::onboarding::reading::KazooAccount;

    const WANTS: [u128; 3] = [1, 2, 3];

    fn lists() -> Reading {
        let mut reading = Reading::default();
        for id in WANTS {
            let doc =
                serde_json::json!({"_id": AccountId(id).to_string(), "pvt_type": "account", "pvt_tree": []});
            let doc = doc.as_object().cloned().unwrap();
            match KazooAccount::found(&doc, crate::onboarding::Profile::Current) {
                crate::onboarding::AccountDocument::Account(account) => reading.add_account(*account),
                other => panic!("{other:?}"),
            }
        }
        reading
    }

    fn wants(ids: &[u128]) -> Vec<Want> {
        ids.iter().map(|id| Want { account: AccountId(*id), limits: true }).collect()
    }

    fn open(path: &Path, source: &str, now_s: u64) -> Result<Resume, SourceError> {
        Resume::open(path, source, Bounds::default(), now_s)
    }

    /// What a reading that begins with this file still wants, and how many hooks it has.
    fn left(path: &Path, now_s: u64) -> (Vec<Want>, usize) {
        let mut reading = lists();
        let left = open(path, "here", now_s).unwrap().give(&mut reading, wants(&WANTS));
        (left, reading.hooks.len())
    }

    #[test]
    fn what_was_read_is_not_wanted_again_for_a_day_and_a_torn_end_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("resume");
        let mut resume = open(&path, "here", 1000).unwrap();
        let mut reading = lists();
        for account in WANTS {
            let doc = serde_json::Map::new();
            let (id, account) = (HookId(account + 10), AccountId(account));
            reading.add_hook(KazooHook { id, account, rev: None, doc, disabled_message: None });
        }
        resume.keep(&wants(&[1]), &reading, true).unwrap();
        assert!(open(&path, "here", 1000).unwrap_err().to_string().contains("another import"));
        let whole = std::fs::metadata(&path).unwrap().len();
        resume.keep(&wants(&[2]), &reading, true).unwrap();
        drop(resume);
        assert!(open(&path, "there", 1000).unwrap_err().to_string().contains("an import from here"));
        assert_eq!(left(&path, 1000 + KEPT_S), (wants(&[3]), 2));

        // The hook of the second account is whole, and its own line is torn or missing.
        let bytes = std::fs::read(&path).unwrap();
        for length in usize::try_from(whole).unwrap()..bytes.len() {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert_eq!(left(&path, 1000), (wants(&[2, 3]), 1), "{length}");
        }
        for length in 0..bytes.iter().position(|byte| *byte == b'\n').unwrap() {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert_eq!(left(&path, 1000), (wants(&WANTS), 0), "{length}");
        }
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(left(&path, 1001 + KEPT_S), (wants(&WANTS), 0), "too old");

        let letter = "Dear Anna,\n";
        std::fs::write(&path, letter).unwrap();
        assert!(open(&path, "here", 1000).unwrap_err().to_string().contains("not a file that"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), letter);
    }
}
