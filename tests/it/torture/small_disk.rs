//! A small disk that can be filled: a file system in memory, if this process has the right to mount one.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// The size of the disk: more than a run writes.
const SIZE_MB: u64 = 768;
/// The file that fills the disk.
const BALLAST: &str = "ballast";

/// A data directory, on a small disk if one can be mounted.
pub struct SmallDisk {
    dir: TempDir,
    mounted: bool,
}

impl SmallDisk {
    /// Mounts the disk. Without the right to mount, it is an ordinary directory that is never full.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={SIZE_MB}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "switchhook-torture"])
            .arg(dir.path())
            .output()
            .is_ok_and(|done| done.status.success());
        if !mounted {
            println!("no disk will be full: a small one can be mounted by root only");
        }
        Self { dir, mounted }
    }

    pub fn data_dir(&self) -> std::path::PathBuf {
        self.dir.path().join("data")
    }

    /// Occupies all space but `left` bytes; false if that is impossible.
    pub fn fill(&self, left: u64) -> bool {
        if !self.mounted {
            return false;
        }
        let bytes = free(self.dir.path()).saturating_sub(left);
        let file = self.dir.path().join(BALLAST);
        let filled = Command::new("fallocate").args(["--length", &bytes.to_string()]).arg(file).status();
        // The program may have used the space first; then the disk is full as well.
        filled.is_ok()
    }

    /// Frees the space.
    pub fn empty(&self) {
        // Without ballast there is nothing to free.
        drop(std::fs::remove_file(self.dir.path().join(BALLAST)));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if self.mounted {
            let unmounted = Command::new("umount").arg("--lazy").arg(self.dir.path()).status();
            assert!(
                unmounted.is_ok_and(|status| status.success()),
                "{} stays mounted",
                self.dir.path().display()
            );
        }
    }
}

/// The number of bytes that can still be written.
fn free(path: &Path) -> u64 {
    let asked = Command::new("df").args(["--block-size=1", "--output=avail"]).arg(path).output().unwrap();
    let text = String::from_utf8(asked.stdout).unwrap();
    text.lines().last().unwrap().trim().parse().unwrap()
}
