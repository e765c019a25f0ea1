//! Waiting for a condition: polls quickly, gives up at a deadline, and says what was waited for.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Between two looks.
const POLL: Duration = Duration::from_millis(5);

/// Asks `look` until it answers `Some`; panics with `what` once `within` is over.
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

/// Asks `look` until it is true; panics with `what` once `within` is over.
pub async fn eventually_true(what: &str, within: Duration, mut look: impl FnMut() -> bool) {
    eventually(what, within, || std::future::ready(look().then_some(()))).await;
}
