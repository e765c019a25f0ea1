//! A hook: what an account wants delivered, where and how, in the form that the queues and the delivery use.

use std::fmt;

use serde_json::{Map, Value};

use super::{AccountId, Family, HookId};

/// Which events a hook asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// Every family, each event once.
    All,
    /// One family.
    Family(Family),
}

/// HTTP method of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Payload in the query string.
    Get,
    /// Payload in the body.
    Post,
    /// Payload in the body; 201 counts as success too.
    Put,
}

impl Verb {
    /// The value of `http_verb`.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
            Self::Put => "put",
        }
    }
}

/// Body encoding; ignored for GET.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `application/json`.
    Json,
}

/// In which order a hook's deliveries may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ordering {
    /// In order within each subject (call, document, fax); subjects side by side. The default.
    Subject,
    /// One after another, all of them.
    Hook,
    /// As fast as they go.
    None,
}

/// Which statuses count as delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Success {
    /// KAZOO's rule: 200, and 201 for PUT.
    Kazoo,
    /// Any 2xx.
    Any2xx,
}

/// What happens with the events of a time in which a person had the hook disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resume {
    /// They are skipped; the default.
    Now,
    /// They are delivered once the hook is enabled again.
    Held,
}

/// A hook's own retry schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HookRetry {
    /// Total tries; `None`: from `retries`.
    pub max_attempts: Option<u16>,
    /// First delay in ms; `None`: `retry.initial_ms`.
    pub initial_ms: Option<u64>,
    /// Largest delay in ms; `None`: `retry.max_ms`.
    pub max_ms: Option<u64>,
}

/// A signing secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// The key's bytes.
    pub key: Vec<u8>,
    /// Until when it signs (seconds since 1970), when a newer one has taken its place; `None`: for good.
    pub until_s: Option<u64>,
}

impl fmt::Debug for Secret {
    /// Never shows the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("until_s", &self.until_s).finish_non_exhaustive()
    }
}

/// Where the logs ended when a hook was created. What is before belongs to a former hook of the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Birth {
    /// The ledger's end: the first offset that a record of the hook may have.
    pub ledger: u64,
    /// The events log's end.
    pub events: u64,
}

/// A hook, ready for use; made from its document by `kazoo::hook_from_document`.
#[expect(clippy::struct_excessive_bools, reason = "each is a member of the document under its own name")]
#[derive(Debug, Clone, PartialEq)]
pub struct Hook {
    /// Its id, and its queue's key.
    pub id: HookId,
    /// The owner.
    pub account: AccountId,
    /// The document's `_rev`, which changes with every write; empty when there is no document.
    pub revision: Box<str>,
    /// When the document was written last, in Gregorian seconds; 0: there is no document.
    pub modified_s: u64,
    /// Name, as shown.
    pub name: String,
    /// Which events.
    pub trigger: Trigger,
    /// Where to.
    pub uri: String,
    /// How.
    pub verb: Verb,
    /// In which encoding.
    pub format: Format,
    /// Total tries, 1 to 5, from the document's `retries` (KAZOO's clamp).
    pub tries: u16,
    /// Whether it is served.
    pub enabled: bool,
    /// Why the program disabled it; `None` while enabled or when a person did.
    pub disable_reason: Option<String>,
    /// Whether events of descendants match.
    pub include_subaccounts: bool,
    /// Whether loopback legs match.
    pub include_internal_legs: bool,
    /// Copied over the payload; holds the family's filter values too (`docs/kazoo/webhooks.md#assembling-a-payload`).
    pub custom_data: Option<Map<String, Value>>,
    /// Undocumented payload filter of KAZOO (`docs/kazoo/webhooks.md#which-hooks-match`).
    pub modifiers: Option<Map<String, Value>>,
    /// Order of deliveries.
    pub ordering: Ordering,
    /// Signing secrets, newest first; empty: unsigned.
    pub secrets: Vec<Secret>,
    /// Extra request headers.
    pub headers: Vec<(String, String)>,
    /// Which statuses are a success.
    pub success: Success,
    /// Retry schedule.
    pub retry: HookRetry,
    /// Total time of one attempt; `None`: `delivery.request_timeout_ms`.
    pub timeout_ms: Option<u64>,
    /// Attempts at once; `None`: `delivery.per_hook_in_flight`.
    pub max_in_flight: Option<u32>,
    /// Attempts started in a second at most; `None`: as many as the limits of attempts at once allow.
    pub rate_limit_per_s: Option<u32>,
    /// Whether a person paused it: nothing is attempted, everything is kept.
    pub paused: bool,
    /// What happens with events of a disabled time.
    pub resume: Resume,
    /// The first offset that this hook may get: the log's end when it was created.
    pub start_offset: u64,
    /// Where the logs ended when it was created.
    pub birth: Birth,
    /// A one-shot hook of a callflow: its target comes from the event itself.
    pub one_shot: bool,
}

impl Hook {
    /// An enabled hook with KAZOO's defaults (`docs/kazoo/webhooks.md#the-hook-document`) and none of our extensions,
    /// from offset 0 on.
    #[must_use]
    pub fn new(id: HookId, account: AccountId, trigger: Trigger, uri: String) -> Self {
        Self {
            id,
            account,
            revision: Box::default(),
            modified_s: 0,
            name: String::new(),
            trigger,
            uri,
            verb: Verb::Post,
            format: Format::Form,
            tries: 2,
            enabled: true,
            disable_reason: None,
            include_subaccounts: false,
            include_internal_legs: true,
            custom_data: None,
            modifiers: None,
            ordering: Ordering::Subject,
            secrets: Vec::new(),
            headers: Vec::new(),
            success: Success::Kazoo,
            retry: HookRetry::default(),
            timeout_ms: None,
            max_in_flight: None,
            rate_limit_per_s: None,
            paused: false,
            resume: Resume::Now,
            start_offset: 0,
            birth: Birth::default(),
            one_shot: false,
        }
    }

    /// How often the document has been written, this revision included; 0: there is no document.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.revision.split_once('-').and_then(|(generation, _)| generation.parse().ok()).unwrap_or(0)
    }

    /// Total tries of one delivery: the hook's own `retry.max_attempts`, else `tries`; at least 1.
    #[must_use]
    pub fn max_tries(&self) -> u16 {
        self.retry.max_attempts.unwrap_or(self.tries).max(1)
    }
}
