//! Shows how a receiver verifies a request: the headers, and code in several languages.

use maud::{Markup, html};

use super::hook::HookPage;
use crate::console::format::counted;
use crate::console::json::{flag, items, number, text};
use crate::console::reply::Problem;
use serde_json::Value;

/// The languages by the API's names, with their names for people.
const LANGUAGES: [(&str, &str); 5] =
    [("python", "Python"), ("javascript", "JavaScript"), ("php", "PHP"), ("go", "Go"), ("rust", "Rust")];

/// The tab.
pub(super) async fn show(shown: &HookPage<'_>) -> Result<Markup, Problem> {
    let path = ["v2", "accounts", shown.account, "webhooks", shown.id, "verify"];
    let response = shown.session.get(&path, &[]).await?;
    let data = response.data();
    let chosen = shown.session.query("language");
    let chosen = LANGUAGES.iter().find(|(name, _)| *name == chosen).map_or("python", |(name, _)| name);
    let code = data.get("code").map_or("", |code| text(code, chosen));
    let headers: Vec<&str> = items(data, "headers").iter().filter_map(Value::as_str).collect();
    Ok(html! {
        section #verify {
            @if flag(data, "signed") {
                p {
                    "Every request is signed (Standard Webhooks) in the headers "
                    @for header in &headers { code { (header) } " " }
                    "with the hook's secret. "
                    @if let Some(valid) = number(data, "valid_secrets").filter(|valid| *valid > 1) {
                        (counted(valid, "secret")) " are valid now, because one was changed lately; a request is signed with each."
                    }
                }
            } @else {
                div.problem {
                    p { "This hook has no secret, so its requests are not signed and nobody can tell whether they are genuine." }
                    @if shown.session.is_admin { p { a.button.main href=(shown.path("/edit#secret")) { "Make a secret" } } }
                }
            }
            nav.tabs aria-label="Language" {
                @for (name, label) in LANGUAGES {
                    a href=(shown.path(&format!("?tab=verify&language={name}"))) aria-current=[(*name == *chosen).then_some("page")] { (label) }
                }
            }
            p.hint { "The code reads the secret from its environment. The secret was shown when it was made; a new one can be made under Edit." }
            div.copied {
                button.quiet data-copy="code" hidden { "Copy" }
                pre #code tabindex="0" { (code) }
            }
        }
    })
}
