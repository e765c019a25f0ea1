//! Tenants apart: every route of the table, with every method, with the tokens of others.

use warp::http::Method;

use super::*;
use crate::auth::Holder;
use crate::http::admin_paths;
use crate::http::route::{Whose, patterns, route};
use crate::state::Kind;

/// The master account, the own account, its parent, sibling and child, and the ids of the own account's things.
struct Family {
    test: TestApi,
    own: String,
    sibling: String,
    child: String,
    parent: String,
    hook: String,
    key: String,
    user: String,
}

impl Family {
    async fn new() -> Self {
        let test = TestApi::start().await;
        let (parent, _) = test.account("parent").await;
        let below = async |above: &str, name: &str| {
            let made = test.call("PUT", &format!("/v2/accounts/{above}"), json!({"name": name})).await;
            made.body["data"]["id"].as_str().unwrap().to_owned()
        };
        let (own, sibling) = (below(&parent, "own").await, below(&parent, "sibling").await);
        let child = below(&own, "child").await;
        let hook = test.hook(&own, "h").await;
        let made = async |what: &str, data: Value| {
            let made = test.call("PUT", &format!("/v2/accounts/{own}/{what}"), data).await;
            made.body["data"]["id"].as_str().unwrap().to_owned()
        };
        let key = made("api_keys", json!({})).await;
        let user = made(
            "users",
            json!({"username": "alice", "first_name": "A", "last_name": "B", "password": "correct horse"}),
        )
        .await;
        Self { own: own.clone(), sibling, child, parent, hook, key, user, test }
    }

    /// A path below an account, with ids of the own account.
    fn path(&self, account: &str, pattern: &str) -> String {
        let words = pattern.split('/').map(|word| match word {
            "{H}" => &self.hook,
            "{K}" => &self.key,
            "{U}" => &self.user,
            "{F}" => "webhooks_object",
            _ if word.starts_with('{') => "00000000000000000000000000000000",
            word => word,
        });
        [&format!("/v2/accounts/{account}"), "/"].concat() + &words.collect::<Vec<_>>().join("/")
    }

    async fn ask(&self, token: &str, method: &Method, path: &str) -> Answered {
        let data = if method == Method::GET { Value::Null } else { json!({}) };
        self.test.call_as(token, method.as_str(), path, data).await
    }

    /// An expired token of the own account's key.
    fn expired(&self) -> String {
        let hour_ago = Clock::new(|| (NOW_S - 3600) * 1_000_000);
        let state = self.test.api.state.clone();
        let key = state.api_key_with_id(&self.key).unwrap().unwrap();
        let auth = Auth::new(state, hour_ago, Tasks::new(), auth::AuthOptions::default());
        auth.issue(&Holder::Key(key)).unwrap()
    }

    /// Tokens that nobody issued: modified, unsigned, and not a token at all.
    async fn forged(&self) -> [String; 3] {
        let good = self.test.key_of(&self.own).await;
        let (head, signature) = good.rsplit_once('.').unwrap();
        let changed: String = signature.chars().rev().collect();
        let (_, claims) = head.split_once('.').unwrap();
        // {"alg":"none","typ":"JWT"}
        [
            format!("{head}.{changed}"),
            format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{claims}."),
            "x".to_owned(),
        ]
    }
}

/// The account's routes with their methods. Deleting the account comes last.
fn of_accounts() -> Vec<(&'static str, Method)> {
    let patterns = patterns().filter(|(whose, _)| *whose == Whose::Accounts);
    let mut all: Vec<_> = patterns
        .flat_map(|(_, pattern)| {
            let segments =
                [&["account"], &*pattern.split('/').filter(|s| !s.is_empty()).collect::<Vec<_>>()].concat();
            let segments: Vec<_> = segments.into_iter().map(str::to_owned).collect();
            let known = route(&segments).unwrap_or_else(|| panic!("{pattern} has no route"));
            known.resource.methods().iter().map(move |method| (pattern, method.clone())).collect::<Vec<_>>()
        })
        .collect();
    all.sort_by_key(|(pattern, method)| pattern.is_empty() && *method == Method::DELETE);
    assert!(all.len() > 40, "the table is smaller than expected: {all:?}");
    all
}

