//! A real browser, without a window.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

const CHROMIUM: &str = "/usr/bin/chromium";

/// A browser without a window. It ends when dropped.
pub struct Browser {
    child: Child,
    _profile: TempDir,
}

impl Browser {
    /// Opens a page.
    pub fn open(uri: &str) -> Self {
        assert!(Path::new(CHROMIUM).exists(), "{CHROMIUM} is missing: `./test` installs chromium");
        let profile = TempDir::with_prefix("switchhook-browser-").unwrap();
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", CHROMIUM])
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .arg("--disable-dev-shm-usage")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(uri)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("setpriv starts");
        Self { child, _profile: profile }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
