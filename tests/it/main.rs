//! The promises of the program, tested from the outside.

mod cut_disk;
mod log_damage;
mod log_format;
mod log_model;
mod log_power;
mod open_log;
