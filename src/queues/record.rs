//! The ledger's records: what became of each delivery, in a few bytes each, and the checkpoints between them.
//!
//! A successful attempt is about 29 bytes of payload; request and event are not repeated. They are made again from
//! the events log and from the hook's revision, which is a record of its own (`revisions.rs`).

use serde::{Serialize, Serializer};

use super::codec::{DecodeRecordError, Fields, put_bytes, put_id, put_number};
use super::entry::Past;
use super::lane::LaneKey;
use serde_json::{Map, Value};

use crate::model::{Failure, HookId, Id, OwnFault, Response, Sent, TransportError, Unsendable};

/// The log tag of a checkpoint's records but the last; all others carry their hook's tag.
pub const CHECKPOINT_TAG: u64 = 0;
/// The log tag of the record that completes a checkpoint.
pub const CHECKPOINT_END_TAG: u64 = 1;

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
}

/// Why a delivery was settled without an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Settlement {
    /// The hook's filter or the event's form left nothing to send.
    Skipped = 1,
    /// A suspect whose hook turned out to work.
    Dead = 2,
    /// Retention had dropped the event.
    Expired = 3,
}

/// How an attempt ended, as far as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// An HTTP answer; headers and body only for failures.
    Answered(Response),
    /// None.
    #[serde(serialize_with = "failure")]
    Failed(Failure),
    /// Nothing was sent, for want of something here.
    Ours(OwnFault),
    /// The event can never be sent to this hook.
    Unsendable(Unsendable),
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
    /// When the next try is due (µs since 1970); 0: none.
    pub due_us: u64,
    /// The hook's generation when the request was made. `None`: a record of the first version, which has none.
    pub generation: Option<u64>,
    /// `None`: there was no request, or the record is of the first version.
    pub sent: Option<Sent>,
}

/// One queue as a checkpoint holds it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct QueueImage {
    /// The queue.
    pub queue: Id,
    /// The account of a one-shot queue, which no document names.
    pub one_shot: Option<Id>,
    /// First offset not looked at.
    pub next: u64,
    /// Wanted and unsettled, as counted (below zero while settlements are ahead of the count).
    pub waiting: i64,
    /// Events up to here are not in `waiting` yet.
    pub uncounted_until: u64,
    /// Totals so far: delivered, dead, skipped.
    pub totals: [u64; 3],
    /// Unsettled entries: offset, lane, past.
    pub entries: Vec<(u64, LaneKey, Past)>,
    /// Spilled lanes and where they go on.
    pub spilled: Vec<(LaneKey, u64)>,
    /// Settled at or above `next`, or within a spilled lane.
    pub settled: Vec<u64>,
    /// When counted failures happened.
    pub failures: Vec<u64>,
    /// Unsettled deliveries at or above `next`, or within a spilled lane, that have been tried.
    pub past: Vec<(u64, Past)>,
}

/// A ledger record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum LedgerRecord {
    /// An attempt.
    Attempt(AttemptRecord),
    /// A settlement without one.
    Settled {
        /// The queue.
        queue: Id,
        /// The event.
        offset: u64,
        /// Why.
        how: Settlement,
    },
    /// Events below `to` were dropped by retention before this queue had read them.
    Gap {
        /// The queue.
        queue: Id,
        /// First offset lost.
        from: u64,
        /// First offset still there.
        to: u64,
    },
    /// The queue's hook was enabled again: failures before this count no more, and what waits has fresh tries.
    Refreshed {
        /// The queue.
        queue: Id,
    },
    /// What a revision of a hook sends; later attempts name it by its generation.
    HookRevision {
        /// The hook.
        hook: HookId,
        /// The revision's generation.
        generation: u64,
        /// What it sends, as `kazoo::sent_document` makes it.
        sends: Map<String, Value>,
    },
    /// A checkpoint begins; events below `router` have been routed.
    CheckpointBegin {
        /// The router's position.
        router: u64,
    },
    /// One queue of the checkpoint.
    CheckpointQueue(Box<QueueImage>),
    /// The checkpoint is complete; its begin is at this ledger offset distance back.
    CheckpointEnd {
        /// How many records back it began.
        back: u64,
    },
}

