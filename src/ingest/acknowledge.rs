//! Which messages are to be acknowledged, and when: messages that follow each other closely are acknowledged together. Pure: time is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// How long messages on disk wait for others to be acknowledged with. At a steady pace an acknowledgement for each would wake
/// the broker's client as often as the messages do.
const WITHIN: Duration = Duration::from_millis(5);

/// The messages that are on disk and not acknowledged.
#[derive(Debug)]
pub(super) struct Acknowledgements {
    on_disk: Option<OnDisk>,
    /// This many are acknowledged at once, so that the broker always has messages to send.
    many: usize,
}

#[derive(Debug)]
struct OnDisk {
    /// The highest delivery tag.
    tag: u64,
    messages: usize,
    due: Instant,
}

impl Acknowledgements {
    /// For a consumer that gets at most `prefetch` messages before it acknowledges some.
    pub(super) fn new(prefetch: u16) -> Self {
        Self { on_disk: None, many: usize::from(prefetch / 8) }
    }

    /// Messages up to this delivery tag are on disk, all earlier ones too.
    pub(super) fn add(&mut self, tag: u64, messages: usize, now: Instant) {
        // The first message decides. If each message moved the time, a steady stream would never be acknowledged.
        let due = self.on_disk.as_ref().map_or(now + WITHIN, |before| before.due);
        let before = self.on_disk.as_ref().map_or(0, |before| before.messages);
        self.on_disk = Some(OnDisk { tag, messages: before + messages, due });
    }

    /// Whether there are enough messages to acknowledge them at once.
    pub(super) fn are_many(&self) -> bool {
        self.on_disk.as_ref().is_some_and(|on_disk| on_disk.messages >= self.many)
    }

    /// Resolves when they are to be acknowledged; never while there are none.
    pub(super) fn due(&self) -> impl Future<Output = ()> + use<> {
        let due = self.on_disk.as_ref().map(|on_disk| on_disk.due);
        async move {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        }
    }

    /// The tag to acknowledge, with all before it.
    pub(super) fn take(&mut self) -> Option<u64> {
        Some(self.on_disk.take()?.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_follow_closely_are_acknowledged_together_and_soon() {
        let (mut all, start) = (Acknowledgements::new(1000), Instant::now());
        all.add(1, 1, start);
        all.add(2, 1, start + Duration::from_millis(4));
        assert!(!all.are_many());
        assert_eq!(all.on_disk.as_ref().map(|on_disk| on_disk.due), Some(start + WITHIN));
        assert_eq!((all.take(), all.take()), (Some(2), None));
    }

    #[test]
    fn many_messages_do_not_wait() {
        let (mut all, mut one, now) = (Acknowledgements::new(80), Acknowledgements::new(1), Instant::now());
        all.add(9, 9, now);
        assert!(!all.are_many() && !one.are_many());
        all.add(10, 1, now);
        one.add(1, 1, now);
        assert!(all.are_many() && one.are_many());
    }
}
