//! Figures, and how they are printed: one line for each, with the name of the bench first.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, sleep_until};

/// Microseconds since 1970, a clock that is the same in two processes.
pub(crate) fn now_us() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

/// Times in microseconds.
#[derive(Default)]
pub(crate) struct Times(Vec<u64>);

impl Times {
    pub(crate) fn add(&mut self, time_us: u64) {
        self.0.push(time_us);
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// A percentile of the times, in milliseconds.
    pub(crate) fn ms(&mut self, part: f64) -> f64 {
        self.0.sort_unstable();
        let at = (self.0.len() as f64 * part) as usize;
        self.0[at.min(self.0.len() - 1)] as f64 / 1000.0
    }
}

/// A number of events at a fixed rate.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) count: u64,
    pub(crate) per_s: u64,
}

impl Pace {
    pub(crate) fn for_seconds(seconds: u64, per_s: u64) -> Self {
        Self { count: seconds * per_s, per_s }
    }
}

/// Calls `send` for each event, with the time at which it is due. A late event does not move the times of later
/// ones, so lateness is measured from the due time.
pub(crate) async fn paced(pace: Pace, mut send: impl AsyncFnMut(u64)) {
    let (began, began_us) = (Instant::now(), now_us());
    for n in 0..pace.count {
        let due_us = n * 1_000_000 / pace.per_s;
        sleep_until(began + Duration::from_micros(due_us)).await;
        send(began_us + due_us).await;
    }
}

/// The median.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Prints one line of the table.
pub(crate) fn line(bench: &str, what: &str, figure: &str) {
    println!("{bench:<9} {what:<34} {figure}");
}

/// The number that `call_event` gave an event, found in a request body without decoding it.
pub(crate) fn number(payload: &[u8]) -> u64 {
    let name = b"\"caller_id_number\":\"";
    let at = payload.windows(name.len()).position(|window| window == name).unwrap() + name.len();
    let digits = payload[at..].iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
}