impl LedgerRecord {
    /// The bytes that the log stores.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(48);
        match self {
            Self::Attempt(attempt) => encode_attempt(&mut out, attempt),
            Self::Settled { queue, offset, how } => {
                out.extend_from_slice(&[2, *how as u8]);
                put_id(&mut out, *queue);
                put_number(&mut out, *offset);
            }
            Self::Gap { queue, from, to } => {
                out.push(3);
                put_id(&mut out, *queue);
                put_number(&mut out, *from);
                put_number(&mut out, *to);
            }
            Self::Refreshed { queue } => {
                out.push(7);
                put_id(&mut out, *queue);
            }
            Self::HookRevision { hook, generation, sends } => {
                out.push(9);
                put_id(&mut out, *hook);
                put_number(&mut out, *generation);
                out.extend_from_slice(&serde_json::to_vec(sends).unwrap_or_default());
            }
            Self::CheckpointBegin { router } => {
                out.push(4);
                put_number(&mut out, *router);
            }
            Self::CheckpointQueue(image) => encode_image(&mut out, image),
            Self::CheckpointEnd { back } => {
                out.push(6);
                put_number(&mut out, *back);
            }
        }
        out
    }

    /// Reads what `encode` wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeRecordError> {
        let mut f = Fields(bytes);
        Ok(match f.byte()? {
            1 => Self::Attempt(decode_attempt(&mut f, Version::First)?),
            8 => Self::Attempt(decode_attempt(&mut f, Version::WithRequest)?),
            9 => Self::HookRevision {
                hook: f.id()?,
                generation: f.number()?,
                sends: serde_json::from_slice(f.0)
                    .map_err(|_| DecodeRecordError::Unknown("hook revision"))?,
            },
            2 => {
                let how = match f.byte()? {
                    1 => Settlement::Skipped,
                    2 => Settlement::Dead,
                    3 => Settlement::Expired,
                    _ => return Err(DecodeRecordError::Unknown("settlement")),
                };
                Self::Settled { how, queue: f.id()?, offset: f.number()? }
            }
            3 => Self::Gap { queue: f.id()?, from: f.number()?, to: f.number()? },
            4 => Self::CheckpointBegin { router: f.number()? },
            5 => Self::CheckpointQueue(Box::new(decode_image(&mut f)?)),
            6 => Self::CheckpointEnd { back: f.number()? },
            7 => Self::Refreshed { queue: f.id()? },
            _ => return Err(DecodeRecordError::Unknown("type")),
        })
    }
}

