//! Disks that fail while the program works.

use serde_json::json;

use crate::support::app::call_event;
use crate::support::look::LONG;
use crate::support::process::Process;
use crate::support::receiver::Receiver;

/// A shell that lets no file of the program grow beyond 8 MiB. A write beyond that fails as on a disk with an
/// error, not as on a full disk. Without the trap the signal would end the program first.
fn with_short_files() -> Vec<String> {
    ["sh", "-c", "trap '' XFSZ; ulimit -f 16384; exec \"$@\"", "sh"].map(str::to_owned).into()
}

#[tokio::test]
async fn a_write_that_fails_ends_the_program_with_its_reason_and_loses_nothing_that_was_acknowledged() {
    let receiver = Receiver::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::serve_under(&with_short_files(), dir.path(), &[]).await;
    let api = process.api().await;
    let hook = api.hook(json!({"uri": receiver.uri("/"), "ordering": "hook", "format": "json"})).await;
    assert_eq!(api.own("POST", &format!("/webhooks/{hook}/pause"), None).await.status, 200);
    let mut taken = 0;
    let refused = loop {
        let mut event = call_event("CHANNEL_CREATE", "c", taken);
        event["Custom-Channel-Vars"] = json!({"Filling": "x".repeat(200_000)});
        match api
            .try_call("PUT", &format!("/v2/accounts/{}/events", api.account), Some(json!({"data": [event]})))
            .await
        {
            Ok(answer) if answer.status == 201 => taken += 1,
            other => break other,
        }
        assert!(taken < 100, "the disk never failed");
    };
    assert!(taken > 20, "{taken} taken, then {refused:?}");
    process.gone(LONG).await;
    assert!(process.stderr().contains("the log refuses appends"), "{}", process.stderr());

    let process = Process::serve(dir.path(), &[]).await;
    let api = process.api().await;
    assert_eq!(api.own("POST", &format!("/webhooks/{hook}/resume"), None).await.status, 200);
    let requests = receiver.wait_for(usize::try_from(taken).unwrap(), LONG).await;
    let numbers: Vec<u64> = requests.iter().map(crate::support::look::number).collect();
    assert_eq!(numbers[..numbers.len().min(20)], (0..20).collect::<Vec<u64>>()[..], "in order");
    // An event that was written in part, and not acknowledged, may be in the log or not.
    assert!(
        (taken..=taken + 1).contains(&(numbers.len() as u64)),
        "{taken} acknowledged, {} came",
        numbers.len()
    );
}
