//! The sources of hints: KAZOO's messages in the events log, and CouchDB's feeds of changes.
//!
//! Promise: a feed that fails, lies, or answers at once without changes is asked again at a bounded rate. A full
//! reading finds the changes that a feed may have missed.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::hints::{Hint, Hints, hint_of, hint_of_change};
use crate::log::ReaderOf;
use crate::model::{Event, EventOffset};
use crate::onboarding::source::Source;
use crate::tasks::Tasks;

/// How long a feed of changes is listened to at a time.
const LISTEN: Duration = Duration::from_secs(30);
/// The longest wait after a feed has failed.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Records of the events log that are read in one step, and their bytes.
const RECORDS: usize = 1024;
const BYTES: usize = 1 << 20;

/// Turns KAZOO's messages from an offset on into hints.
pub(super) async fn follow(
    events: ReaderOf<EventOffset>,
    mut next: EventOffset,
    hints: Arc<Hints>,
    tasks: Tasks,
) {
    let mut ends = events.subscribe();
    while ends.wait_for(|end| EventOffset(*end) > next).await.is_ok() {
        let reader = events.clone();
        let read = tasks.spawn_blocking(move || reader.read(next, RECORDS, BYTES)).await;
        let Ok(Ok(batch)) = read else {
            // An event that cannot be read may have been a hint.
            hints.add(Hint::All);
            next = events.end();
            continue;
        };
        for record in &batch.records {
            let hint = Event::decode(&record.payload).ok().and_then(|event| hint_of(&event));
            if let Some(hint) = hint {
                hints.add(hint);
            }
        }
        // At least one further, so that a read without progress cannot loop.
        next = batch.next.max(next + 1);
    }
}

/// One of CouchDB's feeds of changes.
pub(super) struct Feed<Tell> {
    /// 0: accounts, 1: hooks.
    pub(super) number: usize,
    /// The position to read from. `None`: the server must name one first.
    pub(super) place: Option<Value>,
    /// The shortest wait between two answers.
    pub(super) pause: Duration,
    /// Gets the reason when the feed cannot be read, and `None` when it can.
    pub(super) tell: Tell,
}

/// Turns the changes of a feed into hints.
pub(super) async fn listen(feed: Feed<impl Fn(Option<String>)>, source: Source, hints: Arc<Hints>) {
    let Feed { number, mut place, pause, tell } = feed;
    // Whether the feed has answered since its position was asked for.
    let (mut wait, mut has_told) = (pause, false);
    loop {
        let heard = match &place {
            None => source.places().await.map(|places| {
                place = places.and_then(|places| places.get(number).cloned());
                // Only a full reading finds the changes between the two positions.
                if std::mem::take(&mut has_told) {
                    hints.add(Hint::All);
                }
            }),
            Some(since) => source.changes(number, since, LISTEN).await.map(|changes| {
                for (id, rev) in &changes.documents {
                    let hint = hint_of_change(number == 0, id, rev.as_deref());
                    if let Some(hint) = hint {
                        hints.add(hint);
                    }
                }
                place = Some(changes.next);
                (wait, has_told) = (pause, true);
                tell(None);
            }),
        };
        if let Err(error) = heard {
            wait = (wait * 2).min(LONGEST_WAIT).max(pause);
            // The server does not know the position, so it must name a new one.
            if matches!(error.status(), Some(400 | 404)) {
                place = None;
            }
            tell(Some(error.to_string()));
        }
        tokio::time::sleep(wait).await;
    }
}
