//! A private RabbitMQ: unprivileged, in a temporary directory, on free ports of 127.0.0.1.
//!
//! It can be killed as by a power failure (`kill -9`) and started again with the same data and port. Both of its
//! processes die with the thread that started them (`setpriv --pdeathsig`), so a killed test leaves nothing behind.

mod shared;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lapin::{Connection, ConnectionProperties};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

pub use super::port::free_port;
use super::wait::eventually_true;

const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
/// A start takes 4 s on an idle machine with two cores.
const START_WITHIN: Duration = Duration::from_secs(90);

/// A running (or killed) broker.
pub struct Broker {
    /// The directory of its files.
    dir: PathBuf,
    /// The directory again if it belongs to this test alone; removed when dropped.
    own: Option<TempDir>,
    node: String,
    port: u16,
    dist_port: u16,
    epmd_port: u16,
    epmd: Option<Child>,
    server: Option<Child>,
    config: String,
    /// The virtual host in a shared broker.
    vhost: Option<String>,
    /// Whether the broker continues to run after this test.
    outlives_test: bool,
}

impl Broker {
    /// Starts a broker and waits until it accepts a connection.
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// Likewise, with further lines of configuration.
    pub async fn start_with(config: &str) -> Self {
        let own = TempDir::with_prefix("switchhook-broker-").unwrap();
        let mut broker = Self::at(own.path().to_owned(), free_port());
        broker.own = Some(own);
        config.clone_into(&mut broker.config);
        broker.start_again().await;
        broker
    }

