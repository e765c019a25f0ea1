//! The console, and the calls of the API that it stands on.

mod attempt;
mod browser;
mod bulk;
mod links;
mod hooks;
mod overview;
mod pages;
mod session;
mod status;
mod verify;
