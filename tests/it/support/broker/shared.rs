//! One RabbitMQ for all tests of a run that neither stop it nor change it: each has a virtual host of its own, so no test sees
//! another one's queues, exchanges or messages. A start of RabbitMQ costs six seconds of a core.
//!
//! The first test of a run starts it; it ends with the run's `cargo nextest`. Without nextest each test starts its own.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::Broker;

/// Virtual hosts of one broker. When they are used up, the next broker is started.
const PLACES: usize = 64;

impl Broker {
    /// A virtual host of the run's broker. It can be neither stopped nor killed.
    pub async fn shared() -> Self {
        let Ok(run) = std::env::var("NEXTEST_RUN_ID") else { return Self::start().await };
        let runner = std::os::unix::process::parent_id();
        let dir = std::env::temp_dir().join(format!("switchhook-brokers-{run}"));
        std::fs::create_dir_all(&dir).unwrap();
        // Held while the broker starts, so that the others wait for it.
        let mut options = OpenOptions::new();
        let mut count =
            options.create(true).truncate(false).read(true).write(true).open(dir.join("count")).unwrap();
        count.lock().unwrap();
        let place = next(&mut count);
        let home = dir.join((place / PLACES).to_string());
        let port = match std::fs::read_to_string(home.join("port")) {
            Ok(port) => port.parse().unwrap(),
            Err(_) => start(home, runner, &dir).await,
        };
        let mut broker = Self::at(PathBuf::new(), port);
        broker.vhost = Some(format!("test{}", place % PLACES));
        broker
    }
}

/// Counts one more test.
fn next(count: &mut File) -> usize {
    let mut text = String::new();
    count.read_to_string(&mut text).unwrap();
    let place = text.parse().unwrap_or(0);
    count.rewind().unwrap();
    write!(count, "{}", place + 1).unwrap();
    place
}

/// Starts a broker that lives as long as the runner of the tests; returns its port.
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
    // Written last: a broker that did not start is started by the next test.
    std::fs::write(home.join("port"), broker.port.to_string()).unwrap();
    (broker.server, broker.epmd) = (None, None);
    broker.port
}

/// The virtual hosts, in which the user of RabbitMQ's first start may do everything.
fn definitions() -> String {
    let names: Vec<String> =
        std::iter::once("/".to_owned()).chain((0..PLACES).map(|place| format!("test{place}"))).collect();
    let vhosts: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
    let all = ".*";
    let permission =
        |name: &String| json!({"user": "guest", "vhost": name, "configure": all, "write": all, "read": all});
    let permissions: Vec<Value> = names.iter().map(permission).collect();
    let user = json!({"name": "guest", "password": "guest", "tags": ["administrator"]});
    json!({"vhosts": vhosts, "users": [user], "permissions": permissions}).to_string()
}