#[tokio::test]
async fn no_route_of_an_account_is_open_to_its_siblings_or_children_and_every_one_to_its_parent() {
    let family = Family::new().await;
    let token = async |account: &str| family.test.key_of(account).await;
    let (sibling, child) = (token(&family.sibling).await, token(&family.child).await);
    let parent = token(&family.parent).await;
    for (pattern, method) in of_accounts() {
        let path = family.path(&family.own, pattern);
        for (whose, token) in [("sibling", &sibling), ("child", &child)] {
            let answer = family.ask(token, &method, &path).await;
            assert_eq!(answer.refusal().0, 403, "{method} {path} with the {whose}'s token: {answer:?}");
            assert_eq!(answer.refusal().1, "forbidden");
        }
        let answer = family.ask(&parent, &method, &path).await;
        // Resources that only a KAZOO has are refused with their own reason for every caller.
        let is_kept =
            !answer.body["data"]["message"].as_str().is_some_and(|m| m.contains("does not route calls"));
        assert!(
            !is_kept || ![401, 403, 405].contains(&answer.status),
            "{method} {path} with the parent's token: {answer:?}"
        );
    }
}

#[tokio::test]
async fn no_route_is_open_to_an_expired_or_a_forged_token_or_without_one() {
    let family = Family::new().await;
    let (expired, forged) = (family.expired(), family.forged().await);
    let mut asked: Vec<(String, Method)> = of_accounts()
        .into_iter()
        .map(|(pattern, method)| (family.path(&family.own, pattern), method))
        .collect();
    asked.extend(
        of_accounts().into_iter().map(|(pattern, method)| (format!("/v2/account/{pattern}"), method)),
    );
    for (_, pattern) in patterns().filter(|(whose, _)| *whose != Whose::Accounts) {
        let segments: Vec<_> = pattern.split('/').map(str::to_owned).collect();
        let methods = route(&segments).unwrap().resource.methods();
        asked.extend(methods.iter().map(|method| (format!("/v2/{pattern}"), method.clone())));
    }
    for (name, what) in admin_paths::ROUTES {
        asked.extend(what.methods().iter().map(|method| (format!("/admin/{name}"), method.clone())));
    }
    for (path, method) in asked {
        let answer = family.ask(&expired, &method, &path).await;
        assert_eq!(answer.refusal(), (401, "invalid credentials", &json!({})), "{method} {path}");
        let segments: Vec<_> = path.split('/').skip(2).map(str::to_owned).collect();
        let is_public = path.starts_with("/v2/") && route(&segments).is_some_and(|r| r.is_public(&method));
        for token in &forged {
            let answer = family.ask(token, &method, &path).await;
            if is_public && !token.contains('.') {
                assert_ne!(answer.status, 401, "{method} {path}: what is no token counts as none");
                continue;
            }
            assert_eq!(
                (answer.refusal().0, answer.refusal().1),
                (401, "invalid_credentials"),
                "{method} {path}"
            );
        }
        let body = if method == Method::GET { "" } else { "{\"data\":{}}" };
        let answer = family.test.raw(method.as_str(), &path, body, &[]).await;
        assert_eq!(answer.status == 401, !is_public, "{method} {path} without a token: {answer:?}");
    }
}

#[tokio::test]
async fn under_its_own_path_an_account_finds_nothing_of_another() {
    let family = Family::new().await;
    let sibling = family.test.key_of(&family.sibling).await;
    for (pattern, method) in of_accounts() {
        if !["{H}", "{K}", "{U}"].iter().any(|id| pattern.contains(id)) {
            continue;
        }
        let path = family.path(&family.sibling, pattern);
        let answer = family.ask(&sibling, &method, &path).await;
        // As in KAZOO, the list of attempts of an unknown hook is empty.
        let is_empty = answer.status == 200 && answer.body["data"] == json!([]);
        assert!(answer.status == 404 || is_empty, "{method} {path}: {answer:?}");
    }
    let doc = family.test.api.state.get(Kind::Hook, &family.hook).unwrap().unwrap();
    assert!(!crate::state::is_deleted(&doc));
}

#[tokio::test]
async fn the_operators_endpoints_are_open_only_to_the_master_account() {
    let family = Family::new().await;
    let parent = family.test.key_of(&family.parent).await;
    for (name, what) in admin_paths::ROUTES {
        for method in what.methods() {
            let path = format!("/admin/{name}");
            assert_eq!(family.ask(&parent, method, &path).await.status, 403, "{method} {path}");
            let answer = family.ask(&family.test.token, method, &path).await;
            assert!(![401, 403, 404, 405].contains(&answer.status), "{method} {path}: {answer:?}");
        }
    }
}
