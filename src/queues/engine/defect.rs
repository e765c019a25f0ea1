//! Defects: something has happened that cannot happen, and is reported.

use std::fmt::Debug;

use crate::queues::ledger::tally::Tally;

/// Reports a defect of the program. Debug builds stop, and with them tests and the simulation. A release build continues: it
/// counts the defect (`switchhook_queue_defects_total`) and logs the first one.
pub(super) fn defect(tally: &Tally, what: &str, found: impl Debug) {
    debug_assert!(false, "{what}: {found:?}");
    if tally.defects() == 0 {
        tracing::error!(?found, "{what}; this is a defect of the program, please report it");
    }
    tally.note_defect();
}
