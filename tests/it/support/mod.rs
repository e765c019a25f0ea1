//! What the tests stand on: the program itself, a private RabbitMQ, an HTTP receiver with moods, a publisher
//! that behaves as KAZOO does, and waiting without sleeping.
//!
//! Everything cleans up when dropped, uses free ports of 127.0.0.1 only, and may run many times at once.

pub mod app;
pub mod broker;
pub mod config_file;
pub mod dns;
pub mod gate;
pub mod kazoo;
pub mod look;
pub mod process;
pub mod publisher;
pub mod raw;
pub mod receiver;
mod receiver_http;
pub mod schema;
pub mod switch;
pub mod wait;
pub mod websocket;
