//! The program as a process: the time until it is ready, and its memory.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::Value;

/// User and system time of a process (an id, or `self`) so far, in seconds (clock ticks of 10 ms).
pub(crate) fn cpu_of(process: &str) -> f64 {
    let (user, system) = user_and_system(process);
    user + system
}

fn user_and_system(process: &str) -> (f64, f64) {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let seconds = |at: usize| fields[at].parse::<f64>().unwrap() / 100.0;
    (seconds(11), seconds(12))
}

/// A running program; killed when dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) http: SocketAddr,
    pub(crate) ready_ms: f64,
}

impl Process {
    /// Starts the program on a data directory and waits until it is ready.
    pub(crate) fn start(dir: &Path) -> Self {
        Self::start_in(dir, &[], None)
    }

    /// Likewise, with further settings and an environment variable.
    pub(crate) fn start_in(dir: &Path, more: &[String], variable: Option<(&str, PathBuf)>) -> Self {
        let began = Instant::now();
        let mut command = Command::new(env!("CARGO_BIN_EXE_switchhook"));
        command.arg("serve").stdout(Stdio::piped()).stderr(Stdio::null()).envs(variable);
        for setting in crate::program::settings(dir).iter().chain(more) {
            command.args(["--set", setting]);
        }
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready_ms = began.elapsed().as_secs_f64() * 1e3;
        let ready: Value = serde_json::from_str(&line).unwrap();
        Self { child, http: ready["http"].as_str().unwrap().parse().unwrap(), ready_ms }
    }

    /// CPU time so far, in seconds.
    pub(crate) fn cpu(&self) -> f64 {
        cpu_of(&self.child.id().to_string())
    }

    /// User and system time so far, in seconds.
    pub(crate) fn user_and_system(&self) -> (f64, f64) {
        user_and_system(&self.child.id().to_string())
    }

    /// The number of context switches of all threads, voluntary and involuntary.
    pub(crate) fn switches(&self) -> f64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        // A thread may end while its file is read.
        let texts =
            tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).ok());
        let of = |text: String| -> f64 {
            let counts = text.lines().filter(|line| line.contains("ctxt_switches"));
            counts.map(|line| line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap()).sum()
        };
        texts.map(of).sum()
    }

    /// Resident memory now and at its peak, in megabytes.
    pub(crate) fn memory_mb(&self) -> (f64, f64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let mb = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
        };
        (mb("VmRSS"), mb("VmHWM"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
