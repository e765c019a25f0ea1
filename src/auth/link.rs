//! Links that open the console of an account without a password. An admin's portal creates a link, which can be used
//! once within a short time. The session it opens ends with the link, with its user, and with the rights of its
//! creator.

use serde_json::{Map, Value, json};

use super::token::Origin;
use super::{Auth, Caller, IssueError, Role, TokenBasis};
use crate::model::AccountId;
use crate::state::{Expect, IndexError, Kind, Write, WriteError, key_hash, owner, random_id};

/// The longest duration of a session that a link has opened, in seconds: a week.
const LASTS_S: u64 = 604_800;

/// The most links of an account that can still be used, and the most that were used and whose sessions may still run.
const MOST_FRESH: usize = 100;
const MOST_USED: usize = 1000;

/// The number of hex digits of a link's id. The code of the link begins with the id.
const ID_DIGITS: usize = 32;

/// A link to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLink {
    /// The account.
    pub account: AccountId,
    /// The user of the session; `None` for a session without a user.
    pub user: Option<String>,
    /// The role of the session, at most the role of the user.
    pub role: Role,
    /// How long the link can be used, in seconds.
    pub valid_s: u64,
}

/// A link that was created. Its code is shown only once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its id, for revoking it.
    pub id: String,
    /// The code that opens the console.
    pub code: String,
    /// When the link expires, in seconds since 1970.
    pub expires_s: u64,
}

