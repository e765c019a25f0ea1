//! Waiting for a condition: polls quickly, and panics at a deadline with the name of the condition.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// The pause between two polls.
const POLL: Duration = Duration::from_millis(5);

/// Calls `look` until it returns `Some`; panics with `what` after `within`.
pub async fn eventually<T, F, Fut>(what: &str, within: Duration, mut look: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "within {within:?} it did not come to pass that {what}");
        sleep(POLL).await;
    }
}

/// Calls `look` until it returns true; panics with `what` after `within`.
pub async fn eventually_true(what: &str, within: Duration, mut look: impl FnMut() -> bool) {
    eventually(what, within, || std::future::ready(look().then_some(()))).await;
}