fn encode_attempt(out: &mut Vec<u8>, a: &AttemptRecord) {
    // The first version, 1, lacks generation and request.
    out.extend_from_slice(&[8, a.outcome as u8]);
    put_id(out, a.queue);
    for n in
        [a.offset, u64::from(a.attempt), u64::from(a.tries), u64::from(a.tries_left), a.duration_us, a.due_us]
    {
        put_number(out, n);
    }
    put_number(out, a.generation.unwrap_or(0));
    put_sent(out, a.sent);
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
        Ending::Answered(response) => {
            put_number(out, u64::from(response.status));
            if a.outcome != Outcome::Delivered {
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
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    First,
    /// With the hook's generation and what only the request had.
    WithRequest,
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

fn decode_attempt(f: &mut Fields<'_>, version: Version) -> Result<AttemptRecord, DecodeRecordError> {
    let outcome = match f.byte()? {
        1 => Outcome::Delivered,
        2 => Outcome::Retry,
        3 => Outcome::Dead,
        4 => Outcome::Suspect,
        5 => Outcome::Held,
        _ => return Err(DecodeRecordError::Unknown("outcome")),
    };
    let (queue, offset, attempt) = (f.id()?, f.number()?, f.small()?);
    let (tries, tries_left, duration_us, due_us) = (f.small()?, f.small()?, f.number()?, f.number()?);
    let (generation, sent) = match version {
        Version::First => (None, None),
        Version::WithRequest => (Some(f.number()?), decode_sent(f)?),
    };
    let ending = match f.small()? {
        0 => {
            let byte = f.byte()?;
            let ours = OwnFault::from_byte(byte).map(Ending::Ours);
            let ending = ours.or_else(|| Unsendable::from_byte(byte).map(Ending::Unsendable));
            match ending {
                Some(ending) => ending,
                None => Ending::Failed(decode_failure(f, byte)?),
            }
        }
        status => Ending::Answered(decode_response(f, status, outcome)?),
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

fn decode_response(f: &mut Fields<'_>, status: u16, outcome: Outcome) -> Result<Response, DecodeRecordError> {
    let mut response = Response { status, ..Response::default() };
    if outcome != Outcome::Delivered {
        response.retry_after_ms = f.number()?.checked_sub(1);
        for _ in 0..f.number()? {
            response.headers.push((f.text()?, f.text()?));
        }
        response.body = bytes::Bytes::copy_from_slice(f.bytes()?);
    }
    Ok(response)
}

fn encode_image(out: &mut Vec<u8>, image: &QueueImage) {
    out.push(5);
    put_id(out, image.queue);
    put_id(out, image.one_shot.unwrap_or_default());
    for n in [image.next, image.waiting.cast_unsigned(), image.uncounted_until].iter().chain(&image.totals) {
        put_number(out, *n);
    }
    put_number(out, image.entries.len() as u64);
    for (offset, lane, past) in &image.entries {
        put_number(out, *offset);
        put_number(out, *lane);
        put_past(out, past);
    }
    put_number(out, image.spilled.len() as u64);
    for (lane, from) in &image.spilled {
        put_number(out, *lane);
        put_number(out, *from);
    }
    for list in [&image.settled, &image.failures] {
        put_number(out, list.len() as u64);
        for n in list {
            put_number(out, *n);
        }
    }
    put_number(out, image.past.len() as u64);
    for (offset, past) in &image.past {
        put_number(out, *offset);
        put_past(out, past);
    }
}

fn put_past(out: &mut Vec<u8>, past: &Past) {
    for n in [u64::from(past.attempts), u64::from(past.tries), past.due_us, past.first_failed_us] {
        put_number(out, n);
    }
}

fn decode_past(f: &mut Fields<'_>) -> Result<Past, DecodeRecordError> {
    let (attempts, tries, due_us, first_failed_us) = (f.small()?, f.small()?, f.number()?, f.number()?);
    Ok(Past { attempts, tries, due_us, first_failed_us })
}

fn decode_image(f: &mut Fields<'_>) -> Result<QueueImage, DecodeRecordError> {
    let mut image = QueueImage { queue: f.id()?, ..QueueImage::default() };
    let account = f.id()?;
    image.one_shot = (account != Id::default()).then_some(account);
    (image.next, image.waiting, image.uncounted_until) =
        (f.number()?, f.number()?.cast_signed(), f.number()?);
    image.totals = [f.number()?, f.number()?, f.number()?];
    for _ in 0..f.number()? {
        image.entries.push((f.number()?, f.number()?, decode_past(f)?));
    }
    for _ in 0..f.number()? {
        image.spilled.push((f.number()?, f.number()?));
    }
    for _ in 0..f.number()? {
        image.settled.push(f.number()?);
    }
    for _ in 0..f.number()? {
        image.failures.push(f.number()?);
    }
    // There is nothing more in the checkpoints of builds that forgot it.
    let past = if f.0.is_empty() { 0 } else { f.number()? };
    for _ in 0..past {
        image.past.push((f.number()?, decode_past(f)?));
    }
    Ok(image)
}
