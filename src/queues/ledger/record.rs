//! The ledger's records: what became of each delivery, in a few bytes each, and the checkpoints between them.
//!
//! Attempts are in `attempt_record.rs`.

use serde::Serialize;
use serde_json::{Map, Value};

pub use super::attempt_record::{AttemptRecord, Ending, Outcome};
use super::attempt_record::{Version, decode_attempt, encode_attempt};
use super::codec::{DecodeRecordError, Fields, put_id, put_number};
use crate::model::{AccountId, HookId, Id};
use crate::queues::queue::entry::Past;
use crate::queues::queue::lane::LaneKey;
use crate::queues::rules::fate::{Fate, Totals};
use crate::queues::rules::partitions::{Partition, Partitions};

/// The log tag of a checkpoint's records but the last; all others carry their hook's tag.
pub const CHECKPOINT_TAG: u64 = 0;
/// The log tag of the record that completes a checkpoint.
pub const CHECKPOINT_END_TAG: u64 = 1;

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

/// One queue as a checkpoint holds it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct QueueImage {
    /// The queue.
    pub queue: Id,
    /// Its partition; `None` in checkpoints of earlier versions, which do not say it.
    pub partition: Option<Partition>,
    /// The account of a one-shot queue, which no document names.
    pub one_shot: Option<Id>,
    /// First offset not looked at.
    pub next: u64,
    /// Wanted and unsettled, as counted (below zero while settlements are ahead of the count).
    pub waiting: i64,
    /// Events up to here are not in `waiting` yet.
    pub uncounted_until: u64,
    /// How many have ended so far.
    pub totals: Totals,
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

/// An event that waits for its account to become known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HeldEvent {
    /// The account that it names.
    pub account: AccountId,
    /// Where it stands in the log.
    pub offset: u64,
    /// Its record's bytes.
    pub bytes: u64,
    /// The partitions whose queues have not been offered it.
    pub awaited_by: Partitions,
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
    /// A checkpoint of some partitions begins; events below `router` have been offered to their queues, but for those
    /// that are held.
    CheckpointBegin {
        /// The router's position.
        router: u64,
        /// The partitions: a queue of theirs that the checkpoint does not name has nothing left to do below `router`.
        covers: Partitions,
        /// Events below it that wait for an account that is not known, in the order of the log.
        held: Vec<HeldEvent>,
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
    /// How it says that a delivery ended, if it says so.
    #[must_use]
    pub fn fate(&self) -> Option<Fate> {
        match self {
            Self::Attempt(attempt) => attempt.outcome.fate(),
            Self::Settled { how, .. } => Some(how.fate()),
            _ => None,
        }
    }

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
            Self::CheckpointBegin { router, covers, held } => {
                out.push(11);
                put_number(&mut out, *router);
                put_partitions(&mut out, covers);
                for event in held {
                    put_held(&mut out, event, covers);
                }
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
            10 => Self::Attempt(decode_attempt(&mut f, Version::WithPhases)?),
            13 => Self::Attempt(decode_attempt(&mut f, Version::WithAnswer)?),
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
            4 => {
                let (router, mut held) = (f.number()?, Vec::new());
                // Earlier versions wrote nothing here, and do not read what is here.
                while !f.0.is_empty() {
                    let (account, offset, bytes) = (f.id()?, f.number()?, f.number()?);
                    held.push(HeldEvent { account, offset, bytes, awaited_by: Partitions::ALL });
                }
                Self::CheckpointBegin { router, covers: Partitions::ALL, held }
            }
            11 => {
                let (router, covers, mut held) = (f.number()?, decode_partitions(&mut f)?, Vec::new());
                while !f.0.is_empty() {
                    held.push(decode_held(&mut f, covers)?);
                }
                Self::CheckpointBegin { router, covers, held }
            }
            5 => Self::CheckpointQueue(Box::new(decode_image(&mut f, None)?)),
            12 => {
                let partition = Partition::numbered(f.byte()?);
                Self::CheckpointQueue(Box::new(decode_image(&mut f, Some(partition))?))
            }
            6 => Self::CheckpointEnd { back: f.number()? },
            7 => Self::Refreshed { queue: f.id()? },
            _ => return Err(DecodeRecordError::Unknown("type")),
        })
    }
}

/// The sets of partitions by which events are held: a checkpoint's own needs no more than this byte.
const BY_ALL: u8 = 0;
const BY_SOME: u8 = 1;

fn put_partitions(out: &mut Vec<u8>, partitions: &Partitions) {
    out.extend_from_slice(&partitions.to_bytes());
}

fn decode_partitions(f: &mut Fields<'_>) -> Result<Partitions, DecodeRecordError> {
    Ok(Partitions::from_bytes(&f.thirty_two()?))
}

fn put_held(out: &mut Vec<u8>, event: &HeldEvent, covers: &Partitions) {
    put_id(out, event.account);
    put_number(out, event.offset);
    put_number(out, event.bytes);
    if event.awaited_by == *covers {
        out.push(BY_ALL);
    } else {
        out.push(BY_SOME);
        put_partitions(out, &event.awaited_by);
    }
}

fn decode_held(f: &mut Fields<'_>, covers: Partitions) -> Result<HeldEvent, DecodeRecordError> {
    let (account, offset, bytes) = (f.id()?, f.number()?, f.number()?);
    let awaited_by = match f.byte()? {
        BY_ALL => covers,
        BY_SOME => decode_partitions(f)?,
        _ => return Err(DecodeRecordError::Unknown("set of partitions")),
    };
    Ok(HeldEvent { account, offset, bytes, awaited_by })
}

fn encode_image(out: &mut Vec<u8>, image: &QueueImage) {
    match image.partition {
        Some(partition) => out.extend_from_slice(&[12, partition.number()]),
        None => out.push(5),
    }
    put_id(out, image.queue);
    put_id(out, image.one_shot.unwrap_or_default());
    for n in [image.next, image.waiting.cast_unsigned(), image.uncounted_until]
        .into_iter()
        .chain(<[u64; 3]>::from(image.totals))
    {
        put_number(out, n);
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
    for n in [
        u64::from(past.attempts),
        u64::from(past.tries),
        past.due_us.unwrap_or(0),
        past.first_failed_us.unwrap_or(0),
    ] {
        put_number(out, n);
    }
}

fn decode_past(f: &mut Fields<'_>) -> Result<Past, DecodeRecordError> {
    let (attempts, tries, due_us, first_failed_us) = (f.small()?, f.small()?, f.time()?, f.time()?);
    Ok(Past { attempts, tries, due_us, first_failed_us })
}

fn decode_image(f: &mut Fields<'_>, partition: Option<Partition>) -> Result<QueueImage, DecodeRecordError> {
    let mut image = QueueImage { queue: f.id()?, partition, ..QueueImage::default() };
    let account = f.id()?;
    image.one_shot = (account != Id::default()).then_some(account);
    (image.next, image.waiting, image.uncounted_until) =
        (f.number()?, f.number()?.cast_signed(), f.number()?);
    image.totals = [f.number()?, f.number()?, f.number()?].into();
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
