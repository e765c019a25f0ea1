//! Follows the page "Moving from KAZOO" step by step: its configuration and its commands, in their order, with a
//! KAZOO, a RabbitMQ and the built program. The page's promises hold on the way to Switchhook and back.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use switchhook::model::{Clock, GREGORIAN_OFFSET_S};
use tempfile::TempDir;

use crate::support::app::{Api, call_event};
use crate::support::broker::{Broker, free_port};
use crate::support::kazoo::{KAZOO_KEY, Kazoo, READER, Version};
use crate::support::look::{LONG, number};
use crate::support::process::{Ended, Process};
use crate::support::publisher::Publisher;
use crate::support::receiver::Receiver;
use crate::support::wait::eventually;

const PAGE: &str = include_str!("../../../docs/moving-from-kazoo.md");
const SWITCHHOOK: &str = env!("CARGO_BIN_EXE_switchhook");

/// A step of the page: text for the configuration, or commands.
#[derive(Debug, Clone)]
enum Step {
    Configure(String),
    Run(Vec<String>),
}

/// The steps of a section, which may have a heading of any level.
fn steps(heading: &str) -> Vec<Step> {
    let (_, rest) = PAGE.split_once(&format!("# {heading}\n")).unwrap_or_else(|| panic!("{heading}"));
    let section = rest.lines().take_while(|line| !line.starts_with('#') || line.starts_with("# on "));
    let text = section.collect::<Vec<_>>().join("\n");
    let mut steps = Vec::new();
    for block in text.split("```").skip(1).step_by(2) {
        let (language, body) = block.split_once('\n').unwrap();
        match language {
            "toml" => steps.push(Step::Configure(body.to_owned())),
            "sh" => {
                let commands = body.replace("\\\n", " ");
                let commands =
                    commands.lines().map(|line| line.split(" #").next().unwrap().trim().to_owned());
                steps.push(Step::Run(commands.filter(|line| !line.is_empty()).collect()));
            }
            other => panic!("{heading}: a block of {other}"),
        }
    }
    steps
}

/// A reader of the page at their machine.
struct Operator {
    kazoo: Kazoo,
    broker: Broker,
    dir: TempDir,
    configuration: String,
    environment: Vec<(&'static str, String)>,
    process: Option<Process>,
    /// The last time that the reader noted, for the command that needs it.
    noted_s: u64,
    /// The arguments of the last `sup` command.
    sup: String,
    used: usize,
}

impl Operator {
    async fn new() -> Self {
        let (kazoo, broker, dir) =
            (Kazoo::start_closed(Version::V50).await, Broker::shared().await, tempfile::tempdir().unwrap());
        let etc = dir.path().join("etc");
        std::fs::create_dir(&etc).unwrap();
        std::fs::write(etc.join("couchdb"), READER).unwrap();
        std::fs::write(etc.join("kazoo-master.key"), KAZOO_KEY).unwrap();
        // Settings that only the test needs: loopback, free ports, fast retries.
        let environment = vec![
            ("SWITCHHOOK__HTTP__LISTEN", format!("127.0.0.1:{}", free_port())),
            ("SWITCHHOOK__WEBSOCKET__LISTEN", "127.0.0.1:0".to_owned()),
            ("SWITCHHOOK__DELIVERY__ALLOW_ADDRESSES", "127.0.0.0/8".to_owned()),
            ("SWITCHHOOK__LOG__RESERVE_BYTES", "0".to_owned()),
            ("SWITCHHOOK__LEDGER__RESERVE_BYTES", "0".to_owned()),
            ("SWITCHHOOK__KAZOO__SYNC__SETTLE_MS", "20".to_owned()),
        ];
        let (configuration, sup) = (String::new(), String::new());
        Self { kazoo, broker, dir, configuration, environment, process: None, noted_s: 0, sup, used: 0 }
    }

    /// Replaces the names on the page by those of this test.
    fn here(&self, text: &str) -> String {
        let dir = self.dir.path().display();
        text.replace("/etc/switchhook/", &format!("{dir}/etc/"))
            .replace("/var/lib/switchhook", &format!("{dir}/data"))
            .replace("http://couchdb.example.com:5984", &self.kazoo.uri())
            .replace("http://kazoo.example.com:8000", &self.kazoo.uri())
            .replace("amqp://kazoo:PASSWORD@rabbit.example.com:5672", &self.broker.uri())
            .replace("amqp://kazoo:PASSWORD@rabbit1.ams.example.com:5672", &self.broker.uri())
            // The other brokers are down.
            .replace("rabbit2.ams.example.com:5672", "127.0.0.1:9")
            .replace("rabbit1.fra.example.com:5672", "127.0.0.2:9")
    }

