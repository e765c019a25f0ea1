//! Moving from a running KAZOO: its accounts, its zones, its tokens, and running beside it up to the cut-over and back.

mod differences;
mod first_reading;
mod guide;
mod import;
mod load;
mod monster_ui;
mod resume;
mod shadow;
mod shadow_report;
mod sup;
mod sync;
mod tokens;
mod unknown_accounts;
mod zone_messages;
mod zones;
