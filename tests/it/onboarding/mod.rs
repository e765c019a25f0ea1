//! A KAZOO that runs already moves in: its accounts, its zones, its tokens, and the run beside it up to the cut-over and back.

mod import;
mod shadow;
mod shadow_report;
mod tokens;
mod unknown_accounts;
mod zones;
