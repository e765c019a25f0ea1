//! Hooks for the unit tests of the queues.

use crate::model::{Family, Format, Hook, HookRetry, Id, Ordering, Resume, Success, Trigger, Verb};

/// A plain enabled hook of account 1 for `channel_create`.
pub(super) fn hook(id: u128) -> Hook {
    Hook {
        id: Id(id),
        account: Id(1),
        name: "test".into(),
        trigger: Trigger::Family(Family::ChannelCreate),
        uri: "http://127.0.0.1/".into(),
        verb: Verb::Post,
        format: Format::Json,
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
        resume: Resume::Now,
        start_offset: 0,
        one_shot: false,
    }
}
