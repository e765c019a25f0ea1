//! A reading in a file, with one JSON object per line. `--save` writes it and `--file` reads it. It never contains
//! users.
//!
//! The last line has the number of the other lines, so that a truncated file is detected.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Bounds, SourceError};
use crate::model::AccountId;
use crate::onboarding::odd::Odd;
use crate::onboarding::reading::{KazooAccount, KazooHook, KazooLimits, Reading};

/// The version of the format.
const VERSION: u32 = 1;
/// The longest line, in bytes.
const LONGEST_LINE: u64 = 16 << 20;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FileLine {
    SwitchhookKazoo { version: u32, master: Option<AccountId>, system: KazooLimits },
    Account(KazooAccount),
    Deleted(AccountId),
    Hook(KazooHook),
    Odd(Odd),
    End { accounts: usize, hooks: usize },
}

/// Writes a reading to a new file that only this user can read.
pub fn save(path: &Path, reading: &Reading) -> Result<(), SourceError> {
    let failed = |reason: String| SourceError::File { path: path.display().to_string(), reason };
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let out = BufWriter::new(file.map_err(|error| failed(error.to_string()))?);
    write(out, reading).map_err(|reason| {
        // A part of a reading is of no use, and would be in the way of the next attempt.
        drop(std::fs::remove_file(path));
        failed(reason)
    })
}

fn write(mut out: BufWriter<File>, reading: &Reading) -> Result<(), String> {
    let Reading { master, system, accounts, hooks, deleted, odd, .. } = reading;
    let head = FileLine::SwitchhookKazoo { version: VERSION, master: *master, system: *system };
    let lines = std::iter::once(head)
        .chain(accounts.values().cloned().map(FileLine::Account))
        .chain(deleted.iter().copied().map(FileLine::Deleted))
        .chain(hooks.values().cloned().map(FileLine::Hook))
        .chain(odd.iter().cloned().map(FileLine::Odd))
        .chain([FileLine::End { accounts: accounts.len(), hooks: hooks.len() }]);
    for line in lines {
        let text = serde_json::to_string(&line).map_err(|error| error.to_string())?;
        writeln!(out, "{text}").map_err(|error| error.to_string())?;
    }
    let file = out.into_inner().map_err(|error| error.to_string())?;
    file.sync_all().map_err(|error| error.to_string())
}

/// Reads a file. A file cannot confirm deletions, so an import from it treats nothing as missing.
pub fn load(path: &Path, bounds: Bounds) -> Result<Reading, SourceError> {
    let failed = |reason: String| SourceError::File { path: path.display().to_string(), reason };
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    let (mut reader, mut reading, mut number) = (BufReader::new(file), Reading::default(), 0);
    let mut ended = false;
    loop {
        let mut line = Vec::new();
        let mut limited = std::io::Read::take(&mut reader, LONGEST_LINE);
        let read = limited.read_until(b'\n', &mut line).map_err(|error| failed(error.to_string()))?;
        if read == 0 {
            break;
        }
        number += 1;
        let parsed: FileLine = serde_json::from_slice(&line)
            // The parser's error text could quote the line.
            .map_err(|_| failed(format!("line {number} does not have the format that --save writes")))?;
        match parsed {
            FileLine::SwitchhookKazoo { version, .. } if version != VERSION => {
                return Err(failed(format!(
                    "it has the format version {version}; this program knows {VERSION}"
                )));
            }
            FileLine::SwitchhookKazoo { master, system, .. } => {
                reading.master = master;
                reading.system = system;
            }
            FileLine::Account(account) => reading.add_account(account),
            FileLine::Deleted(id) => drop(reading.deleted.insert(id)),
            FileLine::Hook(hook) => reading.add_hook(hook),
            FileLine::Odd(odd) => reading.odd.push(odd),
            FileLine::End { accounts, hooks } => {
                ended = accounts == reading.accounts.len() && hooks == reading.hooks.len();
            }
        }
        bounds.check(reading.accounts.len(), reading.hooks.len())?;
    }
    if ended {
        Ok(reading)
    } else {
        Err(failed("it ends early, or lines are missing; save the KAZOO again".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::HookId;

    #[test]
    fn a_saved_reading_is_read_back_and_a_truncated_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kazoo.jsonl");
        let doc = json!({"name": "n", "uri": "https://x.example/"}).as_object().cloned().unwrap();
        let hook = KazooHook {
            id: HookId(7),
            account: AccountId(1),
            rev: Some("1-a".into()),
            doc,
            disabled_message: None,
        };
        let mut reading = Reading { master: Some(AccountId(1)), is_complete: true, ..Reading::default() };
        reading.add_hook(hook);
        reading.deleted.insert(AccountId(3));
        save(&path, &reading).unwrap();
        let loaded = load(&path, Bounds::default()).unwrap();
        assert_eq!(loaded, Reading { is_complete: false, ..reading });
        assert!(save(&path, &loaded).is_err(), "an existing file is not overwritten");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.lines().take(2).collect::<Vec<_>>().join("\n")).unwrap();
        assert!(load(&path, Bounds::default()).unwrap_err().to_string().contains("ends early"));
    }
}
