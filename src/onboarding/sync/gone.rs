//! Deletes what is missing in a KAZOO.
//!
//! Promise: KAZOO confirms each deletion separately, and the number of deletions within an hour is limited.

use super::round::{Failed, Round, text};
use crate::model::DocumentId;
use crate::onboarding::here::Here;
use crate::onboarding::source::Gone;
use crate::state::{Kind, MirroredBy, TreeError};

impl Round {
    /// Deletes missing documents after KAZOO has confirmed each one separately. Returns why a document was kept.
    pub(super) async fn delete(
        &mut self,
        gone: Vec<(Kind, DocumentId)>,
        now_s: u64,
    ) -> Result<Option<String>, Failed> {
        let mut kept = None;
        for kind in [Kind::Hook, Kind::Account] {
            let mut ids: Vec<_> = gone.iter().filter(|(of, _)| *of == kind).map(|(_, id)| *id).collect();
            if ids.is_empty() {
                continue;
            }
            let state = self.state.clone();
            let mirrored = self.tasks.spawn_blocking(move || Here::mirrored(&state, kind));
            let all = mirrored.await.map_err(text)?.map_err(text)?.len();
            if let Err(most) = self.allowance.check(kind, ids.len(), all, now_s) {
                let what = if kind == Kind::Hook { "hooks" } else { "accounts" };
                kept = Some(format!(
                    "{} {what} are missing in KAZOO, and at most {most} may be deleted within an hour; none of them was \
                     deleted. If that is right, raise kazoo.sync.max_gone_percent or run switchhook import kazoo --max-gone",
                    ids.len()
                ));
                continue;
            }
            // Descendants first: an account with descendants cannot be deleted.
            ids.sort_by_key(|id| {
                std::cmp::Reverse(self.state.account(id.as_account()).map_or(0, |account| account.tree.len()))
            });
            for id in ids {
                // One that stays does not keep the others.
                kept = self.delete_one(kind, id, now_s).await?.or(kept);
            }
        }
        Ok(kept)
    }

    async fn delete_one(&mut self, kind: Kind, id: DocumentId, now_s: u64) -> Result<Option<String>, Failed> {
        // Missing in a list is not proof of a deletion: a list can be cut or lag behind. So each document is requested by its id.
        let owner = if kind == Kind::Hook { self.owner_here(id.as_hook()) } else { None };
        match self.source.gone(kind, id, owner).await.map_err(text)? {
            Gone::Yes => {}
            Gone::No => {
                return Ok(Some(format!(
                    "{id} is missing in KAZOO's list, and KAZOO, asked for it alone, does not say that it is deleted; it stays"
                )));
            }
            Gone::OnlyHalf => {
                return Ok(Some(format!(
                    "the account {id} is missing in the database 'accounts', and its own database is there; it stays (sup \
                     kapps_maintenance ensure_aggregate_accounts)"
                )));
            }
        }
        match self.state.mirror_gone(kind, &id.to_string(), MirroredBy::Sync).await {
            Ok(()) => {
                self.world.forget(kind, id);
                self.allowance.count(kind);
                self.changed(|status| status.deleted += 1, now_s);
                Ok(None)
            }
            Err(TreeError::HasDescendants(_)) => Ok(Some(format!(
                "the account {id} is deleted in KAZOO; it stays while accounts stand below it here"
            ))),
            Err(error) => Err(text(error)),
        }
    }
}