    /// A broker with this directory that is not started yet.
    fn at(dir: PathBuf, port: u16) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let node = format!("switchhook{}x{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        Self {
            dir,
            own: None,
            node,
            port,
            dist_port: free_port(),
            epmd_port: free_port(),
            epmd: None,
            server: None,
            config: String::new(),
            vhost: None,
            outlives_test: false,
        }
    }

    /// The URI of the broker.
    pub fn uri(&self) -> String {
        let vhost = self.vhost.as_ref().map(|vhost| format!("/{vhost}")).unwrap_or_default();
        format!("amqp://guest:guest@127.0.0.1:{}{vhost}", self.port)
    }

    /// Kills the broker as a power failure would. Durable queues and confirmed persistent messages survive; exchanges
    /// that are not durable do not. Declarations of the last seconds may be lost too; see `has_written`.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }

    /// Stops the broker as an operator would, and waits until it has ended.
    pub fn stop(&mut self) {
        self.signal("TERM");
        if let Some(mut server) = self.server.take() {
            server.wait().unwrap();
        }
    }

    /// Sends a signal: `STOP`, `CONT`, ….
    pub fn signal(&self, name: &str) {
        let pid = self.server.as_ref().expect("the broker runs").id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// Waits until the declaration of a durable queue is in the broker's files. The broker answers before that, and
    /// loses the queue if it is killed in between. In the transaction log the commit follows the change
    /// and may be written seconds later; without the commit the declaration does not count.
    pub async fn has_written(&self, queue: &str) {
        let data = self.dir.join("data").join(format!("{}@localhost", self.node));
        // The kind and name of a resource as Erlang encodes them: the end of an atom, and a binary with its length.
        let length = u32::try_from(queue.len()).unwrap().to_be_bytes();
        let name = [b"queuem", &length[..], queue.as_bytes()].concat();
        let written = || {
            let mut files = std::fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path());
            files.any(|path| {
                let bytes = std::fs::read(&path).unwrap_or_default();
                let after = find(&bytes, &name).and_then(|at| bytes.get(at..));
                let is_log = path.extension().is_some_and(|ending| ending == "LOG");
                after.is_some_and(|after| !is_log || find(after, b"committed").is_some())
            })
        };
        eventually_true("the broker has written down its queue", START_WITHIN, written).await;
    }

    /// Starts the broker after `kill`, with the same data and ports; waits until it accepts a connection.
    pub async fn start_again(&mut self) {
        assert!(self.server.is_none() && self.vhost.is_none(), "the broker runs already");
        assert!(Path::new(SERVER).exists(), "{SERVER} is missing: `./test` installs rabbitmq-server");
        if self.epmd.is_none() {
            let port = self.epmd_port.to_string();
            let mut epmd = self.command(Path::new("epmd"));
            epmd.args(["-port", &port, "-address", "127.0.0.1"]).stdout(Stdio::null()).stderr(Stdio::null());
            self.epmd = Some(epmd.spawn().expect("epmd starts"));
        }
        self.server = Some(self.spawn());
        let (mut deadline, mut is_last) = (Instant::now() + START_WITHIN, false);
        while !self.accepts().await {
            if let Some(ended) = self.server.as_mut().unwrap().try_wait().unwrap() {
                // On a busy machine Erlang's port mapper sometimes answers too late.
                let is_late = self.output().contains("no_epmd_port");
                assert!(is_late, "the broker ended with {ended:?}: {}", self.output());
                self.server = Some(self.spawn());
            }
            if Instant::now() >= deadline {
                // After a kill on a busy machine a start sometimes hangs. A person would start the broker once more.
                assert!(!is_last, "the broker did not start: {}", self.output());
                self.kill();
                self.server = Some(self.spawn());
                (deadline, is_last) = (Instant::now() + START_WITHIN, true);
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn accepts(&self) -> bool {
        let uri = self.uri();
        let connecting = Connection::connect(&uri, ConnectionProperties::default());
        match tokio::time::timeout(Duration::from_secs(2), connecting).await {
            Ok(Ok(connection)) => connection.close(200, "there".into()).await.is_ok(),
            Ok(Err(_)) | Err(_) => false,
        }
    }

    fn spawn(&self) -> Child {
        let dir = self.dir.as_path();
        let config = dir.join("rabbitmq.conf");
        let text = format!("listeners.tcp.1 = 127.0.0.1:{}\n{}", self.port, self.config);
        std::fs::write(&config, text).unwrap();
        std::fs::write(dir.join("enabled_plugins"), "[].\n").unwrap();
        let output = std::fs::File::create(dir.join("output")).unwrap();
        self.command(Path::new(SERVER))
            .env("HOME", dir)
            .env("RABBITMQ_HOME", "/usr/lib/rabbitmq")
            .env("RABBITMQ_CONF_ENV_FILE", dir.join("no-such-file"))
            .env("RABBITMQ_CONFIG_FILE", &config)
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", dir.join("enabled_plugins"))
            .env("RABBITMQ_NODENAME", format!("{}@localhost", self.node))
            .env("RABBITMQ_DIST_PORT", self.dist_port.to_string())
            .env("ERL_EPMD_PORT", self.epmd_port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_MNESIA_BASE", dir.join("data"))
            .env("RABBITMQ_LOG_BASE", dir.join("log"))
            .env("RABBITMQ_PID_FILE", dir.join("pid"))
            .env("RABBITMQ_FEATURE_FLAGS_FILE", dir.join("feature_flags"))
            // The script replaces itself with the Erlang machine, so
            // that our child is the process that `kill` must hit.
            .env("RABBITMQ_ALLOW_INPUT", "1")
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-noinput +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}",
            )
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .expect("rabbitmq-server starts")
    }

    /// A command whose process is killed when the thread that starts it ends, unless the broker outlives the test. A test's own
    /// thread lives as long as the test; the process image may replace itself and still dies.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(if self.outlives_test { "setsid" } else { "setpriv" });
        if !self.outlives_test {
            command.args(["--pdeathsig", "KILL", "--"]);
        }
        command.arg(program);
        command
    }

    fn output(&self) -> String {
        std::fs::read_to_string(self.dir.join("output")).unwrap_or_default()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
        if let Some(mut epmd) = self.epmd.take() {
            epmd.kill().unwrap();
            epmd.wait().unwrap();
        }
    }
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
