//! Tests of which paths have which resource.

use super::route::{Resource, route};

fn of(path: &str) -> Option<Resource> {
    let segments: Vec<_> = path.split('/').map(str::to_owned).collect();
    route(&segments).map(|route| route.resource)
}

#[test]
fn attempts_of_an_account_are_not_taken_for_a_hook() {
    assert_eq!(of("accounts/a/webhooks/attempts"), Some(Resource::Attempts));
    assert_eq!(of("account/webhooks/h/attempts"), Some(Resource::HookAttempts("h".into())));
    assert_eq!(of("accounts/a/webhooks/h"), Some(Resource::Hook("h".into())));
}

#[test]
fn unknown_paths_have_no_route() {
    for path in ["", "nothing", "accounts/a/webhooks/h/nothing", "accounts/a/b", "webhooks/x"] {
        assert_eq!(of(path), None, "{path}");
    }
}
