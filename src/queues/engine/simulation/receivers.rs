//! The receivers of a simulation. Each host behaves in one way for a while, and the result of an attempt follows from that
//! and from chance.

use std::time::Duration;

use bytes::Bytes;

use super::random::Random;
use crate::model::{AttemptResult, OwnFault, Response, TransportError, Unsendable};

const AT_ONCE: Duration = Duration::from_millis(1);
/// After this time an attempt ends without an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The present behaviour of a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    /// Answers 200 at once.
    Well,
    /// Answers 200 after some seconds.
    Slow,
    /// Answers 500.
    Broken,
    /// Answers 429 and asks for time.
    Busy,
    /// Answers 410.
    Gone,
    /// Takes the request and does not answer.
    Hanging,
    /// Resets the connection.
    Resetting,
    /// Refuses connections.
    Away,
    /// Behaves differently each time.
    Moody,
}

const MOODS: [Mood; 12] = [
    Mood::Well,
    Mood::Well,
    Mood::Well,
    Mood::Slow,
    Mood::Broken,
    Mood::Broken,
    Mood::Busy,
    Mood::Gone,
    Mood::Hanging,
    Mood::Resetting,
    Mood::Away,
    Mood::Moody,
];

/// The receivers, by the number of their host.
#[derive(Debug)]
pub(super) struct Receivers {
    moods: Vec<Mood>,
    /// Whether all receivers are well, at the end of a simulation.
    calm: bool,
}

/// The number of hosts.
pub(super) const HOSTS: u64 = 4;

/// The URI of a receiver.
pub(super) fn uri(host: u64) -> String {
    format!("http://h{host}.example/in")
}

impl Receivers {
    pub(super) fn new(random: &mut Random) -> Self {
        let moods = (0..HOSTS).map(|_| if random.percent(60) { Mood::Well } else { mood(random) }).collect();
        Self { moods, calm: false }
    }

    /// Changes the behaviour of one receiver.
    pub(super) fn change(&mut self, random: &mut Random) -> (usize, Mood) {
        let (host, mood) = (random.count(0, HOSTS - 1), mood(random));
        if let Some(place) = self.moods.get_mut(host) {
            *place = mood;
        }
        (host, mood)
    }

    /// All receivers are well from now on.
    pub(super) fn calm_down(&mut self) {
        self.calm = true;
    }

    /// The result of an attempt at this URI, and how long it takes.
    pub(super) fn attempt(&self, uri: &str, random: &mut Random) -> (AttemptResult, Duration) {
        if self.calm {
            return (answer(200, None), within(random, 1, 20));
        }
        match random.below(60) {
            0 => return (AttemptResult::Ours(OwnFault::NoFile), AT_ONCE),
            1 => return (AttemptResult::Unsendable(Unsendable::TooLong), AT_ONCE),
            2 => return (AttemptResult::NothingToSend, AT_ONCE),
            _ => {}
        }
        let host = uri.strip_prefix("http://h").and_then(|rest| rest.split('.').next()?.parse().ok());
        let mood = host.and_then(|host: usize| self.moods.get(host)).copied().unwrap_or(Mood::Moody);
        let mood = if mood == Mood::Moody { self::mood(random) } else { mood };
        let soon = within(random, 1, 80);
        match mood {
            Mood::Well | Mood::Moody => (answer(200, None), soon),
            Mood::Slow => (answer(200, None), within(random, 500, 9_000)),
            Mood::Broken => (answer(500, None), soon),
            Mood::Busy => (answer(429, Some(random.between(0, 90_000))), soon),
            Mood::Gone => (answer(410, None), soon),
            Mood::Hanging => (AttemptResult::failed(TransportError::Timeout), TIMEOUT),
            Mood::Resetting => (AttemptResult::failed(TransportError::Closed), soon),
            Mood::Away => (AttemptResult::failed(TransportError::Refused), AT_ONCE),
        }
    }
}

/// A time between two numbers of milliseconds.
fn within(random: &mut Random, low: u64, high: u64) -> Duration {
    Duration::from_millis(random.between(low, high))
}

fn mood(random: &mut Random) -> Mood {
    random.pick(&MOODS).unwrap_or(Mood::Well)
}

fn answer(status: u16, retry_after_ms: Option<u64>) -> AttemptResult {
    let body = if status == 200 { Bytes::new() } else { Bytes::from_static(b"no") };
    AttemptResult::Answered(Response { status, retry_after_ms, headers: Vec::new(), body })
}
