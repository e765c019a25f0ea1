//! The management API: KAZOO's envelope, errors and shapes over one listener.
//!
//! Every refusal is KAZOO's error body with the right status and names the field; nothing panics.

mod ports;

pub use ports::{
    Answer, AttemptsError, Events, Fault, Health, NewEvent, Queues, Readiness, ReplayError, SubmitError,
};
