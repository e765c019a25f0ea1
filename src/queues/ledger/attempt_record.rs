//! An attempt as the ledger keeps it. There are three versions: the first, type 1, lacks the hook's generation and what
//! only the request had; the second, type 8, lacks the phases. Type 13 is the third, type 10, with headers and body of an
//! answer that was a success.
//!
//! A successful attempt on an open connection is 34 bytes of payload; request and event are not repeated. They are made again from
//! the events log and from the hook's revision, which is a record of its own (`revisions.rs`).

use serde::{Serialize, Serializer};

use super::codec::{DecodeRecordError, Fields, put_bytes, put_id, put_number};
use crate::model::{Failure, Id, OwnFault, Phases, Response, Sent, TransportError, Unsendable};
use crate::queues::queue::entry::as_number;
use crate::queues::rules::fate::Fate;

/// Bytes of a failure's sentence that are kept at most.
const MAX_DETAIL: usize = 300;

/// What an attempt led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Outcome {
    /// Settled: the receiver has it.
    Delivered = 1,
    /// To be tried again at `due_us`.
    Retry = 2,
    /// Settled: out of tries while the hook works.
    Dead = 3,
    /// Out of tries, set aside until it is known whether the hook works.
    Suspect = 4,
    /// Waiting at the head of its lane while the hook is disabled.
    Held = 5,
    /// Settled without being sent: it is another system's to deliver.
    Shadow = 6,
}

impl Outcome {
    /// How the delivery ended, if it did.
    #[must_use]
    pub fn fate(self) -> Option<Fate> {
        match self {
            Self::Delivered => Some(Fate::Delivered),
            Self::Dead => Some(Fate::Dead),
            Self::Shadow => Some(Fate::Shadow),
            Self::Retry | Self::Suspect | Self::Held => None,
        }
    }

    /// Whether the answer was what was hoped for, so that often only its status is kept.
    pub(in crate::queues) fn is_answered(self) -> bool {
        matches!(self, Self::Delivered | Self::Shadow)
    }
}

/// Stands for a transport error where nothing was sent at all.
const NOT_SENT: u8 = 128;

/// How an attempt ended, as far as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// An HTTP answer; of a success, headers and body only as far as the configuration asks for them.
    Answered(Response),
    /// None.
    #[serde(serialize_with = "failure")]
    Failed(Failure),
    /// Nothing was sent, for want of something here.
    Ours(OwnFault),
    /// The event can never be sent to this hook.
    Unsendable(Unsendable),
    /// Nothing was sent, and nothing was to be.
    NotSent,
}

