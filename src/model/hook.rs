//! A hook in the form that queues and delivery use: which events to deliver, where and how.

use std::fmt;

use serde_json::{Map, Value};

use super::{AccountId, EventOffset, Family, HookId, LedgerOffset};

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

/// The order of a hook's deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ordering {
    /// In order within each subject (call, document, fax); different subjects in parallel. The default.
    Subject,
    /// All deliveries one after another.
    Hook,
    /// No order, as fast as possible.
    None,
}

/// The statuses that count as delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Success {
    /// KAZOO's rule: 200, and 201 for PUT.
    Kazoo,
    /// Any 2xx.
    Any2xx,
}

/// What happens to the events of a period in which a person had disabled the hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resume {
    /// The events are skipped; the default. So are the deliveries that were already waiting when the hook was disabled.
    Now,
    /// The events, and what was already waiting, are delivered once the hook is enabled again.
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
    /// The end of validity (seconds since 1970) of a secret that a newer one has replaced; `None`: no end.
    pub until_s: Option<u64>,
}

impl fmt::Debug for Secret {
    /// Never shows the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("until_s", &self.until_s).finish_non_exhaustive()
    }
}

/// The ends of the logs when a hook was created. Records before them belong to an earlier hook with the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Birth {
    /// The ledger's end: records of the hook start at this offset.
    pub ledger: LedgerOffset,
    /// The events log's end, or the first event that had waited for the hook's account.
    pub events: EventOffset,
    /// Whether the hook begins at an event that had waited for its account, so before the log's end of then.
    pub is_late: bool,
}

/// A hook; made from its document by `kazoo::hook_from_document`.
#[expect(clippy::struct_excessive_bools, reason = "each is a member of the document under its own name")]
#[derive(Debug, Clone, PartialEq)]
pub struct Hook {
    /// Hook id; also the key of the hook's queue.
    pub id: HookId,
    /// The owning account.
    pub account: AccountId,
    /// The document's `_rev`, which changes with every write; empty without a document.
    pub revision: Box<str>,
    /// When the hook was disabled, in Gregorian seconds; `None` while it is enabled.
    pub disabled_at_s: Option<u64>,
    /// Name, as shown.
    pub name: String,
    /// The events the hook asks for.
    pub trigger: Trigger,
    /// The receiver.
    pub uri: String,
    /// HTTP method.
    pub verb: Verb,
    /// Encoding of the payload.
    pub format: Format,
    /// Total tries, 1 to 5, from the document's `retries` (KAZOO's clamp).
    pub tries: u16,
    /// Whether the hook is enabled.
    pub enabled: bool,
    /// Why the program disabled the hook; `None` while the hook is enabled, or when a person disabled it.
    pub disable_reason: Option<String>,
    /// Whether events of accounts below match too.
    pub include_subaccounts: bool,
    /// Whether loopback legs match.
    pub include_internal_legs: bool,
    /// Members added to the payload; also contains the family's filter values
    /// (`docs/kazoo/webhooks.md#assembling-a-payload`). Boxed, because most hooks have none.
    pub custom_data: Option<Box<Map<String, Value>>>,
    /// Undocumented payload filter of KAZOO (`docs/kazoo/webhooks.md#which-hooks-match`).
    pub modifiers: Option<Box<Map<String, Value>>>,
    /// Order of deliveries.
    pub ordering: Ordering,
    /// Signing secrets, newest first; empty: unsigned.
    pub secrets: Vec<Secret>,
    /// Extra request headers.
    pub headers: Vec<(String, String)>,
    /// The statuses that count as a success.
    pub success: Success,
    /// Retry schedule.
    pub retry: HookRetry,
    /// Total time of one attempt; `None`: `delivery.request_timeout_ms`.
    pub timeout_ms: Option<u64>,
    /// Most attempts at once; `None`: `delivery.per_hook_in_flight`.
    pub max_in_flight: Option<u32>,
    /// Most attempts started per second; `None`: limited only by the attempts at once.
    pub rate_limit_per_s: Option<u32>,
    /// Whether a person paused the hook. Nothing is attempted, and all events are kept.
    pub paused: bool,
    /// What happens to the events of a disabled period.
    pub resume: Resume,
    /// The first offset that the hook may get: the log's end when the hook was created.
    pub start_offset: EventOffset,
    /// The ends of the logs when the hook was created.
    pub birth: Birth,
    /// Whether this is a callflow's one-shot hook, whose receiver comes from the event itself.
    pub one_shot: bool,
}

impl Hook {
    /// An enabled hook with KAZOO's defaults (`docs/kazoo/webhooks.md#the-hook-document`) and without our extensions;
    /// it starts at offset 0.
    #[must_use]
    pub fn new(id: HookId, account: AccountId, trigger: Trigger, uri: String) -> Self {
        Self {
            id,
            account,
            revision: Box::default(),
            disabled_at_s: None,
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
            start_offset: EventOffset::FIRST,
            birth: Birth::default(),
            one_shot: false,
        }
    }

    /// The number of times the document has been written, including this revision; 0 without a document.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.revision.split_once('-').and_then(|(generation, _)| generation.parse().ok()).unwrap_or(0)
    }

    /// Total tries of one delivery: the hook's `retry.max_attempts`, or else `tries`; at least 1.
    #[must_use]
    pub fn max_tries(&self) -> u16 {
        self.retry.max_attempts.unwrap_or(self.tries).max(1)
    }
}