    async fn follow(&mut self, heading: &str) -> Vec<Ended> {
        let mut ended = Vec::new();
        for step in steps(heading) {
            self.used += 1;
            match step {
                Step::Configure(text) => {
                    if text.contains("[[amqp.zones]]") {
                        let kept = self.configuration.lines().filter(|line| !line.starts_with("uri = "));
                        self.configuration = kept.collect::<Vec<_>>().join("\n");
                    }
                    self.configuration.push('\n');
                    self.configuration.push_str(&self.here(&text));
                    std::fs::write(self.dir.path().join("etc/switchhook.toml"), &self.configuration).unwrap();
                }
                Step::Run(commands) => {
                    for command in commands {
                        ended.extend(self.run(&command).await);
                    }
                }
            }
        }
        ended
    }

    async fn run(&mut self, command: &str) -> Option<Ended> {
        let command = self.here(command);
        if let Some(said) = command.strip_prefix("sup ") {
            said.clone_into(&mut self.sup);
            self.noted_s = next_second().await;
            return None;
        }
        let command = command.strip_prefix("switchhook ").unwrap_or_else(|| panic!("{command}"));
        let mut words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        if let Some(at) = words.iter().position(|word| word == "--from") {
            words[at + 1] = self.noted_s.to_string();
        }
        let words: Vec<&str> = [SWITCHHOOK].into_iter().chain(words.iter().map(String::as_str)).collect();
        if command.starts_with("serve") {
            if let Some(process) = self.process.take() {
                process.terminate();
                assert_eq!(process.ended(LONG).await.code, Some(0));
            }
            let mut process = Process::spawn_words(&words, &self.environment);
            process.ready().await;
            self.process = Some(process);
            return None;
        }
        let ended = Process::spawn_words(&words, &self.environment).ended(LONG).await;
        assert_eq!(ended.code, Some(0), "{command}: {ended:?}");
        Some(ended)
    }

