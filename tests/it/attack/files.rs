//! However many receivers one tenant names, their connections leave files for everything else.

use std::net::Ipv4Addr;

use serde_json::json;

use crate::support::app::call_event;
use crate::support::dns::{NameServer, Says};
use crate::support::look::LONG;
use crate::support::process::Process;
use crate::support::receiver::Receiver;

/// Open files of the program.
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
        // Each name is a receiver of its own, with connections of its own.
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
