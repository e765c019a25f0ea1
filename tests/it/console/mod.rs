//! The console, and the calls of the API that it uses.

mod actions;
mod attempt;
mod browser;
mod bulk;
mod demo;
mod event;
mod hooks;
mod inbox;
mod large;
mod left;
mod links;
mod overview;
mod pages;
mod rights;
mod session;
mod status;
mod verify;
mod watching;
