//! The console, and the calls of the API that it stands on.

mod browser;
mod pages;
mod session;
mod status;
