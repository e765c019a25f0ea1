//! Test tools: the program, a private RabbitMQ, an HTTP receiver with changing behaviour, a publisher that behaves as
//! KAZOO does, and waiting without sleeping.
//!
//! Everything cleans up when dropped, uses only free ports of 127.0.0.1, and may run many times at once.

pub mod app;
pub mod broker;
pub mod browser;
pub mod config_file;
pub mod dns;
pub mod gate;
pub mod kazoo;
pub mod look;
pub mod port;
pub mod process;
pub mod publisher;
pub mod raw;
pub mod receiver;
mod receiver_http;
pub mod schema;
pub mod switch;
pub mod wait;
pub mod websocket;
