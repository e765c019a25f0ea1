//! Users. The names of an account's users are unique.

use serde_json::{Map, Value};

use super::accounts::TreeError;
use super::document::Kind;
use super::handle::State;
use super::write::{Expect, Write};
use crate::model::AccountId;

type Document = Map<String, Value>;

impl State {
    /// Writes a user of an account and returns it as stored. `None` when another user of the account has the name.
    pub async fn put_user(
        &self,
        account: AccountId,
        id: &str,
        doc: Document,
        expect: Expect,
    ) -> Result<Option<Document>, TreeError> {
        // Nobody else can take the name, or delete the account, between the check and the write.
        let _alone = self.shared.tree.lock().await;
        self.account(account).ok_or(TreeError::Missing(account))?;
        let text = |doc: &Document, field: &str| doc.get(field)?.as_str().map(str::to_lowercase);
        let name = text(&doc, "username");
        let others = self.owned(Kind::User, account)?;
        if others.iter().any(|o| text(o, "_id").as_deref() != Some(id) && text(o, "username") == name) {
            return Ok(None);
        }
        let write = Write { kind: Kind::User, id: id.to_owned(), doc: Some(doc), expect };
        Ok(Some(self.write(vec![write]).await?.into_iter().next().unwrap_or_default()))
    }
}
