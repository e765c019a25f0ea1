//! The ledger's records: attempts and settlements, in a few bytes each, and checkpoints.
//!
//! `attempt_record.rs` has the record of an attempt.

use serde::Serialize;
use serde_json::{Map, Value};

use super::attempt_codec::{Version, decode_attempt, encode_attempt};
pub use super::attempt_record::{AttemptRecord, Ending, Outcome};
use super::codec::{DecodeRecordError, Fields, kind, put_id, put_number, put_offset, put_time};
use crate::model::{AccountId, EventOffset, HookId, Moment, QueueId};
use crate::queues::queue::lane::LaneKey;
use crate::queues::queue::window::Past;
use crate::queues::rules::fate::{Fate, Totals};
use crate::queues::rules::partitions::{Partition, Partitions};

/// The log tag of all records of a checkpoint but the last one. Records outside of checkpoints have the tag of their hook.
pub const CHECKPOINT_TAG: u64 = 0;
/// The log tag of the last record of a checkpoint.
pub const CHECKPOINT_END_TAG: u64 = 1;

/// Why a delivery was settled without an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Settlement {
    /// The hook's filter or the event's form left nothing to send.
    Skipped = 1,
    /// A suspect, or a delivery that came too late, whose hook turned out to work.
    Dead = 2,
    /// Retention had removed the event from the log.
    Expired = 3,
}

impl Settlement {
    /// How the delivery ended.
    #[must_use]
    pub fn fate(self) -> Fate {
        match self {
            Self::Skipped => Fate::Skipped,
            Self::Dead => Fate::Dead,
            Self::Expired => Fate::Expired,
        }
    }
}

/// A queue as a checkpoint stores it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct QueueImage {
    /// The queue.
    pub queue: QueueId,
    /// Its partition; `None` in checkpoints of earlier versions, which do not store it.
    pub partition: Option<Partition>,
    /// The account, if this is the queue of an account's callflow webhooks. No document names such a queue.
    pub one_shot: Option<AccountId>,
    /// The first offset that the queue had not taken or passed over yet.
    pub next: EventOffset,
    /// The number of unsettled deliveries; negative while settlements are ahead of the count.
    pub waiting: i64,
    /// Events below this offset are not in `waiting` yet.
    pub uncounted_until: EventOffset,
    /// The deliveries that have ended.
    pub totals: Totals,
    /// The deliveries in the window: offset, lane, past.
    pub entries: Vec<(EventOffset, LaneKey, Past)>,
    /// The spilled lanes, and where the rest of each begins.
    pub spilled: Vec<(LaneKey, EventOffset)>,
    /// Settled offsets from `next` on, or in the rest of a lane.
    pub settled: Vec<EventOffset>,
    /// The failures of the hook that count.
    pub failures: Vec<Moment>,
    /// Deliveries that have been tried, from `next` on, or in the rest of a lane.
    pub past: Vec<(EventOffset, Past)>,
}

/// An event that waits for its account to become known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HeldEvent {
    /// Its account.
    pub account: AccountId,
    /// Its offset.
    pub offset: EventOffset,
    /// The bytes of its record.
    pub bytes: u64,
    /// The partitions to whose queues the event still has to be offered.
    pub awaited_by: Partitions,
}

/// A ledger record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum LedgerRecord {
    /// An attempt.
    Attempt(AttemptRecord),
    /// A settlement without an attempt.
    Settled {
        /// The queue.
        queue: QueueId,
        /// The event's offset.
        offset: EventOffset,
        /// The reason.
        how: Settlement,
    },
    /// Retention removed events before this queue had read them.
    Gap {
        /// The queue.
        queue: QueueId,
        /// The first lost offset.
        from: EventOffset,
        /// The first offset after the gap.
        to: EventOffset,
    },
    /// The queue's hook was enabled again. Failures before this no longer count, and the deliveries that wait have new
    /// tries.
    Refreshed {
        /// The queue.
        queue: QueueId,
    },
    /// What a revision of a hook sends. Attempts that follow name the revision by its generation.
    HookRevision {
        /// The hook.
        hook: HookId,
        /// The revision's generation.
        generation: u64,
        /// What the revision sends, as `kazoo::sent_document` makes it.
        sends: Map<String, Value>,
    },
    /// A checkpoint of some partitions begins. Events below `router` have been offered to the queues of these partitions,
    /// except the held ones.
    CheckpointBegin {
        /// The router's position.
        router: EventOffset,
        /// The partitions. A queue of these partitions that the checkpoint does not contain has settled everything below
        /// `router`.
        covers: Partitions,
        /// Events below `router` that wait until their account becomes known, in the order of the log.
        held: Vec<HeldEvent>,
    },
    /// A queue of the checkpoint.
    CheckpointQueue(Box<QueueImage>),
    /// The checkpoint is complete.
    CheckpointEnd {
        /// The number of records between this one and the checkpoint's first.
        back: u64,
    },
}

