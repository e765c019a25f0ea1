//! The receivers of a simulation: each host is well, slow, broken or away for a while, and what an attempt meets follows
//! from that and from chance.

use bytes::Bytes;

use super::random::Random;
use crate::model::{AttemptResult, OwnFault, Response, TransportError, Unsendable};

const MS: u64 = 1_000;
/// After this time an attempt ends without an answer.
const TIMEOUT_US: u64 = 10_000 * MS;

/// How a receiver behaves at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    /// Answers 200 at once.
    Well,
    /// Answers 200 after some seconds.
    Slow,
    /// Answers 500.
    Broken,
    /// Answers 429 or 503 and asks for time.
    Busy,
    /// Answers 410.
    Gone,
    /// Takes the request and says nothing.
    Hanging,
    /// Resets the connection.
    Resetting,
    /// Refuses connections.
    Away,
    /// Now this, now that.
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
    /// At the end of a simulation every receiver is well.
    calm: bool,
}

/// The number of hosts.
pub(super) const HOSTS: u64 = 4;

/// Where a hook's receiver is.
pub(super) fn uri(host: u64) -> String {
    format!("http://h{host}.example/in")
}

impl Receivers {
    pub(super) fn new(random: &mut Random) -> Self {
        let moods = (0..HOSTS).map(|_| if random.percent(60) { Mood::Well } else { mood(random) }).collect();
        Self { moods, calm: false }
    }

    /// One of them behaves in another way from now on.
    pub(super) fn change(&mut self, random: &mut Random) -> (usize, Mood) {
        let (host, mood) = (random.count(0, HOSTS - 1), mood(random));
        if let Some(place) = self.moods.get_mut(host) {
            *place = mood;
        }
        (host, mood)
    }

    /// All are well from now on.
    pub(super) fn calm_down(&mut self) {
        self.calm = true;
    }

    /// What an attempt at this URI meets, and after how long (µs).
    pub(super) fn attempt(&self, uri: &str, random: &mut Random) -> (AttemptResult, u64) {
        if self.calm {
            return (answer(200, None), random.between(MS, 20 * MS));
        }
        match random.below(60) {
            0 => return (AttemptResult::Ours(OwnFault::NoFile), MS),
            1 => return (AttemptResult::Unsendable(Unsendable::TooLong), MS),
            2 => return (AttemptResult::NothingToSend, MS),
            _ => {}
        }
        let host = uri.strip_prefix("http://h").and_then(|rest| rest.split('.').next()?.parse().ok());
        let mood = host.and_then(|host: usize| self.moods.get(host)).copied().unwrap_or(Mood::Moody);
        let mood = if mood == Mood::Moody { self::mood(random) } else { mood };
        let soon = random.between(MS, 80 * MS);
        match mood {
            Mood::Well | Mood::Moody => (answer(200, None), soon),
            Mood::Slow => (answer(200, None), random.between(500 * MS, 9_000 * MS)),
            Mood::Broken => (answer(500, None), soon),
            Mood::Busy => (answer(429, Some(random.between(0, 90_000))), soon),
            Mood::Gone => (answer(410, None), soon),
            Mood::Hanging => (AttemptResult::failed(TransportError::Timeout), TIMEOUT_US),
            Mood::Resetting => (AttemptResult::failed(TransportError::Closed), soon),
            Mood::Away => (AttemptResult::failed(TransportError::Refused), MS),
        }
    }
}

fn mood(random: &mut Random) -> Mood {
    random.pick(&MOODS).unwrap_or(Mood::Well)
}

fn answer(status: u16, retry_after_ms: Option<u64>) -> AttemptResult {
    let body = if status == 200 { Bytes::new() } else { Bytes::from_static(b"no") };
    AttemptResult::Answered(Response { status, retry_after_ms, headers: Vec::new(), body })
}
