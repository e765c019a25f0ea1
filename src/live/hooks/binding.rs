//! The bindings for webhooks and for events as they are logged. No binding of a KAZOO starts with `webhook.`, so the two kinds cannot be confused.

use serde_json::{Map, Value, json};

use super::scopes::{Kind, Scope};
use crate::kazoo::PatternError;
use crate::live::subscriptions::Reach;
use crate::model::{AccountId, EventId, HookId};

/// `webhook.attempt.*`, `webhook.queue.HOOK_ID`, `webhook.event.*` and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::live) struct HookBinding {
    kind: Kind,
    /// `None`: all hooks of the account.
    hook: Option<HookId>,
}

impl HookBinding {
    /// Parses a client's binding; `None`: it is not a binding for webhooks.
    pub(in crate::live) fn parse(binding: &str) -> Option<Result<Self, PatternError>> {
        let segments: Vec<&str> = binding.split('.').collect();
        let ["webhook", rest @ ..] = segments.as_slice() else { return None };
        let malformed = || {
            let text = format!("invalid format for webhook subscription : {}", rest.join(", "));
            Err(PatternError::Invalid(text))
        };
        let [kind, hook] = *rest else { return Some(malformed()) };
        let kind = match kind {
            "attempt" => Kind::Attempt,
            "queue" => Kind::Queue,
            "event" if hook == "*" || hook == "#" => Kind::Event,
            "event" => return Some(malformed()),
            other => return Some(Err(PatternError::Invalid(format!("event {other} not supported")))),
        };
        Some(match hook {
            "*" | "#" => Ok(Self { kind, hook: None }),
            id => id.parse().map_or_else(|_| malformed(), |hook| Ok(Self { kind, hook: Some(hook) })),
        })
    }
}

impl HookBinding {
    /// Whether only admins may subscribe. The list of an account's events is for admins, too.
    pub(in crate::live) fn is_for_admins(self) -> bool {
        self.kind == Kind::Event
    }
}

/// A binding of a session.
#[derive(Debug, Clone)]
pub(in crate::live) struct Bound {
    /// The client's spelling.
    pub(in crate::live) text: String,
    pub(in crate::live) reach: Reach,
    of: HookBinding,
}

impl Bound {
    pub(super) fn scope(&self) -> Scope {
        Scope { kind: self.of.kind, account: self.reach.account(), hook: self.of.hook }
    }

    /// The frame for news that the binding covers.
    pub(super) fn frame(&self, news: &News) -> String {
        let News { about, account, ref data } = *news;
        let kind = about.kind();
        let key = |account: &str, about: &str| format!("webhook.{}.{account}.{about}", kind.id());
        let any = |id: Option<String>| id.unwrap_or_else(|| "*".to_owned());
        let asked = key(
            &any(self.reach.account().map(|account| account.to_string())),
            &any(self.of.hook.map(|hook| hook.to_string())),
        );
        let frame = json!({
            "action": "event", "subscribed_key": self.text, "subscription_key": asked, "name": kind.id(),
            "routing_key": key(&account.to_string(), &about.id()), "data": data,
        });
        frame.to_string()
    }

    /// The frame that says that news were lost.
    pub(super) fn missed(&self) -> String {
        json!({"action": "event", "subscribed_key": self.text, "name": "missed", "data": {}}).to_string()
    }
}

/// The bindings for webhooks of one session, oldest first.
#[derive(Debug, Default)]
pub(in crate::live) struct HookBindings {
    bound: Vec<Bound>,
}

impl HookBindings {
    pub(in crate::live) fn add(&mut self, reach: Reach, text: String, of: HookBinding) {
        if !self.contains(reach, &text) {
            self.bound.push(Bound { text, reach, of });
        }
    }

    pub(in crate::live) fn contains(&self, reach: Reach, text: &str) -> bool {
        self.bound.iter().any(|bound| bound.reach == reach && bound.text == text)
    }

    pub(in crate::live) fn all(&self) -> &[Bound] {
        &self.bound
    }