    async fn api(&self) -> Api {
        let key = std::fs::read_to_string(self.dir.path().join("data/master.key")).unwrap();
        self.process.as_ref().unwrap().api_with(key.trim()).await
    }
}

/// Waits until the next second begins; returns it.
async fn next_second() -> u64 {
    let now_us = Clock::system().now_us();
    tokio::time::sleep(Duration::from_micros(1_001_000 - now_us % 1_000_000)).await;
    Clock::system().now_us() / 1_000_000
}

fn is_private(dir: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(dir).unwrap().permissions().mode().trailing_zeros() >= 6
}

/// A hook in KAZOO, and its account.
struct Hooked {
    account: String,
    hook: String,
}

/// Publishes a call event as a KAZOO does. While KAZOO's application runs, KAZOO delivers the event too.
async fn call(operator: &Operator, publisher: &Publisher, hooked: &Hooked, n: u64) {
    let Hooked { account, hook } = hooked;
    let mut event = call_event("CHANNEL_CREATE", &format!("call-{n}@1"), n);
    event["Custom-Channel-Vars"] = json!({"Account-ID": account});
    let key = format!("call.CHANNEL_CREATE.call-{n}%401");
    publisher.publish("callevt", &key, event.to_string().as_bytes()).await;
    if operator.sup.ends_with("stop webhooks") {
        return;
    }
    let now = Clock::system().now_us() / 1_000_000 + GREGORIAN_OFFSET_S;
    operator.kazoo.with(|data| {
        data.attempts.push((account.to_owned(), json!({
            "hook_id": hook, "event_id": format!("{n:032x}"), "hook_event": "CHANNEL_CREATE", "method": "post", "result": "success", "timestamp": now,
            "req_body": json!({"hook_event": "channel_create", "call_id": format!("call-{n}@1")}).to_string(),
            "req_headers": {"content-type": "application/json"}, "resp_status_code": "200",
        })));
    });
}

async fn routed(api: &Api, events: u64) {
    eventually("the events are in the log and routed", LONG, async || {
        let status = api.call("GET", "/admin/status", None).await;
        let status = status.data();
        (status["logs"]["events"]["end_offset"].as_u64().unwrap() >= events
            && status["queues"]["routed_offset"] == status["logs"]["events"]["end_offset"])
            .then_some(())
    })
    .await;
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one page, in its order")]
async fn following_the_page_moves_from_kazoo_and_back_without_loss() {
    let receiver = Receiver::start().await;
    let mut operator = Operator::new().await;
    let (account, hook) = operator.kazoo.with(|data| {
        let account = data.account(&data.master.clone(), "Customer");
        let hook = data.hook(&account, json!({"name": "CRM", "uri": receiver.uri("/crm")}));
        (account, hook)
    });
    let hooked = Hooked { account: account.clone(), hook: hook.clone() };

    // Day 0.
    operator.follow("Configure").await;
    let seen = operator.follow("See what would be imported").await;
    assert!(seen[0].stdout.join("\n").contains("Nothing was changed"), "{seen:?}");
    assert!(!operator.dir.path().join("data").exists());
    let imported = operator.follow("Import").await;
    assert!(imported[0].stdout.join("\n").contains("documents written"), "{imported:?}");
    assert!(is_private(&operator.dir.path().join("data")), "the data directory is its user's alone");
    let api = operator.api().await;
    let shown = api.call("GET", &format!("/v2/accounts/{account}/webhooks/{hook}"), None).await;
    assert_eq!(shown.data()["name"], "CRM", "{shown:?}");

    operator.follow("Follow KAZOO while it is the master").await;
    operator.kazoo.with(|data| {
        data.edit("webhooks", &hook, |doc| drop(doc.insert("name".into(), "Renamed".into())));
    });
    let api = operator.api().await;
    eventually("the change has come", LONG, async || {
        let shown = api.call("GET", &format!("/v2/accounts/{account}/webhooks/{hook}"), None).await;
        (shown.data()["name"] == "Renamed").then_some(())
    })
    .await;
    let refused = api.call("DELETE", &format!("/v2/accounts/{account}/webhooks/{hook}"), None).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    let trail = api.call("GET", "/admin/audit?page_size=5", None).await;
    assert_eq!(trail.data()[0]["by"], json!({"kind": "sync"}), "{trail:?}");

    operator.follow("Zones").await;
    operator.follow("Tokens").await;
    let api = operator.api().await;
    eventually("the broker that is there is consumed from", LONG, async || {
        let status = api.call("GET", "/admin/status", None).await;
        let brokers = status.data()["brokers"].as_array().unwrap().clone();
        assert_eq!(
            brokers.iter().map(|b| b["zone"].clone()).collect::<Value>(),
            json!(["ams", "ams", "fra"])
        );
        (brokers[0]["state"] == "connected").then_some(())
    })
    .await;
    let publisher = Publisher::connect(&operator.broker.uri()).await;

    // Day 1. The next report compares deliveries of the last minute.
    call(&operator, &publisher, &hooked, 1).await;
    let attempts = eventually("the delivery was made in shadow", LONG, async || {
        let listed = api.call("GET", &format!("/v2/accounts/{account}/webhooks/attempts"), None).await;
        let rows = listed.data().as_array().unwrap().clone();
        (!rows.is_empty()).then_some(rows)
    })
    .await;
    assert_eq!(attempts[0]["result"], "shadow", "{attempts:?}");
    // Pretend that this was an hour ago.
    let an_hour_ago = attempts[0]["timestamp"].as_u64().unwrap() - 60;
    operator.kazoo.with(|data| {
        let mut row = data.attempts[0].1.clone();
        row["req_body"] = attempts[0]["req_body"].clone();
        row["timestamp"] = (an_hour_ago + 60).into();
        data.attempts[0].1 = row;
    });
    let steps = steps("Day 1: run beside KAZOO");
    let [Step::Run(commands)] = steps.as_slice() else { panic!("{steps:?}") };
    operator.used += 1;
    let mode = operator.run(&commands[0]).await.unwrap();
    assert!(mode.stdout.join("\n").contains("\"shadow\""), "{mode:?}");
    let to = an_hour_ago + 120 - GREGORIAN_OFFSET_S;
    let report = operator.run(&format!("{} --to {to}", commands[1])).await.unwrap();
    assert!(report.stdout.join("\n").contains("same"), "{report:?}");
    assert_eq!(receiver.count(), 0, "nothing has left");

    // Day 2: the second call comes while KAZOO still delivers, the third one afterwards.
    let [Step::Run(commands)] = &self::steps("Day 2: switch over")[..] else { panic!() };
    operator.used += 1;
    operator.run(&commands[0]).await;
    call(&operator, &publisher, &hooked, 2).await;
    routed_or_held(&api, 2).await;
    operator.run(&commands[1]).await;
    call(&operator, &publisher, &hooked, 3).await;
    routed_or_held(&api, 3).await;
    operator.run(&commands[2]).await;
    receiver.wait_for(1, LONG).await;
    let kazoos = operator.kazoo.with(|data| data.attempts.len());
    assert_eq!((receiver.requests().iter().map(number).collect::<Vec<_>>(), kazoos), (vec![3], 2));

    // Back to KAZOO: Switchhook still delivers the fourth call, KAZOO the fifth.
    let [Step::Run(commands)] = &self::steps("And back")[..] else { panic!() };
    operator.used += 1;
    operator.run(&commands[0]).await;
    call(&operator, &publisher, &hooked, 4).await;
    routed_or_held(&api, 4).await;
    operator.run(&commands[1]).await;
    call(&operator, &publisher, &hooked, 5).await;
    routed_or_held(&api, 5).await;
    operator.run(&commands[2]).await;
    receiver.wait_for(2, LONG).await;
    operator.run(&commands[3]).await;
    call(&operator, &publisher, &hooked, 6).await;
    routed(&api, 6).await;
    let kazoos = operator.kazoo.with(|data| data.attempts.len());
    assert_eq!((receiver.requests().iter().map(number).collect::<Vec<_>>(), kazoos), (vec![3, 4], 4));
    let blocks = PAGE.split("\n```").count() / 2;
    assert_eq!(operator.used, blocks, "every block of the page was followed");
    publisher.close().await;
}

/// Waits until this many events are in the log.
async fn routed_or_held(api: &Api, events: u64) {
    eventually("the events are in the log", LONG, async || {
        let listed = api.call("GET", "/admin/status", None).await;
        (listed.data()["logs"]["events"]["end_offset"].as_u64().unwrap() >= events).then_some(())
    })
    .await;
}
