//! Attacks on the built program, through its configuration and its listeners.
//!
//! One file for each kind of fault. Each test is named after the promise that holds against the attack, and the
//! attacker chooses what an attacker can choose: ids, sizes, names and the order of events.

mod bounds;
mod branches;
mod broker;
mod configuration;
mod directory;
mod doors;
mod files;
mod identity;
mod names;
mod parts;
mod permits;
mod rights;
mod secrets;
mod shares;
mod trail;
