//! One RabbitMQ for all tests of a run that neither stop nor reconfigure it, because each start of RabbitMQ takes six seconds of
//! CPU time. Each test uses a different virtual host, so no test sees the queues, exchanges or messages of another test.
//!
//! The first test that needs the broker starts it, and the broker ends with `cargo nextest`. Without nextest each test starts
//! a broker for itself.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::Broker;

/// Virtual hosts of one broker. The test after the last of them starts another broker.
const VIRTUAL_HOSTS: usize = 64;

impl Broker {
    /// The broker of the run, with a virtual host for this test. The test can neither stop nor kill the broker.
    pub async fn shared() -> Self {
        let Ok(run) = std::env::var("NEXTEST_RUN_ID") else { return Self::start().await };
        let runner = std::os::unix::process::parent_id();
        let dir = std::env::temp_dir().join(format!("switchhook-brokers-{run}"));
        std::fs::create_dir_all(&dir).unwrap();
        // The lock is held while the broker starts, so that other tests wait until they can use it.
        let mut options = OpenOptions::new();
        let mut count =
            options.create(true).truncate(false).read(true).write(true).open(dir.join("count")).unwrap();
        count.lock().unwrap();
        let number = next(&mut count);
        let home = dir.join((number / VIRTUAL_HOSTS).to_string());
        let port = match std::fs::read_to_string(home.join("port")) {
            Ok(port) => port.parse().unwrap(),
            Err(_) => start(home, runner, &dir).await,
        };
        let mut broker = Self::at(PathBuf::new(), port);
        broker.vhost = Some(format!("test{}", number % VIRTUAL_HOSTS));
        broker
    }
}

/// The number of this test in the run, from 0.
fn next(count: &mut File) -> usize {
    let mut text = String::new();
    count.read_to_string(&mut text).unwrap();
    let number = text.parse().unwrap_or(0);
    count.rewind().unwrap();
    write!(count, "{}", number + 1).unwrap();
    number
}

/// Starts a broker that runs until the runner of the tests has ended. Returns its port.
#[expect(clippy::zombie_processes, reason = "the watching process outlives this one")]
async fn start(home: PathBuf, runner: u32, dir: &Path) -> u16 {
    std::fs::create_dir_all(&home).unwrap();
    std::fs::write(home.join("definitions.json"), definitions()).unwrap();
    let config = format!("load_definitions = {}\n", home.join("definitions.json").display());
    let mut broker = Broker::at(home.clone(), super::free_port());
    (broker.config, broker.outlives_test) = (config, true);
    broker.start_again().await;
    let pids = [&broker.server, &broker.epmd].map(|child| child.as_ref().expect("it runs").id().to_string());
    let watch = r#"while kill -0 "$1" 2>/dev/null; do sleep 1; done; kill -KILL "$2" "$3"; rm -rf "$4""#;
    Command::new("setsid")
        .args(["sh", "-c", watch, "watch", &runner.to_string(), &pids[0], &pids[1]])
        .arg(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("setsid starts");
    // Written last, so that the next test starts a broker if this start fails.
    std::fs::write(home.join("port"), broker.port.to_string()).unwrap();
    (broker.server, broker.epmd) = (None, None);
    broker.port
}

/// RabbitMQ's definitions: the virtual hosts, and the user `guest`, who has all permissions in each.
fn definitions() -> String {
    let names: Vec<String> = std::iter::once("/".to_owned())
        .chain((0..VIRTUAL_HOSTS).map(|number| format!("test{number}")))
        .collect();
    let vhosts: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
    let all = ".*";
    let permission =
        |name: &String| json!({"user": "guest", "vhost": name, "configure": all, "write": all, "read": all});
    let permissions: Vec<Value> = names.iter().map(permission).collect();
    let user = json!({"name": "guest", "password": "guest", "tags": ["administrator"]});
    json!({"vhosts": vhosts, "users": [user], "permissions": permissions}).to_string()
}
