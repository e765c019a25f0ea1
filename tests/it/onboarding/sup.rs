//! Equivalents of KAZOO's `sup` commands: each command and each call that the documents name works, for
//! the accounts of all customers.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::app::{Api, MASTER_KEY, call_event};
use crate::support::process::{Ended, Process, run};
use crate::support::receiver::{Mood, Receiver};
use crate::support::wait::eventually;
use crate::support::websocket::{Client, End};

const LONG: Duration = Duration::from_secs(60);
const PAGE: &str = include_str!("../../../docs/moving-from-kazoo.md");

/// One row of the table of equivalents.
struct Row {
    commands: Vec<String>,
    /// Method and path, and the data if there is any.
    call: (String, Option<Value>),
}

/// The parts of a table cell in backticks.
fn code(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn table(fill: &impl Fn(&str) -> String) -> Vec<Row> {
    let (_, rest) = PAGE.split_once("| With KAZOO | Command here | API |").unwrap();
    let lines = rest.lines().skip(2).take_while(|line| line.starts_with('|'));
    let row = |line: &str| {
        let cells: Vec<_> = line.trim_matches('|').split('|').collect();
        let [_, commands, calls] = cells.as_slice() else { panic!("{line}") };
        let commands = code(commands).into_iter().filter(|text| text.starts_with("switchhook "));
        let mut calls = code(calls).into_iter();
        let call = fill(&calls.next().unwrap_or_else(|| panic!("no call: {line}")));
        let data = calls.next().filter(|text| text.starts_with('{'));
        let data = data.map(|text| serde_json::from_str(&fill(&text)).unwrap_or_else(|_| panic!("{text}")));
        Row { commands: commands.map(|text| fill(&text)).collect(), call: (call, data) }
    };
    lines.map(row).collect()
}

/// Replaces the placeholders by their values.
fn filled(text: &str, words: &[(&str, String)]) -> String {
    let (mut out, mut word) = (String::new(), String::new());
    for c in text.chars().chain(['\n']) {
        if c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '-') {
            word.push(c);
            continue;
        }
        let known = words.iter().find(|(name, _)| *name == word);
        out.push_str(known.map_or(word.as_str(), |(_, value)| value));
        out.push(c);
        word.clear();
    }
    out.trim_end().to_owned()
}

async fn switchhook(command: &str, address: SocketAddr, key: &str) -> Ended {
    let words = command.split_whitespace().skip(1).map(str::to_owned);
    let ours = ["--url".to_owned(), format!("http://{address}"), "--key-file".to_owned(), key.to_owned()];
    run(&words.chain(ours).collect::<Vec<_>>()).await
}

async fn failures(api: &Api, account: &str) -> u64 {
    let listed = api.call("GET", &format!("/v2/accounts/{account}/webhooks/status"), None).await;
    listed.data()[0]["recent_failures"].as_u64().unwrap()
}

/// A session that `sessions close --below` ends too.
async fn all_below_are_closed(address: SocketAddr, key: &str, account: &str, mut client: Client) {
    client.subscribe(account, "call.CHANNEL_CREATE.*", Value::Null).await;
    let closed = switchhook(&format!("switchhook sessions close --below {account}"), address, key).await;
    assert!(closed.code == Some(0) && closed.stdout[0].ends_with("sessions closed"), "{closed:?}");
    assert_eq!(client.ended().await, End::Code(1000));
}