impl LedgerRecord {
    /// How a delivery ended, if this record says that it did.
    #[must_use]
    pub fn fate(&self) -> Option<Fate> {
        match self {
            Self::Attempt(attempt) => attempt.outcome.fate(),
            Self::Settled { how, .. } => Some(how.fate()),
            _ => None,
        }
    }

    /// The offset of the event that an attempt or a settlement is about, read without decoding the rest. `None`: the
    /// record is about something else, or damaged.
    #[must_use]
    pub fn event_of(bytes: &[u8]) -> Option<EventOffset> {
        let mut f = Fields(bytes);
        // All versions of an attempt, and a settlement. Their queue and offset stand in the same place.
        if !matches!(f.byte().ok()?, 1 | 2 | 8 | 10 | 13) {
            return None;
        }
        let (_how, _queue) = (f.byte().ok()?, f.id().ok()?);
        f.offset().ok()
    }

    /// The bytes that the log stores.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(48);
        match self {
            Self::Attempt(attempt) => encode_attempt(&mut out, attempt),
            Self::Settled { queue, offset, how } => {
                out.extend_from_slice(&[kind::SETTLED, *how as u8]);
                put_id(&mut out, queue.0);
                put_offset(&mut out, *offset);
            }
            Self::Gap { queue, from, to } => {
                out.push(kind::GAP);
                put_id(&mut out, queue.0);
                put_offset(&mut out, *from);
                put_offset(&mut out, *to);
            }
            Self::Refreshed { queue } => {
                out.push(kind::REFRESHED);
                put_id(&mut out, queue.0);
            }
            Self::HookRevision { hook, generation, sends } => {
                out.push(kind::HOOK_REVISION);
                put_id(&mut out, hook.0);
                put_number(&mut out, *generation);
                out.extend_from_slice(&serde_json::to_vec(sends).unwrap_or_default());
            }
            Self::CheckpointBegin { router, covers, held } => {
                out.push(kind::CHECKPOINT_BEGIN);
                put_offset(&mut out, *router);
                put_partitions(&mut out, covers);
                for event in held {
                    put_held(&mut out, event, covers);
                }
            }
            Self::CheckpointQueue(image) => encode_image(&mut out, image),
            Self::CheckpointEnd { back } => {
                out.push(kind::CHECKPOINT_END);
                put_number(&mut out, *back);
            }
        }
        out
    }

    /// Decodes what [`Self::encode`] wrote, in this version or an earlier one.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeRecordError> {
        let mut f = Fields(bytes);
        Ok(match f.byte()? {
            kind::ATTEMPT_1 => Self::Attempt(decode_attempt(&mut f, Version::First)?),
            kind::ATTEMPT_2 => Self::Attempt(decode_attempt(&mut f, Version::WithRequest)?),
            kind::ATTEMPT_3 => Self::Attempt(decode_attempt(&mut f, Version::WithPhases)?),
            kind::ATTEMPT_4 => Self::Attempt(decode_attempt(&mut f, Version::WithContent)?),
            kind::HOOK_REVISION => Self::HookRevision {
                hook: HookId(f.id()?),
                generation: f.number()?,
                sends: serde_json::from_slice(f.0)
                    .map_err(|_| DecodeRecordError::Unknown("hook revision"))?,
            },
            kind::SETTLED => {
                let how = match f.byte()? {
                    1 => Settlement::Skipped,
                    2 => Settlement::Dead,
                    3 => Settlement::Expired,
                    _ => return Err(DecodeRecordError::Unknown("settlement")),
                };
                Self::Settled { how, queue: QueueId(f.id()?), offset: f.offset()? }
            }
            kind::GAP => Self::Gap { queue: QueueId(f.id()?), from: f.offset()?, to: f.offset()? },
            kind::CHECKPOINT_BEGIN_1 => {
                let (router, mut held) = (f.offset()?, Vec::new());
                // Still earlier versions wrote nothing here, and ignore what is here.
                while !f.0.is_empty() {
                    let (account, offset, bytes) = (AccountId(f.id()?), f.offset()?, f.number()?);
                    held.push(HeldEvent { account, offset, bytes, awaited_by: Partitions::ALL });
                }
                Self::CheckpointBegin { router, covers: Partitions::ALL, held }
            }
            kind::CHECKPOINT_BEGIN => {
                let (router, covers, mut held) = (f.offset()?, decode_partitions(&mut f)?, Vec::new());
                while !f.0.is_empty() {
                    held.push(decode_held(&mut f, covers)?);
                }
                Self::CheckpointBegin { router, covers, held }
            }
            kind::CHECKPOINT_QUEUE_1 => Self::CheckpointQueue(Box::new(decode_image(&mut f, None)?)),
            kind::CHECKPOINT_QUEUE => {
                let partition = Partition::numbered(f.byte()?);
                Self::CheckpointQueue(Box::new(decode_image(&mut f, Some(partition))?))
            }
            kind::CHECKPOINT_END => Self::CheckpointEnd { back: f.number()? },
            kind::REFRESHED => Self::Refreshed { queue: QueueId(f.id()?) },
            _ => return Err(DecodeRecordError::Unknown("type")),
        })
    }
}

