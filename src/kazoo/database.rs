//! Account databases: finds the account in a database name, in all spellings that KAZOO uses.

use crate::model::AccountId;

/// The account of a database: `account%2Fab%2Fcd%2F…`, `account/ab/cd/…`, or the bare id, each with or without a
/// month (`-YYYYMM`); `None` for any other database.
#[must_use]
pub fn database_account(db: &str) -> Option<AccountId> {
    let db = match db.split_at_checked(db.len().checked_sub(7)?) {
        Some((base, month)) if is_month(month) => base,
        _ => db,
    };
    if db.len() == 32 {
        return db.parse().ok();
    }
    let rest = db.strip_prefix("account")?;
    let (rest, ab) = part(rest, 2)?;
    let (rest, cd) = part(rest, 2)?;
    let (rest, tail) = part(rest, 28)?;
    if !rest.is_empty() {
        return None;
    }
    let mut id = String::with_capacity(32);
    for piece in [ab, cd, tail] {
        id.push_str(piece);
    }
    id.parse().ok()
}

/// The database of an account as spelled in routing keys.
#[must_use]
pub fn account_database(account: AccountId) -> String {
    let id = account.to_string();
    let (ab, rest) = id.split_at_checked(2).unwrap_or_default();
    let (cd, tail) = rest.split_at_checked(2).unwrap_or_default();
    format!("account%2F{ab}%2F{cd}%2F{tail}")
}

/// Takes a separator and then `len` bytes off the front.
fn part(text: &str, len: usize) -> Option<(&str, &str)> {
    let text =
        text.strip_prefix('/').or_else(|| text.strip_prefix("%2F")).or_else(|| text.strip_prefix("%2f"))?;
    let (piece, rest) = text.split_at_checked(len)?;
    Some((rest, piece))
}

fn is_month(text: &str) -> bool {
    text.strip_prefix('-')
        .is_some_and(|digits| digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn every_spelling_of_an_account_database_names_its_account() {
        let tail = &ID[4..];
        for db in [
            format!("account%2F01%2F23%2F{tail}"),
            format!("account%2f01%2f23%2f{tail}"),
            format!("account/01/23/{tail}"),
            ID.to_owned(),
            ID.to_uppercase(),
        ] {
            assert_eq!(database_account(&db), ID.parse().ok(), "{db}");
            assert_eq!(database_account(&format!("{db}-202611")), ID.parse().ok(), "{db}");
        }
        assert_eq!(account_database(ID.parse().unwrap()), format!("account%2F01%2F23%2F{tail}"));
    }

    #[test]
    fn other_databases_have_no_account() {
        for db in [
            "",
            "accounts",
            "webhooks",
            "numbers%2F%2B155",
            "account%2F01",
            "account/01/23/xyz",
            "é-20261",
            "account%2F01%2F23%2F456789abcdef0123456789abcdef0",
            "-202611",
            "account%252F01%252F23%252F0",
        ] {
            assert_eq!(database_account(db), None, "{db}");
        }
    }
}