impl Ending {
    /// Whether there is more of an answer than its status.
    fn has_answer(&self) -> bool {
        matches!(self, Self::Answered(response) if !response.headers.is_empty() || !response.body.is_empty())
    }
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AttemptRecord {
    /// The queue: the hook's id, or a replay's.
    pub queue: Id,
    /// The event's offset.
    pub offset: u64,
    /// Which attempt, from 1.
    pub attempt: u16,
    /// Tries counted against the bound, this one included.
    pub tries: u16,
    /// Tries that the bound still allows after this one.
    pub tries_left: u16,
    /// What it led to.
    pub outcome: Outcome,
    /// How it ended.
    pub ending: Ending,
    /// How long it took.
    pub duration_us: u64,
    /// When the next try is due (µs since 1970). `None`: there is none.
    #[serde(serialize_with = "as_number")]
    pub due_us: Option<u64>,
    /// The hook's generation when the request was made. `None`: a record of the first version, which has none.
    pub generation: Option<u64>,
    /// `None`: there was no request, or the record is of the first version.
    pub sent: Option<Sent>,
    /// How long its phases took; empty: not measured.
    pub phases: Phases,
}

pub(in crate::queues) fn encode_attempt(out: &mut Vec<u8>, a: &AttemptRecord) {
    // 1 and 8 are the versions before. 13 is 10 with the whole answer of a success.
    let is_status_only = a.outcome.is_answered() && !a.ending.has_answer();
    let kind = if is_status_only || !a.outcome.is_answered() { 10 } else { 13 };
    out.extend_from_slice(&[kind, a.outcome as u8]);
    put_id(out, a.queue);
    for n in [
        a.offset,
        u64::from(a.attempt),
        u64::from(a.tries),
        u64::from(a.tries_left),
        a.duration_us,
        a.due_us.unwrap_or(0),
    ] {
        put_number(out, n);
    }
    put_number(out, a.generation.unwrap_or(0));
    put_sent(out, a.sent);
    put_phases(out, a.phases);
    match &a.ending {
        Ending::Failed(Failure { error, detail }) => {
            out.extend_from_slice(&[0, *error as u8]);
            // Records of earlier versions end here.
            if let Some(detail) = detail {
                put_bytes(out, cut(detail).as_bytes());
            }
        }
        Ending::Ours(fault) => out.extend_from_slice(&[0, *fault as u8]),
        Ending::Unsendable(reason) => out.extend_from_slice(&[0, *reason as u8]),
        Ending::NotSent => out.extend_from_slice(&[0, NOT_SENT]),
        Ending::Answered(response) => {
            put_number(out, u64::from(response.status));
            if !is_status_only {
                put_number(out, response.retry_after_ms.map_or(0, |ms| ms.saturating_add(1)));
                put_number(out, response.headers.len() as u64);
                for (name, value) in &response.headers {
                    put_bytes(out, name.as_bytes());
                    put_bytes(out, value.as_bytes());
                }
                put_bytes(out, &response.body);
            }
        }
    }
}

/// The versions of an attempt's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queues) enum Version {
    First,
    /// With the hook's generation and what only the request had.
    WithRequest,
    /// With the phases, too.
    WithPhases,
    /// With headers and body of any answer, too.
    WithAnswer,
}

/// 0: nothing. Else one more than twice the seconds, odd or even by whether eight bytes of a span follow.
fn put_sent(out: &mut Vec<u8>, sent: Option<Sent>) {
    let Some(Sent { ago_s, span_id }) = sent else { return put_number(out, 0) };
    put_number(out, 1 + 2 * ago_s.min(u64::from(u32::MAX)) + u64::from(span_id.is_some()));
    out.extend_from_slice(span_id.map(u64::to_be_bytes).as_ref().map_or(&[], <[u8; 8]>::as_slice));
}

fn decode_sent(f: &mut Fields<'_>) -> Result<Option<Sent>, DecodeRecordError> {
    let Some(code) = f.number()?.checked_sub(1) else { return Ok(None) };
    let span_id = if code % 2 == 1 { Some(f.eight()?) } else { None };
    Ok(Some(Sent { ago_s: code / 2, span_id }))
}

/// A bit for each phase that there was, then their times.
fn put_phases(out: &mut Vec<u8>, phases: Phases) {
    let all = phases.all();
    let bits = all.iter().zip([1, 2, 4, 8]).filter(|(phase, _)| phase.is_some());
    out.push(bits.map(|(_, bit)| bit).sum());
    for phase in all.into_iter().flatten() {
        put_number(out, u64::from(phase));
    }
}

fn decode_phases(f: &mut Fields<'_>) -> Result<Phases, DecodeRecordError> {
    let bits = f.byte()?;
    if bits > 15 {
        return Err(DecodeRecordError::Unknown("phases"));
    }
    let mut all = [None; 4];
    for (phase, _) in all.iter_mut().zip([1, 2, 4, 8]).filter(|(_, bit)| bits & bit != 0) {
        let us = u32::try_from(f.number()?).map_err(|_| DecodeRecordError::Unknown("phase"))?;
        *phase = Some(us);
    }
    Ok(Phases::from_all(all))
}

