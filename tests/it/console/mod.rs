//! The console, and the calls of the API that it stands on.

mod attempt;
mod browser;
mod overview;
mod pages;
mod session;
mod status;
