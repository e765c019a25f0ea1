//! The connections to one tenant's receivers, however many there are, leave open files for everything else.

use std::net::Ipv4Addr;
use std::process::Command;

use serde_json::json;

use crate::support::app::call_event;
use crate::support::dns::{NameServer, Says};
use crate::support::look::LONG;
use crate::support::process::Process;
use crate::support::receiver::{Mood, Receiver};
use crate::support::wait::eventually;

/// The number of open files of the program.
fn open_files(process: &Process) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", process.pid())).unwrap().count()
}

#[tokio::test]
async fn connections_kept_to_hundreds_of_receivers_leave_files_for_all_others() {
    const FILES: usize = 256;
    const RECEIVERS: usize = 400;
    let names = NameServer::start(|_| Says::Addresses(vec![Ipv4Addr::LOCALHOST], 60)).await;
    let (many, other) = (Receiver::start().await, Receiver::start().await);
    let dir = tempfile::tempdir().unwrap();
    let limits = format!("{FILES}:{FILES}");
    let process = Process::serve_with_files_and(dir.path(), &limits, &[names.setting()]).await;
    let api = process.api().await;
    assert_eq!(process.said("delivery.max_in_flight is lowered"), 1, "{}", process.stderr());
    for n in 0..RECEIVERS {
        // Each name counts as a separate receiver with its own connections.
        let uri = format!("http://h{n}.example:{}/", many.address().port());
        api.hook(json!({"uri": uri})).await;
    }
    api.publish(&[call_event("CHANNEL_CREATE", "a", 1)]).await;
    many.wait_for(RECEIVERS, LONG).await;
    api.hook(json!({"uri": other.uri("/"), "hook": "channel_destroy"})).await;
    for n in 0..5 {
        api.publish(&[call_event("CHANNEL_DESTROY", "b", n)]).await;
        other.wait_for(usize::try_from(n).unwrap() + 1, LONG).await;
        assert_eq!(api.own("GET", "/webhooks", None).await.status, 200);
    }
    assert!(open_files(&process) < FILES / 2, "{} files", open_files(&process));
    assert_eq!(many.count(), RECEIVERS, "no attempt failed");
}

#[tokio::test]
async fn thousands_of_callflow_webhooks_in_one_request_leave_files_for_the_api_and_other_deliveries() {
    const FILES: usize = 256;
    const TARGETS: usize = 6000;
    let names = NameServer::start(|_| Says::Addresses(vec![Ipv4Addr::LOCALHOST], 60)).await;
    let (many, other) = (Receiver::start().await, Receiver::start().await);
    let dir = tempfile::tempdir().unwrap();
    let process =
        Process::serve_with_files_and(dir.path(), &format!("{FILES}:{FILES}"), &[names.setting()]).await;
    let master = process.api().await;
    let (attacker, victim) = (master.tenant("attacker").await, master.tenant("victim").await);
    victim.hook(json!({"uri": other.uri("/")})).await;
    let port = many.address().port();
    let events: Vec<_> = (0..TARGETS)
        .map(|n| {
            json!({
                "App-Name": "callflow", "App-Version": "5", "Msg-ID": format!("m{n}"),
                "Event-Category": "notification", "Event-Name": "webhook", "Call-ID": format!("c{n}"),
                "Hook": {
                    "_id": format!("{n:x}"), "uri": format!("http://h{n}.example:{port}/"), "hook": "callflow",
                    "pvt_account_id": attacker.account, "retries": 2,
                },
                "Data": {"account_id": attacker.account, "call_id": format!("c{n}")},
            })
        })
        .collect();
    attacker.publish(&events).await;
    for n in 0..20 {
        victim.publish(&[call_event("CHANNEL_CREATE", "b", n)]).await;
        other.wait_for(usize::try_from(n).unwrap() + 1, LONG).await;
        assert_eq!(victim.own("GET", "/webhooks", None).await.status, 200);
        assert_eq!(master.call("GET", "/health/ready", None).await.status, 200);
    }
    many.wait_until(LONG, |requests| requests.len() > TARGETS / 4).await;
    assert!(open_files(&process) < FILES, "{} files", open_files(&process));
}

#[tokio::test]
async fn readiness_names_a_lack_of_files_as_long_as_it_prevents_attempts() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::answer(200, &[("connection", "close")], ""));
    let dir = tempfile::tempdir().unwrap();
    let process = Process::serve(dir.path(), &[]).await;
    let api = process.api().await;
    let hook = api.hook(json!({"uri": receiver.uri("/")})).await;
    api.publish(&[call_event("CHANNEL_CREATE", "a", 1)]).await;
    receiver.wait_for(1, LONG).await;
    let limit = |soft: &str| {
        let (pid, limit) = (process.pid().to_string(), format!("--nofile={soft}:"));
        assert!(Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap().success());
    };
    // Open files stay open, including this client's connection; no further file can be opened.
    limit("8");
    api.publish(&[call_event("CHANNEL_CREATE", "a", 2)]).await;
    let faults = eventually("readiness names the shortage", LONG, || async {
        let ready = api.call("GET", "/health/ready", None).await;
        let named = ready.body["faults"].as_array()?.iter().any(|fault| fault["what"] == "shortage");
        (ready.status == 503 && named).then_some(ready.body)
    })
    .await;
    assert!(faults.to_string().contains("no free file descriptor"), "{faults}");
    assert!(api.text("/metrics").await.contains("result=\"own_fault\""));
    limit("2000");
    receiver.wait_for(2, LONG).await;
    eventually("it is ready again", LONG, || async {
        (api.call("GET", "/health/ready", None).await.status == 200).then_some(())
    })
    .await;
    let document = api.own("GET", &format!("/webhooks/{hook}"), None).await;
    assert_ne!(document.data()["enabled"], false, "{}", document.data());
}
