//! Translates errors of the steps into refusals.

use serde_json::json;

use super::ApiError;
use crate::auth::{IssueError, PasswordError, RevokeError, TokenError};
use crate::http::ports::{AttemptsError, ReplayError, SubmitError};
use crate::state::{IndexError, LimitError, TreeError, WriteError};

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Malformed | TokenError::Invalid => Self::invalid_credentials(),
            TokenError::Expired => Self::expired(),
            TokenError::Unavailable(reason) => Self::unavailable(&reason),
        }
    }
}

impl From<PasswordError> for ApiError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => Self::too_many(),
            PasswordError::Hash(_) | PasswordError::Index(_) => Self::unavailable(&error),
        }
    }
}

impl From<RevokeError> for ApiError {
    fn from(error: RevokeError) -> Self {
        match error {
            RevokeError::TooMany(_) => Self::too_many(),
            RevokeError::Write(error) => error.into(),
        }
    }
}

impl From<IssueError> for ApiError {
    fn from(error: IssueError) -> Self {
        Self::unavailable(&error)
    }
}

impl From<IndexError> for ApiError {
    fn from(error: IndexError) -> Self {
        Self::unavailable(&error)
    }
}

impl From<WriteError> for ApiError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Conflict { .. } => Self::conflict(),
            WriteError::IdTaken { id } => {
                let message =
                    "the id collides with another id in use, or with one derived from it; choose another id";
                Self::field("id", "unique", &json!({"message": message, "value": id}))
            }
            WriteError::Missing { id } => Self::unknown(&id),
            WriteError::NoOwner(account) => Self::unknown(&account.to_string()),
            WriteError::TooLarge(reason) => {
                let data = json!({"data": {"maxSize": {"message": reason}}});
                Self::new(413, "validation error", data)
            }
            WriteError::Limit(limit) => limit.into(),
            WriteError::Full => Self::no_room(),
            WriteError::Unavailable(_) | WriteError::Index(_) => Self::unavailable(&error),
        }
    }
}

impl From<LimitError> for ApiError {
    fn from(limit: LimitError) -> Self {
        let message = limit.to_string();
        match limit {
            LimitError::TooLarge { max, .. } => Self::new(
                413,
                "validation error",
                json!({"data": {"maxSize": {"message": message, "target": max}}}),
            ),
            LimitError::TooMany { what, max } => {
                Self::field(what, "maxItems", &json!({"message": message, "target": max}))
            }
            LimitError::TooDeep { max, .. } => {
                Self::field("tree", "maxItems", &json!({"message": message, "target": max}))
            }
            LimitError::TenantFull { max } => {
                Self::field("tenant", "maxSize", &json!({"message": message, "target": max}))
            }
            LimitError::TooFast { wait } => Self::too_fast(&message, wait),
        }
    }
}

impl From<TreeError> for ApiError {
    fn from(error: TreeError) -> Self {
        match error {
            TreeError::Missing(id) => Self::unknown(&id.to_string()),
            TreeError::RealmTaken(realm) => {
                let details = json!({"message": "account realm is already in use", "cause": realm});
                Self::field("realm", "unique", &details)
            }
            TreeError::HasDescendants(id) => Self::has_descendants(&id.to_string()),
            TreeError::Circle(id) => {
                let message = "an account cannot be moved below itself";
                Self::field("to", "error", &json!({"message": message, "cause": id}))
            }
            TreeError::Root => Self::forbidden(),
            TreeError::Write(error) => error.into(),
        }
    }
}

impl From<AttemptsError> for ApiError {
    fn from(error: AttemptsError) -> Self {
        match error {
            AttemptsError::Busy => Self::too_many(),
            AttemptsError::Unavailable(reason) => Self::unavailable(&reason),
            AttemptsError::Damaged(reason) => {
                tracing::warn!(reason, "a client requested a damaged record");
                Self::damaged()
            }
        }
    }
}

impl From<ReplayError> for ApiError {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::NoHook => Self::not_found(),
            ReplayError::TooMany(_) | ReplayError::Busy => Self::too_many(),
            ReplayError::Limit(limit) => limit.into(),
            ReplayError::EmptyRange { from, until } => {
                let message = format!("the range ends at offset {until} and starts at {from}");
                Self::field(
                    "until_offset",
                    "minimum",
                    &json!({"message": message, "target": from, "value": until}),
                )
            }
            ReplayError::Unavailable(reason) => Self::unavailable(&reason),
        }
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Full => Self::no_room(),
            SubmitError::OverShare => {
                Self::new(507, "insufficient storage", json!({"message": error.to_string()}))
            }
            SubmitError::Busy => Self::too_many(),
            SubmitError::TooLarge { index, max, .. } => Self::too_large(&format!("data.{index}"), max),
            SubmitError::KeyUnderWay => Self::new(409, "conflict", json!({"message": error.to_string()})),
            SubmitError::KeyOfOthers => {
                Self::new(422, "unprocessable_entity", json!({"message": error.to_string()}))
            }
            SubmitError::Unavailable(reason) => Self::unavailable(&reason),
        }
    }
}