/// The value of each placeholder in the page's table.
fn meanings(api: &Api, account: &str, to: &str, hook: &str, session: &str) -> [(&'static str, String); 8] {
    [
        ("A", account.to_owned()),
        ("TO", to.to_owned()),
        ("H", hook.to_owned()),
        ("M", api.account.clone()),
        ("N", "40".to_owned()),
        ("MS", "30000".to_owned()),
        ("IP", "127.0.0.1".to_owned()),
        ("IP:PORT", session.to_owned()),
    ]
}

async fn sessions(api: &Api, account: &str) -> Vec<String> {
    let path = format!("/admin/websockets?account_id={account}&paginate=false");
    let listed = api.call("GET", &path, None).await;
    let rows = listed.data().as_array().unwrap_or_else(|| panic!("{listed:?}"));
    rows.iter().map(|row| row["websocket_session_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one table, row by row")]
async fn each_command_and_call_that_the_page_names_does_what_sup_does() {
    let dir = tempfile::tempdir().unwrap();
    let settings = ["retry.initial_ms=3600000", "retry.max_ms=3600000"].map(str::to_owned);
    let process = Process::serve(dir.path(), &settings).await;
    let (api, address, websocket) = (process.api().await, process.address(), process.websocket());
    let key = dir.path().join("a-key");
    std::fs::write(&key, MASTER_KEY).unwrap();
    let key = key.display().to_string();
    let receiver = Receiver::start().await;
    receiver.mood(Mood::status(500));
    let tenant = api.tenant("A").await;
    let account = tenant.account.clone();
    let to = api.account_below(&api.account, "TO").await;
    let hook = tenant.hook(json!({"hook": "all", "uri": receiver.uri("/in")})).await;
    let fail = async |call: &str| {
        tenant.publish(&[call_event("CHANNEL_CREATE", call, 1)]).await;
        eventually("a failure is counted", LONG, async || (failures(&api, &account).await > 0).then_some(()))
            .await;
    };
    fail("first@1").await;

    let shown = switchhook("switchhook hooks list", address, &key).await.stdout.join("\n");
    let words = [receiver.uri("/in"), hook.clone(), "failing".to_owned()];
    assert!(words.iter().all(|word| shown.contains(word)), "{shown}");
    let reset = format!("switchhook hooks reset-failures --below {account}");
    let reset = switchhook(&reset, address, &key).await;
    assert_eq!(reset.stdout, ["failures of 1 hooks forgotten"], "{reset:?}");
    assert_eq!(failures(&api, &account).await, 0);
    fail("second@1").await;

    let token = tenant.token();
    let mut open = Vec::new();
    let words = |session: &str| meanings(&api, &account, &to, &hook, session);
    let rows = table(&|text| filled(text, &words(""))).len();
    assert!(rows > 12, "the table is there: {rows}");
    for at in 0..rows {
        // Open a session for each row about sessions, because some rows end it.
        let asks = table(&|text| filled(text, &words(""))).remove(at).call.0;
        let mut session = String::new();
        if asks.contains("websockets") {
            let before = sessions(&api, &account).await;
            let mut client = Client::connect(websocket, token).await;
            client.subscribe(&account, "call.CHANNEL_CREATE.*", Value::Null).await;
            let new = sessions(&api, &account).await.into_iter().find(|id| !before.contains(id));
            session = new.unwrap();
            open.push(client);
        }
        let words = words(&session);
        let Row { commands, call: (call, data) } = table(&|text| filled(text, &words)).remove(at);
        let is_ending = call.starts_with("DELETE");
        for command in &commands {
            let ended = switchhook(command, address, &key).await;
            assert_eq!(ended.code, Some(0), "{command}: {ended:?}");
            assert!(!ended.stdout.is_empty(), "{command}: {ended:?}");
        }
        if is_ending {
            assert_eq!(open.pop().unwrap().ended().await, End::Code(1000), "{commands:?}");
            all_below_are_closed(address, &key, &account, Client::connect(websocket, token).await).await;
            continue;
        }
        let (method, path) = call.split_once(' ').unwrap();
        let answer = api.call(method, path, data).await;
        assert_eq!(answer.status, 200, "{call}: {answer:?}");
        if path.starts_with("/admin/websockets") {
            assert!(!answer.data().as_array().unwrap().is_empty(), "{call}: {answer:?}");
        }
    }
    let moved = api.call("GET", &format!("/v2/accounts/{to}/children"), None).await;
    assert_eq!(moved.data()[0]["id"], json!(account), "the last row has moved the account");
    assert_eq!(failures(&api, &account).await, 0, "they were flushed");
    let unknown = switchhook("switchhook sessions close 192.0.2.1:9", address, &key).await;
    assert!(unknown.code == Some(1) && unknown.stderr.contains("there is no session"), "{unknown:?}");
}