/// Why a link was not created or cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The code is unknown, was used, or has expired.
    #[error("code is not valid")]
    Unknown,
    /// The account is disabled. The link stays good.
    #[error("account is disabled")]
    Disabled,
    /// A session that a link has opened cannot create links.
    #[error("a link cannot make links")]
    ByLink,
    /// The account has no such user.
    #[error("no such user")]
    NoUser,
    /// The account has as many links that can still be used as it may have.
    #[error("the account has {MOST_FRESH} links that can still be used")]
    TooMany,
    /// The state cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The state cannot be read.
    #[error(transparent)]
    Read(#[from] IndexError),
    /// The token could not be made.
    #[error(transparent)]
    Issue(#[from] IssueError),
}

impl Auth {
    /// Creates a link and stores it. Removes the account's links that have expired unused and those whose sessions have ended,
    /// and of too many used ones the oldest, whose session ends with it.
    pub async fn make_link(&self, maker: &Caller, new: NewLink) -> Result<Link, LinkError> {
        let (kind, maker_id, stamp) = match &maker.standing.origin {
            Origin::User { id, stamp } => ("user", id.as_str(), stamp.as_str()),
            Origin::Key { id, stamp } => ("key", id.as_str(), stamp.as_str()),
            // Tokens of KAZOO have no stamp, so the role of KAZOO's user is stored in its place.
            Origin::Foreign { role: Role::Admin } => ("foreign", "", ""),
            Origin::Foreign { role: Role::User } => ("foreign", "", FOREIGN_USER),
            Origin::Link { .. } => return Err(LinkError::ByLink),
        };
        let user = match &new.user {
            Some(id) => {
                let user = self.user(id)?.filter(|user| user.account == new.account);
                Some(user.ok_or(LinkError::NoUser)?)
            }
            None => None,
        };
        let (id, secret) = (random_id().to_string(), format!("{}{}", random_id(), random_id()));
        let (now_s, role) = (self.now_s(), new.role);
        let expires_s = now_s.saturating_add(new.valid_s);
        let doc = json!({
            "pvt_account_id": new.account, "user_id": new.user, "priv_level": role_name(role),
            "expires": expires_s, "used": false, "pvt_ends": expires_s.saturating_add(LASTS_S),
            "pvt_code_hash": key_hash(&secret), "pvt_stamp_of_user": user.map(|user| user.stamp),
            "pvt_maker_account": maker.standing.account, "pvt_maker_kind": kind, "pvt_maker_id": maker_id,
            "pvt_stamp_of_maker": stamp, "pvt_maker_identity": maker.standing.identity,
        });
        // Held until the link is stored, so that links that are made at the same time are counted.
        let _making = self.making_links.lock().await;
        let mut writes = self.over_links(new.account, now_s)?;
        let doc = doc.as_object().cloned();
        writes.push(Write { kind: Kind::Link, id: id.clone(), doc, expect: Expect::Free });
        self.state.write(writes).await?;
        Ok(Link { code: format!("{id}{secret}"), id, expires_s })
    }

    /// Forgets the links of an account that are over, and of too many used ones the oldest.
    fn over_links(&self, account: AccountId, now_s: u64) -> Result<Vec<Write>, LinkError> {
        let all = self.state.owned(Kind::Link, account)?;
        let is_used = |doc: &Map<String, Value>| doc.get("used") == Some(&Value::Bool(true));
        let (used, fresh): (Vec<_>, Vec<_>) = all.iter().partition(|doc| is_used(doc));
        let (mut used, mut over): (Vec<_>, Vec<_>) = used.into_iter().partition(|doc| ends_s(doc) > now_s);
        let (fresh, expired): (Vec<_>, Vec<_>) =
            fresh.into_iter().partition(|doc| number(doc, "expires") > now_s);
        if fresh.len() >= MOST_FRESH {
            return Err(LinkError::TooMany);
        }
        used.sort_by_key(|doc| ends_s(doc));
        let too_many = used.len().saturating_sub(MOST_USED);
        over.extend(expired.into_iter().chain(used.into_iter().take(too_many)));
        Ok(over.into_iter().map(|doc| forget(&text(doc, "_id"))).collect())
    }

    /// Uses a code, which works once. Returns the account, the user and a token.
    pub async fn redeem_link(&self, code: &str) -> Result<(AccountId, Option<String>, String), LinkError> {
        let (id, secret) = code.split_at_checked(ID_DIGITS).ok_or(LinkError::Unknown)?;
        let mut doc = self.state.get(Kind::Link, id)?.ok_or(LinkError::Unknown)?;
        let account = owner(&doc).ok_or(LinkError::Unknown)?;
        let is_known = text(&doc, "pvt_code_hash") == key_hash(secret);
        let is_fresh = doc.get("used") == Some(&Value::Bool(false)) && number(&doc, "expires") > self.now_s();
        // One error for unknown, used and expired codes, so that a guess reveals nothing.
        if !is_known || !is_fresh || self.role_by_link(id, account)?.is_none() {
            return Err(LinkError::Unknown);
        }
        if self.state.account(account).is_some_and(|account| !account.enabled) {
            return Err(LinkError::Disabled);
        }
        let user = doc.get("user_id").and_then(Value::as_str).map(str::to_owned);
        let expect = Expect::Rev(text(&doc, "_rev"));
        doc.insert("used".into(), true.into());
        let write = Write { kind: Kind::Link, id: id.to_owned(), doc: Some(doc), expect };
        // If two requests use the same code at once, the second finds the document changed.
        self.state.write(vec![write]).await.map_err(|error| {
            if error.is_conflict() { LinkError::Unknown } else { LinkError::Write(error) }
        })?;
        let token = self.issue_for_link(account, user.clone(), id)?;
        Ok((account, user, token))
    }

    /// The present role of a link's token; `None` when the link, its user or the rights of its creator no longer exist.
    pub(super) fn role_by_link(&self, id: &str, account: AccountId) -> Result<Option<Role>, IndexError> {
        let doc = self.state.get(Kind::Link, id)?.filter(|doc| owner(doc) == Some(account));
        let Some(doc) = doc.filter(|doc| ends_s(doc) > self.now_s()) else { return Ok(None) };
        let Some(maker) = maker(&doc) else { return Ok(None) };
        let may =
            self.role_of(&maker)? == Some(Role::Admin) && self.covers(maker.account, Role::Admin, account);
        let role = if text(&doc, "priv_level") == role_name(Role::Admin) { Role::Admin } else { Role::User };
        let user = doc.get("user_id").and_then(Value::as_str);
        Ok(match user.filter(|_| may) {
            None => may.then_some(role),
            Some(id) => {
                let user = self.user(id)?.filter(|user| user.account == account);
                let user = user.filter(|user| user.stamp == text(&doc, "pvt_stamp_of_user"));
                user.map(|user| if user.role == Role::Admin { role } else { Role::User })
            }
        })
    }
}

/// Stored instead of a creator's stamp when the creator is a KAZOO user without admin rights.
const FOREIGN_USER: &str = "user";

/// The rights of the link's creator.
fn maker(doc: &Map<String, Value>) -> Option<TokenBasis> {
    let (id, stamp) = (text(doc, "pvt_maker_id"), text(doc, "pvt_stamp_of_maker"));
    let origin = match text(doc, "pvt_maker_kind").as_str() {
        "user" => Origin::User { id, stamp },
        "key" => Origin::Key { id, stamp },
        "foreign" => {
            let role = if stamp == FOREIGN_USER { Role::User } else { Role::Admin };
            Origin::Foreign { role }
        }
        _ => return None,
    };
    let account = text(doc, "pvt_maker_account").parse().ok()?;
    Some(TokenBasis { account, origin, identity: text(doc, "pvt_maker_identity") })
}

fn forget(id: &str) -> Write {
    Write { kind: Kind::Link, id: id.to_owned(), doc: None, expect: Expect::Any }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Admin => "admin",
        Role::User => "user",
    }
}

fn ends_s(doc: &Map<String, Value>) -> u64 {
    number(doc, "pvt_ends")
}

fn number(doc: &Map<String, Value>, field: &str) -> u64 {
    doc.get(field).and_then(Value::as_u64).unwrap_or(0)
}

fn text(doc: &Map<String, Value>, field: &str) -> String {
    doc.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}
