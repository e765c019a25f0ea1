//! Tokens in forms. A token belongs to one session, can be sent once within some hours, and becomes invalid when the
//! program restarts.
//!
//! Promise: a form is refused if it was made for another session, was changed, was sent before, or was made by an
//! earlier run. Only a bounded number of sent forms is remembered. Forms older than the oldest remembered one are
//! refused as too old. Of more sessions than are remembered, the one that sent nothing for the longest time is
//! forgotten, and forms made before its last one was sent are too old.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// How long a form may stay open, in microseconds.
const OPEN_US: u64 = 12 * 3_600_000_000;
/// The number of remembered forms per session.
const MOST_USED: usize = 256;
/// The number of remembered sessions.
const MOST_SESSIONS: usize = 10_000;

/// Why a form is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum FormError {
    /// It was not made for this session.
    #[error("the form was not made for this session")]
    Foreign,
    /// It was open for too long.
    #[error("the form was open for too long")]
    Old,
    /// It was sent before.
    #[error("the form was sent before")]
    Used,
}

/// Makes tokens, and accepts each one once.
pub(super) struct Forms {
    key: hmac::Key,
    used: Mutex<Used>,
}

/// The identity of a token: the time at which it was made, and a random number.
type Mark = (u64, u128);

#[derive(Default)]
struct Used {
    sessions: HashMap<String, OfSession>,
    /// The sessions by the time at which they last sent a form.
    by_time: BTreeSet<(u64, String)>,
    /// Forms made until this time are too old in sessions that are not remembered.
    floor_us: u64,
}

#[derive(Default)]
struct OfSession {
    marks: BTreeSet<Mark>,
    /// Forms of this session made until this time are too old.
    floor_us: u64,
    /// When the session last sent a form.
    last_us: u64,
}

impl fmt::Debug for Forms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Forms")
    }
}

impl Forms {
    /// Uses a key that only this run of the program knows.
    pub(super) fn new() -> Self {
        let secret: [u8; 32] = rand::random();
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &secret), used: Mutex::default() }
    }

    /// Makes a token for a form of a session.
    pub(super) fn issue(&self, session: &str, now_us: u64, number: u128) -> String {
        let mark = format!("{now_us:x}.{number:x}");
        let tag = hmac::sign(&self.key, signed(session, &mark).as_bytes());
        format!("{mark}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
    }

    /// Accepts a token once.
    pub(super) fn take(&self, session: &str, token: &str, now_us: u64) -> Result<(), FormError> {
        let (mark, tag) = token.rsplit_once('.').ok_or(FormError::Foreign)?;
        let tag = URL_SAFE_NO_PAD.decode(tag).map_err(|_| FormError::Foreign)?;
        hmac::verify(&self.key, signed(session, mark).as_bytes(), &tag).map_err(|_| FormError::Foreign)?;
        let (made, number) = mark.split_once('.').ok_or(FormError::Foreign)?;
        let made_us = u64::from_str_radix(made, 16).map_err(|_| FormError::Foreign)?;
        let number = u128::from_str_radix(number, 16).map_err(|_| FormError::Foreign)?;
        if now_us.saturating_sub(made_us) > OPEN_US {
            return Err(FormError::Old);
        }
        self.used.lock().unwrap_or_else(PoisonError::into_inner).add(session, (made_us, number), now_us)
    }
}

impl Used {
    fn add(&mut self, session: &str, mark: Mark, now_us: u64) -> Result<(), FormError> {
        if !self.sessions.contains_key(session) {
            if mark.0 <= self.floor_us {
                return Err(FormError::Old);
            }
            if self.sessions.len() >= MOST_SESSIONS
                && let Some((last_us, longest_idle)) = self.by_time.pop_first()
            {
                // Forgetting which forms a session sent is safe only because forms made until its last one are refused.
                self.sessions.remove(&longest_idle);
                self.floor_us = self.floor_us.max(last_us);
            }
        }
        let known = self.sessions.entry(session.to_owned()).or_default();
        self.by_time.remove(&(known.last_us, session.to_owned()));
        known.last_us = known.last_us.max(now_us);
        self.by_time.insert((known.last_us, session.to_owned()));
        if mark.0 <= known.floor_us {
            return Err(FormError::Old);
        }
        if !known.marks.insert(mark) {
            return Err(FormError::Used);
        }
        if known.marks.len() > MOST_USED
            && let Some((oldest_us, _)) = known.marks.pop_first()
        {
            // Forms as old as the forgotten one are refused, because it is no longer known whether they were sent.
            known.floor_us = oldest_us;
        }
        Ok(())
    }
}

/// Joins session and mark for the signature. A session's identity contains no line feed, so the parts cannot be
/// confused.
fn signed(session: &str, mark: &str) -> String {
    format!("{session}\n{mark}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_accepted_once_and_only_in_its_own_session() {
        let (forms, other_run) = (Forms::new(), Forms::new());
        let token = forms.issue("anna", 1000, 7);
        assert_eq!(forms.take("berta", &token, 2000), Err(FormError::Foreign));
        assert_eq!(other_run.take("anna", &token, 2000), Err(FormError::Foreign));
        assert_eq!(forms.take("anna", &token.replacen("3e8", "3e9", 1), 2000), Err(FormError::Foreign));
        assert_eq!(forms.take("anna", "", 2000), Err(FormError::Foreign));
        assert_eq!(forms.take("anna", &token, 2000), Ok(()));
        assert_eq!(forms.take("anna", &token, 2001), Err(FormError::Used));
    }

    #[test]
    fn a_form_that_was_open_for_too_long_is_refused() {
        let forms = Forms::new();
        let token = forms.issue("anna", 1, 7);
        assert_eq!(forms.take("anna", &token, OPEN_US + 2), Err(FormError::Old));
    }

    #[test]
    fn the_session_that_was_idle_for_longest_is_forgotten_and_its_sent_form_stays_refused() {
        let forms = Forms::new();
        let first = forms.issue("first", 1, 0);
        assert_eq!(forms.take("first", &first, 1_000_000), Ok(()));
        let open = forms.issue("busy", 1_000_001, 1);
        for at in 0..MOST_SESSIONS as u64 + 5 {
            let (session, now_us) = (format!("s{at}"), 1_000_002 + at);
            assert_eq!(forms.take(&session, &forms.issue(&session, now_us, 2), now_us + 1), Ok(()), "{at}");
        }
        assert_eq!(forms.take("first", &first, 3_000_000), Err(FormError::Old));
        assert_eq!(forms.take("s20", &forms.issue("s20", 3_000_000, 3), 3_000_001), Ok(()), "others stay");
        assert_eq!(forms.take("busy", &open, 3_000_002), Err(FormError::Old), "made before a forgotten form");
    }

    #[test]
    fn forms_older_than_the_remembered_ones_are_refused() {
        let forms = Forms::new();
        let first = forms.issue("anna", 1, 0);
        assert_eq!(forms.take("anna", &first, 2), Ok(()));
        for at in 2..=MOST_USED as u64 + 1 {
            assert_eq!(forms.take("anna", &forms.issue("anna", at, u128::from(at)), at), Ok(()));
        }
        assert_eq!(forms.take("anna", &first, 2), Err(FormError::Old));
    }
}