pub(in crate::queues) fn decode_attempt(
    f: &mut Fields<'_>,
    version: Version,
) -> Result<AttemptRecord, DecodeRecordError> {
    let outcome = match f.byte()? {
        1 => Outcome::Delivered,
        2 => Outcome::Retry,
        3 => Outcome::Dead,
        4 => Outcome::Suspect,
        5 => Outcome::Held,
        6 => Outcome::Shadow,
        _ => return Err(DecodeRecordError::Unknown("outcome")),
    };
    let (queue, offset, attempt) = (f.id()?, f.number()?, f.small()?);
    let (tries, tries_left, duration_us, due_us) = (f.small()?, f.small()?, f.number()?, f.time()?);
    let (generation, sent) = match version {
        Version::First => (None, None),
        Version::WithRequest | Version::WithPhases | Version::WithAnswer => {
            (Some(f.number()?), decode_sent(f)?)
        }
    };
    let phases = if matches!(version, Version::WithPhases | Version::WithAnswer) {
        decode_phases(f)?
    } else {
        Phases::default()
    };
    let ending = match f.small()? {
        0 => {
            let byte = f.byte()?;
            let ours = OwnFault::from_byte(byte).map(Ending::Ours);
            let ending = ours.or_else(|| Unsendable::from_byte(byte).map(Ending::Unsendable));
            let ending = ending.or((byte == NOT_SENT).then_some(Ending::NotSent));
            match ending {
                Some(ending) => ending,
                None => Ending::Failed(decode_failure(f, byte)?),
            }
        }
        status => {
            let is_whole = version == Version::WithAnswer || !outcome.is_answered();
            Ending::Answered(decode_response(f, status, is_whole)?)
        }
    };
    Ok(AttemptRecord {
        queue,
        offset,
        attempt,
        tries,
        tries_left,
        outcome,
        ending,
        duration_us,
        due_us,
        generation,
        sent,
        phases,
    })
}

fn decode_failure(f: &mut Fields<'_>, byte: u8) -> Result<Failure, DecodeRecordError> {
    let error = TransportError::from_byte(byte).ok_or(DecodeRecordError::Unknown("transport error"))?;
    let detail = if f.0.is_empty() { None } else { Some(f.text()?.into_boxed_str()) };
    Ok(Failure { error, detail })
}

/// The part of a sentence that the ledger keeps.
fn cut(detail: &str) -> &str {
    let end = (0..=MAX_DETAIL.min(detail.len())).rev().find(|end| detail.is_char_boundary(*end));
    detail.get(..end.unwrap_or(0)).unwrap_or_default()
}

fn failure<S: Serializer>(failure: &Failure, to: S) -> Result<S::Ok, S::Error> {
    let detail = failure.detail.as_deref().map_or_else(String::new, |detail| format!(": {detail}"));
    to.serialize_str(&format!("{}{detail}", failure.error.text()))
}

