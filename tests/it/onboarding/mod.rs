//! Moving from a running KAZOO: its accounts, its zones, its tokens, and running beside it up to the cut-over and back.

mod import;
mod shadow;
mod shadow_report;
mod tokens;
mod unknown_accounts;
mod zones;
