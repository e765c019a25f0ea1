//! Writes the changes of a plan in batches. A batch is written whole or not at all; if one change makes a batch fail,
//! the batch is written again without it, and the change is reported by name.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::odd::{Odd, OddKind};
use crate::model::{AccountId, EventOffset, LedgerOffset};
use crate::state::{Kind, Mirror, MirroredBy, State, TreeError, WriteError, starts_from_now};

/// Changes of one write.
const BATCH: usize = 128;
/// Bytes of one write.
const BATCH_BYTES: usize = 1 << 20;
/// The private fields that a mirrored document may set.
const PRIVATE: [&str; 10] = [
    "pvt_account_id",
    "pvt_account_db",
    "pvt_tree",
    "pvt_enabled",
    "pvt_reseller",
    "pvt_disabled_message",
    "pvt_kazoo",
    "pvt_md5_auth",
    "pvt_sha1_auth",
    "pvt_stamp",
];

/// The positions at which a new hook starts to get events, and at which the records of its deliveries start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogEnds {
    /// End of the events log.
    pub events: EventOffset,
    /// End of the ledger.
    pub ledger: LedgerOffset,
}

/// The result of writing changes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Number of changes written.
    pub made: usize,
    /// The refused changes, each with the reason.
    pub refused: Vec<Odd>,
}

/// Finds the positions at which new hooks start.
pub trait Begin: Send + Sync {
    /// The ends of the logs now.
    fn places(&self) -> LogEnds;

    /// The first event that waits for an account that was unknown when the event arrived. A new hook of the
    /// account starts there; `None`: it starts at the end.
    fn first_waiting(&self, account: AccountId) -> Option<EventOffset>;
}

/// For a data directory without a running program: no event waits there.
impl Begin for LogEnds {
    fn places(&self) -> LogEnds {
        *self
    }

    fn first_waiting(&self, _account: AccountId) -> Option<EventOffset> {
        None
    }
}

/// Writes changes in their order. An error means that the state refuses all changes; the changes written so far stay.
pub async fn put(
    state: &State,
    by: MirroredBy,
    mut changes: Vec<Mirror>,
    begin: &dyn Begin,
) -> Result<Outcome, WriteError> {
    // Once for all new hooks, and before the first write: a hook must not begin behind an event that arrives while
    // it is written.
    let places = begin.places();
    let mut outcome = Outcome::default();
    changes.retain(|change| {
        let refusal = refused_field(change);
        outcome.refused.extend(refusal.map(|why| Odd::new(OddKind::NotApplied, &change.id, why)));
        refused_field(change).is_none()
    });
    for change in changes.iter_mut().filter(|change| change.kind == Kind::Hook && change.rev.is_none()) {
        let account = change.set.get("pvt_account_id").and_then(Value::as_str);
        let waiting = account.and_then(|id| id.parse().ok()).and_then(|id| begin.first_waiting(id));
        let events = waiting.unwrap_or(places.events);
        change.set.insert("pvt_start_offset".to_owned(), events.into());
        change.set.insert("pvt_birth_events".to_owned(), events.into());
        change.set.insert("pvt_birth_ledger".to_owned(), places.ledger.into());
        change.set.insert("pvt_birth_late".to_owned(), waiting.is_some().into());
    }
    // A hook that a person has disabled and enabled in KAZOO gets the events from then on, as there. A change that is based on
    // an older revision is refused below.
    for change in changes.iter_mut().filter(|change| change.kind == Kind::Hook && change.rev.is_some()) {
        let Some(stored) = state.get(Kind::Hook, &change.id)? else { continue };
        let mut doc = stored.clone();
        doc.extend(change.set.clone());
        if starts_from_now(&stored, &doc) {
            change.set.insert("pvt_start_offset".to_owned(), places.events.into());
        }
    }
    for batch in batches(&changes) {
        match state.mirror(batch, by).await {
            Ok(()) => outcome.made += batch.len(),
            Err(error) => {
                fatal(error)?;
                // One bad document must not keep back the other changes of its batch.
                one_by_one(state, by, batch, &mut outcome).await?;
            }
        }
    }
    Ok(outcome)
}

async fn one_by_one(
    state: &State,
    by: MirroredBy,
    batch: &[Mirror],
    outcome: &mut Outcome,
) -> Result<(), WriteError> {
    for change in batch {
        match state.mirror(std::slice::from_ref(change), by).await {
            Ok(()) => outcome.made += 1,
            Err(error) => {
                let text = error.to_string();
                fatal(error)?;
                outcome.refused.push(Odd::new(OddKind::NotApplied, &change.id, text));
            }
        }
    }
    Ok(())
}

/// Returns an error that every further change would meet too.
fn fatal(error: TreeError) -> Result<(), WriteError> {
    match error {
        TreeError::Write(error @ (WriteError::Full | WriteError::Unavailable(_) | WriteError::Index(_))) => {
            Err(error)
        }
        _ => Ok(()),
    }
}

fn refused_field(change: &Mirror) -> Option<String> {
    if !matches!(change.kind, Kind::Account | Kind::Hook | Kind::User) {
        return Some("only accounts, hooks and users are imported".to_owned());
    }
    let is_refused = |field: &&str| {
        let is_private = field.starts_with('_') || field.starts_with("pvt_");
        is_private && !PRIVATE.contains(field)
    };
    let fields = change.set.keys().chain(&change.unset).map(String::as_str);
    let owner = change.set.get("pvt_account_id").map_or(Some(""), Value::as_str);
    match fields.into_iter().find(is_refused) {
        Some(field) => Some(format!("an import does not set {field}")),
        None if owner.is_none() => Some("the id of its account is invalid".to_owned()),
        None => None,
    }
}

/// Splits the changes into pieces that each fit into one write.
fn batches(changes: &[Mirror]) -> Vec<&[Mirror]> {
    let (mut out, mut rest) = (Vec::new(), changes);
    while !rest.is_empty() {
        let (mut count, mut bytes) = (0, 0);
        for change in rest.iter().take(BATCH) {
            bytes += serde_json::to_vec(&change.set).map_or(0, |text| text.len());
            if count > 0 && bytes > BATCH_BYTES {
                break;
            }
            count += 1;
        }
        let (batch, left) = rest.split_at(count);
        out.push(batch);
        rest = left;
    }
    out
}
