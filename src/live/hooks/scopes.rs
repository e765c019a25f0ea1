//! The hooks that sessions watch, and what they watch of them.

use std::collections::BTreeSet;

use crate::model::{AccountId, HookId};

/// A kind of news.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::live) enum Kind {
    /// Its attempts.
    Attempt,
    /// Changes of its queue's state.
    Queue,
    /// The account's events. These concern no single hook.
    Event,
}

impl Kind {
    pub(super) fn id(self) -> &'static str {
        match self {
            Self::Attempt => "attempt",
            Self::Queue => "queue",
            Self::Event => "event",
        }
    }
}

/// The hooks that a binding covers; `None` means any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Scope {
    pub(super) kind: Kind,
    pub(super) account: Option<AccountId>,
    pub(super) hook: Option<HookId>,
}

/// The hooks that all sessions together watch for one kind of news.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scopes {
    of: BTreeSet<(Option<AccountId>, Option<HookId>)>,
}

impl Scopes {
    pub(super) fn of(kind: Kind, all: impl Iterator<Item = Scope>) -> Self {
        let of_kind = all.filter(|scope| scope.kind == kind).map(|scope| (scope.account, scope.hook));
        Self { of: of_kind.collect() }
    }

    /// Whether no session watches anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// Whether a session watches this hook.
    #[must_use]
    pub fn covers(&self, account: AccountId, hook: HookId) -> bool {
        [(Some(account), Some(hook)), (Some(account), None), (None, Some(hook)), (None, None)]
            .iter()
            .any(|scope| self.of.contains(scope))
    }

    /// The accounts whose events sessions watch; `None` if a session watches all accounts.
    #[must_use]
    pub fn accounts(&self) -> Option<Vec<AccountId>> {
        self.of.iter().map(|(account, _)| *account).collect()
    }

    /// The watched hooks, if each is named; `None` if a session watches all hooks of an account.
    #[must_use]
    pub fn named(&self) -> Option<Vec<HookId>> {
        self.of.iter().map(|(_, hook)| *hook).collect()
    }
}
