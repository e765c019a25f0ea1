//! The demo: one address to open, and nothing is acknowledged before it is on disk.

use crate::support::look::LONG;
use crate::support::process::Process;

#[tokio::test]
async fn the_demo_prints_one_address_and_every_event_before_it_is_stored() {
    let ended = Process::spawn(&["demo", "--seconds", "5"]).ended(LONG).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let addresses: Vec<_> = ended.stdout.iter().filter(|line| line.contains("http://")).collect();
    assert!(matches!(addresses.as_slice(), [one] if one.ends_with("/console/")), "{addresses:?}");
    let (mut on_disk, mut taken) = (0, 0);
    for line in &ended.stdout {
        on_disk += usize::from(line.contains("is on disk at offset"));
        // The receiver gets every printed event, and events of the program itself, which are not printed.
        taken += usize::from(line.contains("healthy  200 taken") && line.contains("call-"));
        assert!(taken <= on_disk, "{line}\n{:#?}", ended.stdout);
    }
    assert!(taken > 3, "{:#?}", ended.stdout);
    assert!(ended.stdout.iter().any(|line| line.contains("down is DISABLED")), "{:#?}", ended.stdout);
}