fn decode_response(f: &mut Fields<'_>, status: u16, is_whole: bool) -> Result<Response, DecodeRecordError> {
    let mut response = Response { status, ..Response::default() };
    if is_whole {
        response.retry_after_ms = f.number()?.checked_sub(1);
        for _ in 0..f.number()? {
            response.headers.push((f.text()?, f.text()?));
        }
        response.body = bytes::Bytes::copy_from_slice(f.bytes()?);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queues::LedgerRecord;

    fn record(sent: Option<Sent>, ending: Ending) -> AttemptRecord {
        AttemptRecord {
            queue: Id(7),
            offset: 300,
            attempt: 2,
            tries: 2,
            tries_left: 1,
            outcome: Outcome::Retry,
            ending,
            duration_us: 5,
            due_us: Some(9),
            generation: Some(12),
            sent,
            phases: Phases::default(),
        }
    }

    #[test]
    fn an_attempt_is_read_as_it_was_written() {
        let detailed = Failure { error: TransportError::Tls, detail: Some("why".into()) };
        let busy = Response { status: 429, retry_after_ms: Some(1), ..Response::default() };
        for ending in [Ending::Failed(detailed), Ending::Answered(busy), Ending::Ours(OwnFault::NoFile)] {
            for span_id in [None, Some(u64::MAX)] {
                for sent in [None, Some(Sent { ago_s: 0, span_id }), Some(Sent { ago_s: 90, span_id })] {
                    for phases in 0..16 {
                        let phase = |bit: u32| (phases & bit != 0).then_some(bit * 1_000_000);
                        let phases = Phases::from_all([1, 2, 4, 8].map(phase));
                        let record = AttemptRecord { phases, ..record(sent, ending.clone()) };
                        let record = LedgerRecord::Attempt(record);
                        assert_eq!(LedgerRecord::decode(&record.encode()).unwrap(), record);
                    }
                }
            }
        }
    }

    #[test]
    fn what_was_settled_without_being_sent_is_read_as_it_was_written() {
        let answered = Response { status: 204, ..Response::default() };
        let failed = Ending::Failed(TransportError::ForbiddenAddress.into());
        for ending in [Ending::NotSent, Ending::Answered(answered), failed] {
            let sent = Some(Sent { ago_s: 1, span_id: None });
            let record = AttemptRecord { outcome: Outcome::Shadow, ..record(sent, ending) };
            let record = LedgerRecord::Attempt(record);
            assert_eq!(LedgerRecord::decode(&record.encode()).unwrap(), record);
        }
    }

    #[test]
    fn the_answer_of_a_success_is_read_as_it_was_written() {
        let answer = Response {
            status: 200,
            headers: vec![("content-type".into(), "text/plain".into())],
            body: "ok".into(),
            ..Response::default()
        };
        for outcome in [Outcome::Delivered, Outcome::Shadow, Outcome::Dead] {
            let sent = Some(Sent { ago_s: 1, span_id: None });
            let record = AttemptRecord { outcome, ..record(sent, Ending::Answered(answer.clone())) };
            let record = LedgerRecord::Attempt(record);
            assert_eq!(LedgerRecord::decode(&record.encode()).unwrap(), record);
        }
    }

    #[test]
    fn a_record_of_the_first_version_is_still_read() {
        let mut bytes = vec![1, Outcome::Retry as u8];
        bytes.extend_from_slice(&Id(7).0.to_be_bytes());
        // offset 300, attempt 2, tries 2, one left, 5 us, due at 9; refused
        bytes.extend_from_slice(&[0xac, 2, 2, 2, 1, 5, 9, 0, TransportError::Refused as u8]);
        let ending = Ending::Failed(TransportError::Refused.into());
        let expected = AttemptRecord { generation: None, ..record(None, ending) };
        assert_eq!(LedgerRecord::decode(&bytes), Ok(LedgerRecord::Attempt(expected)));
    }

    #[test]
    fn a_record_without_phases_is_still_read() {
        let mut bytes = vec![8, Outcome::Retry as u8];
        bytes.extend_from_slice(&Id(7).0.to_be_bytes());
        // As above, of generation 12, 90 s ago, without a span.
        bytes.extend_from_slice(&[0xac, 2, 2, 2, 1, 5, 9, 12, 181, 1, 0, TransportError::Refused as u8]);
        let ending = Ending::Failed(TransportError::Refused.into());
        let expected = record(Some(Sent { ago_s: 90, span_id: None }), ending);
        assert_eq!(LedgerRecord::decode(&bytes), Ok(LedgerRecord::Attempt(expected)));
    }

    #[test]
    fn a_success_is_small() {
        let ending = Ending::Answered(Response { status: 200, ..Response::default() });
        let record = AttemptRecord {
            offset: 1 << 20,
            attempt: 1,
            tries: 1,
            tries_left: 0,
            outcome: Outcome::Delivered,
            duration_us: 12_000,
            due_us: None,
            phases: Phases { first_byte_us: Some(12_000), ..Phases::default() },
            ..record(Some(Sent { ago_s: 0, span_id: None }), ending)
        };
        assert_eq!(LedgerRecord::Attempt(record).encode().len(), 34);
    }
}
