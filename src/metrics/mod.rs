//! Numbers for a scrape: plain atomics that the steps count with, and the page that shows them.
//!
//! A step keeps its own counters and hands out what holds them; nothing is registered anywhere, and nothing is
//! global. Counting costs one relaxed atomic addition. `page` alone knows the library behind the format.

mod count;
mod histogram;
mod page;

pub use count::Counter;
pub use histogram::{Histogram, Observed};
pub use page::{CONTENT_TYPE, Family, Label, Labels, Page, Value, labels};
