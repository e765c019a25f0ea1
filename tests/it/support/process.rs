//! The real binary as a child process, for tests of kills, signals, exit codes and output.
//!
//! The process dies with the thread that started it (`setpriv --pdeathsig`), and when it is dropped.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use super::app::{Api, settings};
use super::config_file::ConfigFile;
use super::wait::{eventually, eventually_true};

/// A start takes 0.1 s on an idle machine.
const START_WITHIN: Duration = Duration::from_secs(60);

const SWITCHHOOK: &str = env!("CARGO_BIN_EXE_switchhook");

/// A running (or ended) binary.
pub struct Process {
    child: Child,
    stdout: Receiver<String>,
    stderr: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
    address: Option<SocketAddr>,
    websocket: Option<SocketAddr>,
}

/// How a process ended, and what it printed.
#[derive(Debug)]
pub struct Ended {
    /// `None` when a signal ended it.
    pub code: Option<i32>,
    /// Lines not read before.
    pub stdout: Vec<String>,
    pub stderr: String,
}

impl Process {
    /// Starts `serve` on a data directory, with the settings of tests and `more`; waits until it is ready.
    pub async fn serve(dir: &Path, more: &[String]) -> Self {
        let mut process = Self::spawn_serve(dir, more);
        process.ready().await;
        process
    }

    /// Likewise, with a limit (`SOFT:HARD`) of open files.
    pub async fn serve_with_files(dir: &Path, limits: &str) -> Self {
        Self::serve_with_files_and(dir, limits, &[]).await
    }

    /// Likewise, with further settings.
    pub async fn serve_with_files_and(dir: &Path, limits: &str, more: &[String]) -> Self {
        let limit = format!("--nofile={limits}");
        // Each shard needs files of its own, and by default there are as many shards as cores.
        let settings = [&["queues.shards=1".to_owned()], more].concat();
        let mut process = Self::spawn_by(&["prlimit", &limit, "--"], &serve_args(dir, &settings));
        process.ready().await;
        process
    }

    /// Likewise, with these environment variables.
    pub async fn serve_in(environment: &[(&str, String)], dir: &Path, more: &[String]) -> Self {
        let args = serve_args(dir, more);
        let words: Vec<&str> = [SWITCHHOOK].into_iter().chain(args.iter().map(String::as_str)).collect();
        let mut process = Self::spawn_words(&words, environment);
        process.ready().await;
        process
    }

    /// Starts `serve` with only a configuration file; waits until it is ready.
    pub async fn serve_by(file: &ConfigFile) -> Self {
        let mut process = Self::spawn_by_file(file);
        process.ready().await;
        process
    }

    /// Likewise, without waiting.
    pub fn spawn_by_file(file: &ConfigFile) -> Self {
        Self::spawn(&["serve", "--config", file.path().to_str().unwrap()])
    }

    /// Like `serve`, without waiting.
    pub fn spawn_serve(dir: &Path, more: &[String]) -> Self {
        Self::spawn(&serve_args(dir, more))
    }

    /// Starts `serve` through another program that replaces itself with it; waits until it is ready.
    pub async fn serve_under(by: &[String], dir: &Path, more: &[String]) -> Self {
        let mut process = Self::spawn_under(by, &serve_args(dir, more));
        process.ready().await;
        process
    }

    /// Starts the binary with these arguments, through another program that replaces itself with it.
    pub fn spawn_under(by: &[String], args: &[String]) -> Self {
        let by: Vec<&str> = by.iter().map(String::as_str).collect();
        Self::spawn_by(&by, args)
    }

    /// Starts the binary with these arguments.
    pub fn spawn(args: &[impl AsRef<str>]) -> Self {
        Self::spawn_by(&[], args)
    }

    /// Starts a command through another program that replaces itself with it.
    fn spawn_by(by: &[&str], args: &[impl AsRef<str>]) -> Self {
        let args = args.iter().map(AsRef::as_ref);
        let words: Vec<&str> = by.iter().copied().chain([SWITCHHOOK]).chain(args).collect();
        Self::spawn_words(&words, &[])
    }

