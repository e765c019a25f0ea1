//! Metrics: plain atomics that the parts of the program count with, and the page for a scrape.
//!
//! Each part of the program owns its counters and shares them with the scrape; there is no registry and no global
//! state. Counting costs one relaxed atomic addition. Only `page` knows the library for the format.

mod count;
mod histogram;
mod page;

pub use count::Counter;
pub use histogram::{Histogram, Observed};
pub use page::{CONTENT_TYPE, Family, Label, Labels, Page, Value, labels};
