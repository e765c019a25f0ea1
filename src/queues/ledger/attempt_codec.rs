//! The bytes of an attempt's record, in all versions. A successful attempt takes 34 bytes.

use super::attempt_record::{AttemptRecord, Ending, Outcome};
use super::codec::{DecodeRecordError, Fields, kind, put_bytes, put_id, put_number, put_offset, put_time};
use crate::model::{Failure, OwnFault, Phases, QueueId, Response, Sent, TransportError, Unsendable};

/// The most bytes of a failure's detail that are stored.
const MAX_DETAIL: usize = 300;
/// The byte that says, in place of a transport error, that nothing was sent.
const NOT_SENT: u8 = 128;

/// The versions of the record. Each has the fields of all versions before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::queues) enum Version {
    First,
    /// With the hook's generation and `sent`.
    WithRequest,
    /// With the phases.
    WithPhases,
    /// With headers and body of every response. Before, those of a success were left out. Records without them are still
    /// written as the version before, which is shorter.
    WithContent,
}

pub(in crate::queues) fn encode_attempt(out: &mut Vec<u8>, attempt: &AttemptRecord) {
    let is_status_only = attempt.outcome.is_good() && !attempt.ending.has_content();
    let kind = if attempt.outcome.is_good() && !is_status_only { kind::ATTEMPT_4 } else { kind::ATTEMPT_3 };
    out.extend_from_slice(&[kind, attempt.outcome as u8]);
    put_id(out, attempt.queue.0);
    put_offset(out, attempt.offset);
    put_number(out, u64::from(attempt.attempt));
    put_number(out, u64::from(attempt.tries));
    put_number(out, u64::from(attempt.tries_left));
    put_number(out, attempt.duration_us);
    put_time(out, attempt.due);
    put_number(out, attempt.generation.unwrap_or(0));
    put_sent(out, attempt.sent);
    put_phases(out, attempt.phases);
    // A status, or 0 and a byte that says why there is none. The bytes of the three kinds of reasons do not overlap.
    match &attempt.ending {
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
                put_content(out, response);
            }
        }
    }
}

pub(in crate::queues) fn decode_attempt(
    f: &mut Fields<'_>,
    version: Version,
) -> Result<AttemptRecord, DecodeRecordError> {
    let outcome = Outcome::from_byte(f.byte()?).ok_or(DecodeRecordError::Unknown("outcome"))?;
    let (queue, offset, attempt) = (QueueId(f.id()?), f.offset()?, f.small()?);
    let (tries, tries_left, duration_us, due) = (f.small()?, f.small()?, f.number()?, f.time()?);
    let has_request = version >= Version::WithRequest;
    let generation = if has_request { Some(f.number()?) } else { None };
    let sent = if has_request { decode_sent(f)? } else { None };
    let phases = if version >= Version::WithPhases { decode_phases(f)? } else { Phases::default() };
    let ending = match f.small()? {
        0 => decode_reason(f)?,
        status => {
            let mut response = Response { status, ..Response::default() };
            if version >= Version::WithContent || !outcome.is_good() {
                decode_content(f, &mut response)?;
            }
            Ending::Answered(response)
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
        due,
        generation,
        sent,
        phases,
    })
}

/// Appends 0 for none. Otherwise a number that is one more than twice the seconds, plus one if the eight bytes of a span
/// follow.
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

/// The bits of the byte that says which phases follow.
const PHASE_BITS: [u8; 4] = [1, 2, 4, 8];

fn put_phases(out: &mut Vec<u8>, phases: Phases) {
    let all = phases.all();
    let bits = all.iter().zip(PHASE_BITS).filter(|(phase, _)| phase.is_some());
    out.push(bits.map(|(_, bit)| bit).sum());
    for phase in all.into_iter().flatten() {
        put_number(out, u64::from(phase));
    }
}

fn decode_phases(f: &mut Fields<'_>) -> Result<Phases, DecodeRecordError> {
    let bits = f.byte()?;
    if bits > PHASE_BITS.iter().sum() {
        return Err(DecodeRecordError::Unknown("phases"));
    }
    let mut all = [None; 4];
    for (phase, _) in all.iter_mut().zip(PHASE_BITS).filter(|(_, bit)| bits & bit != 0) {
        let us = u32::try_from(f.number()?).map_err(|_| DecodeRecordError::Unknown("phase"))?;
        *phase = Some(us);
    }
    Ok(Phases::from_all(all))
}