    /// Starts another program that prints the same ready line.
    pub fn spawn_words(words: &[&str], environment: &[(&str, String)]) -> Self {
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .args(words)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("setpriv starts");
        let (line, stdout) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        let read_out = std::thread::spawn(move || {
            for read in out.lines().map_while(Result::ok) {
                if line.send(read).is_err() {
                    return;
                }
            }
        });
        let stderr = Arc::new(Mutex::new(String::new()));
        let (kept, mut err) = (Arc::clone(&stderr), child.stderr.take().unwrap());
        let read_err = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = err.read(&mut bytes) {
                kept.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..read]));
            }
        });
        Self { child, stdout, stderr, readers: vec![read_out, read_err], address: None, websocket: None }
    }

    /// Waits for the ready line and returns it.
    pub async fn ready(&mut self) -> Value {
        let line = eventually("the program is ready", START_WITHIN, || {
            std::future::ready(match self.stdout.try_recv() {
                // All other output of the program has another form.
                Ok(line) => Some(line).filter(|line| line.starts_with('{')),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Disconnected) => {
                    panic!("it ended before it was ready: {}", self.stderr())
                }
            })
        })
        .await;
        let ready: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(ready["ready"], true, "{ready}");
        assert_eq!(ready["pid"], self.child.id(), "{ready}");
        self.address = Some(ready["http"].as_str().unwrap().parse().unwrap());
        self.websocket = Some(ready["websocket"].as_str().unwrap().parse().unwrap());
        ready
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The address of the API.
    pub fn address(&self) -> SocketAddr {
        self.address.expect("ready() was waited for")
    }

    /// The address of the websocket port.
    pub fn websocket(&self) -> SocketAddr {
        self.websocket.expect("ready() was waited for")
    }

    /// A client with the master account's token.
    pub async fn api(&self) -> Api {
        Api::log_in(self.address()).await
    }

    /// A client with the token of an API key.
    pub async fn api_with(&self, key: &str) -> Api {
        Api::log_in_with(self.address(), key).await
    }

    /// The lines on stderr so far.
    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// `kill -9`, and waits for the end.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends a signal: `STOP`, `CONT`, ….
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// Waits until the process has a handler for SIGHUP; without one the signal would end it.
    pub async fn handles_hangups(&self) {
        let status = format!("/proc/{}/status", self.child.id());
        eventually_true("SIGHUP is handled", START_WITHIN, || {
            let status = std::fs::read_to_string(&status).unwrap();
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
            u64::from_str_radix(caught.trim(), 16).unwrap() & 1 == 1
        })
        .await;
    }

    /// The number of lines on stderr with this text.
    pub fn said(&self, text: &str) -> usize {
        self.stderr.lock().unwrap().lines().filter(|line| line.contains(text)).count()
    }

    /// Whether the process has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for the end without reading the output.
    pub async fn gone(&mut self, within: Duration) {
        eventually("the process ends", within, || std::future::ready(self.child.try_wait().unwrap())).await;
    }

    /// Waits for the end, and returns the output.
    pub async fn ended(mut self, within: Duration) -> Ended {
        let status =
            eventually("the process ends", within, || std::future::ready(self.child.try_wait().unwrap()))
                .await;
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        Ended { code: status.code(), stdout: self.stdout.try_iter().collect(), stderr: self.stderr() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The process may have ended by itself already.
        if let Ok(None) = self.child.try_wait() {
            self.kill();
        }
    }
}

fn serve_args(dir: &Path, more: &[String]) -> Vec<String> {
    let set = settings(dir, more).into_iter().flat_map(|setting| ["--set".to_owned(), setting]);
    std::iter::once("serve".to_owned()).chain(set).collect()
}

/// Runs the binary until it ends.
pub async fn run(args: &[impl AsRef<str>]) -> Ended {
    Process::spawn(args).ended(START_WITHIN).await
}
