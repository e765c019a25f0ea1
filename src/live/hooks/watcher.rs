//! The bindings for webhooks of one session, and the frames that it gets.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::binding::{Bound, HookBindings, News};
use super::scopes::Scope;
use super::watch::{Batch, Seat, Watch};
use crate::model::AccountId;

/// The receiver of one session. It receives nothing until the session watches something.
#[derive(Debug)]
pub(in crate::live) struct Watcher {
    watch: Arc<Watch>,
    seat: Option<Seat>,
    scopes: Vec<Scope>,
    /// The bindings of each scope, so that the cost of a piece of news does not depend on the number of bindings.
    bound: BTreeMap<Scope, Vec<Bound>>,
    news: Option<Receiver<Batch>>,
}

impl Watcher {
    pub(in crate::live) fn new(watch: Arc<Watch>) -> Self {
        Self { watch, seat: None, scopes: Vec::new(), bound: BTreeMap::new(), news: None }
    }

    /// Takes a seat unless the session has one. The error is the limit that was reached.
    pub(in crate::live) fn enter(&mut self, tenant: Option<AccountId>) -> Result<(), usize> {
        if self.seat.is_none() {
            self.seat = Some(self.watch.seat(tenant)?);
        }
        Ok(())
    }

    /// Follows changed bindings. When it returns, the session gets all later news.
    pub(in crate::live) async fn follow(&mut self, bindings: &HookBindings) {
        let scopes: Vec<Scope> = bindings.all().iter().map(Bound::scope).collect();
        if scopes == self.scopes {
            return;
        }
        let grows = scopes.iter().any(|scope| !self.bound.contains_key(scope));
        self.bound.clear();
        for bound in bindings.all() {
            self.bound.entry(bound.scope()).or_default().push(bound.clone());
        }
        if scopes.is_empty() {
            (self.news, self.seat) = (None, None);
        } else if self.news.is_none() {
            self.news = Some(self.watch.news());
        }
        // After the receiver exists: the first news of the new scopes may come at once.
        self.watch.change(&self.scopes, &scopes);
        self.scopes = scopes;
        // The client's reply waits for this. What happened before the reply is in the API, and what happens after it
        // is news.
        if grows {
            self.watch.covered().await;
        }
    }

    /// The next frames. Dropping the future before it resolves loses nothing.
    pub(in crate::live) async fn next(&mut self) -> Vec<Utf8Bytes> {
        loop {
            let Some(news) = &mut self.news else { return std::future::pending().await };
            let frames: Vec<Utf8Bytes> = match news.recv().await {
                Ok(Some(batch)) => batch.iter().flat_map(|news| self.frames(news)).collect(),
                Ok(None) | Err(RecvError::Lagged(_)) => {
                    // Nobody knows which bindings the lost news were for.
                    self.bound.values().flatten().map(|bound| bound.missed().into()).collect()
                }
                // The sender lives as long as the watch, which this holds.
                Err(RecvError::Closed) => return std::future::pending().await,
            };
            if !frames.is_empty() {
                return frames;
            }
        }
    }

    fn frames(&self, news: &News) -> Vec<Utf8Bytes> {
        let bound = news.scopes().filter_map(|scope| self.bound.get(&scope)).flatten();
        bound.map(|bound| bound.frame(news).into()).collect()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if !self.scopes.is_empty() {
            self.watch.change(&self.scopes, &[]);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value};

    use super::super::binding::{About, HookBinding};
    use super::super::watch::RING;
    use super::*;
    use crate::live::subscriptions::Reach;
    use crate::model::HookId;

    const ACCOUNT: AccountId = AccountId(1);

    /// A session that watches all attempts of an account.
    async fn watcher(watch: &Arc<Watch>) -> Watcher {
        let mut bindings = HookBindings::default();
        let of = HookBinding::parse("webhook.attempt.*").unwrap().unwrap();
        bindings.add(Reach::One(ACCOUNT), "webhook.attempt.*".to_owned(), of);
        let mut watcher = Watcher::new(Arc::clone(watch));
        watch.cover(u64::MAX);
        watcher.follow(&bindings).await;
        watcher
    }

    fn attempt(account: AccountId) -> Arc<[News]> {
        let news = News { about: About::Attempt(HookId(5)), account, data: Map::new() };
        [news].into()
    }

    async fn names(watcher: &mut Watcher) -> Vec<String> {
        let frames = watcher.next().await;
        let name = |frame: &Utf8Bytes| {
            let frame: Value = serde_json::from_str(frame).unwrap();
            frame["name"].as_str().unwrap().to_owned()
        };
        frames.iter().map(name).collect()
    }

    #[tokio::test]
    async fn a_session_that_does_not_read_is_told_that_it_missed_something_and_holds_up_nobody() {
        let watch = Arc::new(Watch::new());
        let (mut slow, mut quick) = (watcher(&watch).await, watcher(&watch).await);
        for _ in 0..=RING {
            watch.tell(Some(attempt(ACCOUNT)));
            assert_eq!(names(&mut quick).await, ["attempt"]);
        }
        assert_eq!(names(&mut slow).await, ["missed"]);
        assert_eq!(names(&mut slow).await, ["attempt"], "and it continues with the events in the ring");
    }

    #[tokio::test]
    async fn news_of_other_accounts_make_no_frame() {
        let watch = Arc::new(Watch::new());
        let mut session = watcher(&watch).await;
        watch.tell(Some(attempt(AccountId(2))));
        watch.tell(Some(attempt(ACCOUNT)));
        watch.tell(None);
        assert_eq!(names(&mut session).await, ["attempt"]);
        assert_eq!(names(&mut session).await, ["missed"], "more was left out than a session can ask for");
    }

    #[tokio::test]
    async fn the_watching_sessions_of_a_tenant_are_limited_and_leave_room_for_other_tenants() {
        let watch = Arc::new(Watch::new());
        let mut held = Vec::new();
        let most = loop {
            let mut watcher = Watcher::new(Arc::clone(&watch));
            match watcher.enter(Some(ACCOUNT)) {
                Ok(()) => held.push(watcher),
                Err(most) => break most,
            }
        };
        assert_eq!(held.len(), most);
        assert_eq!(Watcher::new(Arc::clone(&watch)).enter(Some(AccountId(2))), Ok(()));
        held.pop();
        assert_eq!(Watcher::new(Arc::clone(&watch)).enter(Some(ACCOUNT)), Ok(()));
    }
}