/// Why there is no response.
fn decode_reason(f: &mut Fields<'_>) -> Result<Ending, DecodeRecordError> {
    let byte = f.byte()?;
    if byte == NOT_SENT {
        Ok(Ending::NotSent)
    } else if let Some(fault) = OwnFault::from_byte(byte) {
        Ok(Ending::Ours(fault))
    } else if let Some(reason) = Unsendable::from_byte(byte) {
        Ok(Ending::Unsendable(reason))
    } else {
        let error = TransportError::from_byte(byte).ok_or(DecodeRecordError::Unknown("transport error"))?;
        let detail = if f.0.is_empty() { None } else { Some(f.text()?.into_boxed_str()) };
        Ok(Ending::Failed(Failure { error, detail }))
    }
}

fn put_content(out: &mut Vec<u8>, response: &Response) {
    // 0 for none, so that a `Retry-After` of 0 keeps its meaning.
    put_number(out, response.retry_after_ms.map_or(0, |ms| ms.saturating_add(1)));
    put_number(out, response.headers.len() as u64);
    for (name, value) in &response.headers {
        put_bytes(out, name.as_bytes());
        put_bytes(out, value.as_bytes());
    }
    put_bytes(out, &response.body);
}

fn decode_content(f: &mut Fields<'_>, response: &mut Response) -> Result<(), DecodeRecordError> {
    response.retry_after_ms = f.number()?.checked_sub(1);
    // A damaged count costs nothing: no memory is reserved for it, and the fields end before it is reached.
    for _ in 0..f.number()? {
        response.headers.push((f.text()?, f.text()?));
    }
    response.body = bytes::Bytes::copy_from_slice(f.bytes()?);
    Ok(())
}

/// The beginning of a detail that is stored.
fn cut(detail: &str) -> &str {
    let end = (0..=MAX_DETAIL.min(detail.len())).rev().find(|end| detail.is_char_boundary(*end));
    detail.get(..end.unwrap_or(0)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EventOffset, Moment};
    use crate::queues::LedgerRecord;

    fn record(sent: Option<Sent>, ending: Ending) -> AttemptRecord {
        AttemptRecord {
            queue: QueueId(7),
            offset: EventOffset(300),
            attempt: 2,
            tries: 2,
            tries_left: 1,
            outcome: Outcome::Retry,
            ending,
            duration_us: 5,
            due: Some(Moment::from_micros(9)),
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
    fn an_attempt_that_sent_nothing_is_read_as_it_was_written() {
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
    fn the_response_of_a_success_is_read_as_it_was_written() {
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
        let mut bytes = vec![kind::ATTEMPT_1, Outcome::Retry as u8];
        bytes.extend_from_slice(&7_u128.to_be_bytes());
        // offset 300, attempt 2, tries 2, one left, 5 us, due at 9; refused
        bytes.extend_from_slice(&[0xac, 2, 2, 2, 1, 5, 9, 0, TransportError::Refused as u8]);
        let ending = Ending::Failed(TransportError::Refused.into());
        let expected = AttemptRecord { generation: None, ..record(None, ending) };
        assert_eq!(LedgerRecord::decode(&bytes), Ok(LedgerRecord::Attempt(expected)));
    }

    #[test]
    fn a_record_without_phases_is_still_read() {
        let mut bytes = vec![kind::ATTEMPT_2, Outcome::Retry as u8];
        bytes.extend_from_slice(&7_u128.to_be_bytes());
        // The same fields, then generation 12, and sent 90 s ago without a span.
        bytes.extend_from_slice(&[0xac, 2, 2, 2, 1, 5, 9, 12, 181, 1, 0, TransportError::Refused as u8]);
        let ending = Ending::Failed(TransportError::Refused.into());
        let expected = record(Some(Sent { ago_s: 90, span_id: None }), ending);
        assert_eq!(LedgerRecord::decode(&bytes), Ok(LedgerRecord::Attempt(expected)));
    }

    #[test]
    fn a_success_is_small() {
        let ending = Ending::Answered(Response { status: 200, ..Response::default() });
        let record = AttemptRecord {
            offset: EventOffset(1 << 20),
            attempt: 1,
            tries: 1,
            tries_left: 0,
            outcome: Outcome::Delivered,
            duration_us: 12_000,
            due: None,
            phases: Phases { first_byte_us: Some(12_000), ..Phases::default() },
            ..record(Some(Sent { ago_s: 0, span_id: None }), ending)
        };
        assert_eq!(LedgerRecord::Attempt(record).encode().len(), 34);
    }
}