/// The byte that says which partitions wait for a held event: all that the checkpoint covers, or a set that follows.
const BY_ALL: u8 = 0;
const BY_SOME: u8 = 1;

fn put_partitions(out: &mut Vec<u8>, partitions: &Partitions) {
    out.extend_from_slice(&partitions.to_bytes());
}

fn decode_partitions(f: &mut Fields<'_>) -> Result<Partitions, DecodeRecordError> {
    Ok(Partitions::from_bytes(&f.thirty_two()?))
}

fn put_held(out: &mut Vec<u8>, event: &HeldEvent, covers: &Partitions) {
    put_id(out, event.account.0);
    put_offset(out, event.offset);
    put_number(out, event.bytes);
    if event.awaited_by == *covers {
        out.push(BY_ALL);
    } else {
        out.push(BY_SOME);
        put_partitions(out, &event.awaited_by);
    }
}

fn decode_held(f: &mut Fields<'_>, covers: Partitions) -> Result<HeldEvent, DecodeRecordError> {
    let (account, offset, bytes) = (AccountId(f.id()?), f.offset()?, f.number()?);
    let awaited_by = match f.byte()? {
        BY_ALL => covers,
        BY_SOME => decode_partitions(f)?,
        _ => return Err(DecodeRecordError::Unknown("set of partitions")),
    };
    Ok(HeldEvent { account, offset, bytes, awaited_by })
}

fn encode_image(out: &mut Vec<u8>, image: &QueueImage) {
    match image.partition {
        Some(partition) => out.extend_from_slice(&[kind::CHECKPOINT_QUEUE, partition.number()]),
        None => out.push(kind::CHECKPOINT_QUEUE_1),
    }
    put_id(out, image.queue.0);
    put_id(out, image.one_shot.unwrap_or_default().0);
    for n in [image.next.0, image.waiting.cast_unsigned(), image.uncounted_until.0]
        .into_iter()
        .chain(<[u64; 3]>::from(image.totals))
    {
        put_number(out, n);
    }
    put_number(out, image.entries.len() as u64);
    for (offset, lane, past) in &image.entries {
        put_offset(out, *offset);
        put_number(out, lane.0);
        put_past(out, past);
    }
    put_number(out, image.spilled.len() as u64);
    for (lane, from) in &image.spilled {
        put_number(out, lane.0);
        put_offset(out, *from);
    }
    put_number(out, image.settled.len() as u64);
    for offset in &image.settled {
        put_offset(out, *offset);
    }
    put_number(out, image.failures.len() as u64);
    for failure in &image.failures {
        put_number(out, failure.micros());
    }
    put_number(out, image.past.len() as u64);
    for (offset, past) in &image.past {
        put_offset(out, *offset);
        put_past(out, past);
    }
}

fn put_past(out: &mut Vec<u8>, past: &Past) {
    put_number(out, u64::from(past.attempts));
    put_number(out, u64::from(past.tries));
    put_time(out, past.due);
    put_time(out, past.first_failed);
}

fn decode_past(f: &mut Fields<'_>) -> Result<Past, DecodeRecordError> {
    Ok(Past { attempts: f.small()?, tries: f.small()?, due: f.time()?, first_failed: f.time()? })
}

fn decode_image(f: &mut Fields<'_>, partition: Option<Partition>) -> Result<QueueImage, DecodeRecordError> {
    let mut image = QueueImage { queue: QueueId(f.id()?), partition, ..QueueImage::default() };
    let account = AccountId(f.id()?);
    image.one_shot = (account != AccountId::default()).then_some(account);
    (image.next, image.waiting, image.uncounted_until) =
        (f.offset()?, f.number()?.cast_signed(), f.offset()?);
    image.totals = [f.number()?, f.number()?, f.number()?].into();
    for _ in 0..f.number()? {
        image.entries.push((f.offset()?, LaneKey(f.number()?), decode_past(f)?));
    }
    for _ in 0..f.number()? {
        image.spilled.push((LaneKey(f.number()?), f.offset()?));
    }
    for _ in 0..f.number()? {
        image.settled.push(f.offset()?);
    }
    for _ in 0..f.number()? {
        image.failures.push(Moment::from_micros(f.number()?));
    }
    // Older builds did not write `past`.
    let past = if f.0.is_empty() { 0 } else { f.number()? };
    for _ in 0..past {
        image.past.push((f.offset()?, decode_past(f)?));
    }
    Ok(image)
}
