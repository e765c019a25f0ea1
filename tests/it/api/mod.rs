//! The management API through the whole program, one file per resource.

mod accounts;
