//! The program as a process: how long it takes to be ready, and what it has in memory.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::Value;

/// CPU time, user and system, that a process (an id, or `self`) has had, in seconds (clock ticks of 10 ms).
pub(crate) fn cpu_of(process: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}

/// A running one; killed when dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) http: SocketAddr,
    pub(crate) ready_ms: f64,
}

impl Process {
    /// Starts it over a directory and waits until it is ready.
    pub(crate) fn start(dir: &Path) -> Self {
        let began = Instant::now();
        let mut command = Command::new(env!("CARGO_BIN_EXE_switchhook"));
        command.arg("serve").stdout(Stdio::piped()).stderr(Stdio::null());
        for setting in crate::program::settings(dir) {
            command.args(["--set", &setting]);
        }
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready_ms = began.elapsed().as_secs_f64() * 1e3;
        let ready: Value = serde_json::from_str(&line).unwrap();
        Self { child, http: ready["http"].as_str().unwrap().parse().unwrap(), ready_ms }
    }

    /// CPU time that it has had, in seconds.
    pub(crate) fn cpu(&self) -> f64 {
        cpu_of(&self.child.id().to_string())
    }

    /// Megabytes that it has in memory now, and that it had at the most.
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