    /// Removes bindings, and returns them in the client's spelling.
    pub(in crate::live) fn remove(&mut self, mut leaves: impl FnMut(Reach, &str) -> bool) -> Vec<String> {
        self.bound.extract_if(.., |bound| leaves(bound.reach, &bound.text)).map(|bound| bound.text).collect()
    }
}

/// What a piece of news is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// An attempt of this hook.
    Attempt(HookId),
    /// The queue of this hook.
    Queue(HookId),
    /// This event.
    Event(EventId),
}

impl About {
    fn kind(self) -> Kind {
        match self {
            Self::Attempt(_) => Kind::Attempt,
            Self::Queue(_) => Kind::Queue,
            Self::Event(_) => Kind::Event,
        }
    }

    fn hook(self) -> Option<HookId> {
        match self {
            Self::Attempt(hook) | Self::Queue(hook) => Some(hook),
            Self::Event(_) => None,
        }
    }

    fn id(self) -> String {
        match self {
            Self::Attempt(hook) | Self::Queue(hook) => hook.to_string(),
            Self::Event(event) => event.to_string(),
        }
    }
}

/// A piece of news of an account.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct News {
    pub(super) about: About,
    pub(super) account: AccountId,
    pub(super) data: Map<String, Value>,
}

impl News {
    /// The scopes that cover it.
    pub(super) fn scopes(&self) -> impl Iterator<Item = Scope> + use<> {
        let Self { about, account, .. } = *self;
        let hooks = about.hook().map(Some).into_iter().chain([None]);
        hooks.flat_map(move |hook| {
            [Some(account), None].map(|account| Scope { kind: about.kind(), account, hook })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<Result<HookBinding, String>> {
        HookBinding::parse(text).map(|parsed| parsed.map_err(|error| error.to_string()))
    }

    #[test]
    fn a_text_that_starts_with_webhook_is_a_binding_for_webhooks() {
        let hook = HookId(7);
        assert_eq!(parsed("webhook.attempt.*"), Some(Ok(HookBinding { kind: Kind::Attempt, hook: None })));
        assert_eq!(
            parsed(&format!("webhook.queue.{hook}")),
            Some(Ok(HookBinding { kind: Kind::Queue, hook: Some(hook) }))
        );
        for text in ["call.*.*", "object.*.webhook", "*.*.webhook.*", "webhooks.queue.*", "", "*"] {
            assert_eq!(parsed(text), None, "{text}");
        }
        for (text, error) in [
            ("webhook", "invalid format for webhook subscription : "),
            ("webhook.queue", "invalid format for webhook subscription : queue"),
            ("webhook.queue.x", "invalid format for webhook subscription : queue, x"),
            ("webhook.queue.*.*", "invalid format for webhook subscription : queue, *, *"),
            ("webhook.dead.*", "event dead not supported"),
            ("webhook.event.x", "invalid format for webhook subscription : event, x"),
        ] {
            assert_eq!(parsed(text), Some(Err(error.to_owned())), "{text}");
        }
    }

    #[test]
    fn a_binding_gets_only_news_of_its_account_and_hook() {
        let news = |account: u128, hook: u128| News {
            about: About::Queue(HookId(hook)),
            account: AccountId(account),
            data: Map::new(),
        };
        let bound = |reach: Reach, text: &str| Bound {
            text: text.to_owned(),
            reach,
            of: HookBinding::parse(text).unwrap().unwrap(),
        };
        let of_hook = format!("webhook.queue.{}", HookId(5));
        for (reach, text, gets) in [
            (Reach::One(AccountId(1)), "webhook.queue.*", [true, true, false]),
            (Reach::One(AccountId(1)), of_hook.as_str(), [true, false, false]),
            (Reach::All, "webhook.queue.*", [true, true, true]),
            (Reach::All, of_hook.as_str(), [true, false, true]),
            (Reach::One(AccountId(1)), "webhook.attempt.*", [false; 3]),
            (Reach::All, "webhook.event.*", [false; 3]),
        ] {
            let got = [news(1, 5), news(1, 6), news(2, 5)]
                .map(|news| news.scopes().any(|scope| scope == bound(reach, text).scope()));
            assert_eq!(got, gets, "{reach:?} {text}");
        }
    }
}
