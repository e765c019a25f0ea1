//! A KAZOO that runs already moves in: its accounts, its zones, its tokens.

mod unknown_accounts;
