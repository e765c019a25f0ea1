//! Creates and changes a hook: the form with its explanations, a sample of an event, the secret that is shown once,
//! and the answer to a test.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{Markup, html};
use serde_json::{Map, Value, json};
use warp::http::Method;

use super::attempt::message;
use super::{Sent, account_of, hook_form};
use crate::console::charts::in_words;
use crate::console::format::duration;
use crate::console::json::{number, text};
use crate::console::parts;
use crate::console::reply::{Outcome, Problem, View};
use crate::console::session::Session;
use crate::kazoo;
use crate::model::{AccountId, Family, Hook, HookId, Trigger};

/// The purpose of the form.
struct Editor<'a> {
    session: &'a Session<'a>,
    account: &'a str,
    /// The hook to change; `None`: a new hook.
    hook: Option<&'a str>,
    values: Value,
    faults: Vec<(String, String)>,
    preview: Option<Markup>,
}

/// `accounts/{A}/hooks/new`
pub(in crate::console) async fn new(session: &Session<'_>, account: &str) -> Result<View, Problem> {
    let editor = Editor {
        session,
        account,
        hook: None,
        values: hook_form::fresh(),
        faults: Vec::new(),
        preview: None,
    };
    page(&editor).await
}

/// `accounts/{A}/hooks/{H}/edit`
pub(in crate::console) async fn edit(
    session: &Session<'_>,
    account: &str,
    hook: &str,
) -> Result<View, Problem> {
    let values = session.get(&["v2", "accounts", account, "webhooks", hook], &[]).await?.data().clone();
    let editor = Editor { session, account, hook: Some(hook), values, faults: Vec::new(), preview: None };
    page(&editor).await
}

/// `POST accounts/{A}/hooks/new` and `…/{H}/edit`
pub(in crate::console) async fn save(
    session: &Session<'_>,
    account: &str,
    hook: Option<&str>,
    sent: &Sent,
) -> Result<Outcome, Problem> {
    let mut document = hook_form::document(sent);
    let values = Value::Object(document.clone());
    let mut editor = Editor { session, account, hook, values, faults: Vec::new(), preview: None };
    if sent.text("do") == "preview" {
        if let Some(hook) = hook {
            // Without the hook there is nothing to edit. Nothing else here asks for it.
            session.get(&["v2", "accounts", account, "webhooks", hook], &[]).await?;
        }
        editor.preview = Some(preview(&document));
        return Ok(Outcome::View(page(&editor).await?));
    }
    let secret = secret(sent.text("secret"));
    match (&secret, sent.text("secret")) {
        (Some(secret), _) => drop(document.insert("secret".into(), secret.as_str().into())),
        (None, "remove") => drop(document.insert("secret".into(), Value::Null)),
        _ => {}
    }
    let path = ["v2", "accounts", account, "webhooks"];
    let response = if let Some(hook) = hook {
        session.send(Method::PATCH, &[&path[..], &[hook]].concat(), document.into()).await
    } else {
        document.retain(|_, value| !value.is_null());
        session.send(Method::PUT, &path, document.into()).await
    };
    match response {
        Ok(response) => {
            let id = text(response.data(), "id").to_owned();
            let Some(secret) = secret else {
                let done = if hook.is_some() { "saved" } else { "created" };
                return Ok(Outcome::See(format!("/console/accounts/{account}/hooks/{id}?done={done}")));
            };
            Ok(Outcome::View(
                with_secret(session, account, &id, text(response.data(), "name"), &secret).await?,
            ))
        }
        Err(problem) if problem.status == 400 && !problem.fields.is_empty() => {
            editor.faults = problem.fields;
            Ok(Outcome::View(page(&editor).await?))
        }
        Err(problem) => Err(problem),
    }
}

/// Makes a new secret if one was requested: 32 random bytes in the form of Standard Webhooks.
fn secret(choice: &str) -> Option<String> {
    let bytes: [u8; 32] = rand::random();
    (choice == "make").then(|| format!("whsec_{}", STANDARD.encode(bytes)))
}

async fn page(editor: &Editor<'_>) -> Result<View, Problem> {
    let Editor { session, account, hook, values, faults, preview } = editor;
    let named = account_of(session, account).await?;
    let hooks = format!("/console/accounts/{account}/hooks");
    let (title, action) = match hook {
        Some(hook) => ("Edit", format!("{hooks}/{hook}/edit")),
        None => ("New hook", format!("{hooks}/new")),
    };
    let mut trail = vec![("Hooks".to_owned(), hooks.clone())];
    if let Some(hook) = hook {
        trail.push((text(values, "name").to_owned(), format!("{hooks}/{hook}")));
    }
    Ok(View {
        title: title.into(),
        here: "hooks",
        account: Some(named),
        trail,
        live: None,
        body: html! {
            @if !faults.is_empty() {
                div.problem role="alert" { p { "Nothing was saved. Mend these fields and send the form again:" } (parts::faults(faults)) }
            }
            form.editor method="post" action=(action) {
                (parts::token(session))
                div {
                    (hook_form::fields(values, faults))
                    (secret_choice(hook.is_some(), values))
                    div.actions {
                        button.main name="do" value="save" { @if hook.is_some() { "Save" } @else { "Make the hook" } }
                        button name="do" value="preview" formnovalidate { "Show a payload" }
                        a.button href=(if let Some(hook) = hook { format!("{hooks}/{hook}") } else { hooks.clone() }) { "Cancel" }
                    }
                }
                @if let Some(preview) = preview { aside.card #preview { h2 { "What your system would get" } (preview) } }
            }
            @if let Some(hook) = hook { (parts::deletion(session, &format!("{hooks}/{hook}/delete"), "Delete this hook", "Yes, delete it. What waits for it is not delivered.")) }
        },
    })
}

fn secret_choice(is_change: bool, values: &Value) -> Markup {
    let has_one = !text(values, "secret").is_empty();
    html! {
        fieldset.card {
            legend { "Signature" }
            div.field {
                label for="secret" { "Secret" }
                select #secret name="secret" aria-describedby="secret-hint" {
                    @if is_change { option value="keep" { @if has_one { "Keep the present one" } @else { "None, as now" } } }
                    option value="make" { @if has_one { "Make a new one; the old one stays good for a day" } @else { "Make one" } }
                    @if !is_change { option value="none" { "None: requests are not signed" } }
                    @if has_one { option value="remove" { "Remove it: requests are not signed any more" } }
                }
                p.hint #secret-hint {
                    "With a secret, every request is signed (Standard Webhooks), so your system can tell that it comes from here. \
                     The secret is shown once, right after it is made."
                }
            }
        }
    }
}

/// A sample of the chosen event, in the chosen format.
fn preview(document: &Map<String, Value>) -> Markup {
    let chosen = |field: &str| document.get(field).and_then(Value::as_str).unwrap_or_default();
    // "all" has no sample.
    let event = if chosen("hook") == "all" { "channel_create" } else { chosen("hook") };
    let sample = Family::from_id(event).and_then(|family| {
        let trigger = Trigger::Family(family);
        let mut hook = Hook::new(HookId(0), AccountId::default(), trigger, String::new());
        hook.custom_data = document.get("custom_data").and_then(Value::as_object).cloned().map(Box::new);
        kazoo::sample_payload(&hook)
    });
    let Some(sample) = sample else { return html! { p.dim { "There is no sample for this event." } } };
    let verb = chosen("http_verb").to_uppercase();
    let (kind, body) = if chosen("format") == "json" && verb != "GET" {
        ("application/json", format!("{:#}", Value::Object(sample)))
    } else {
        let form = kazoo::form(&sample.into()).unwrap_or_default();
        ("application/x-www-form-urlencoded", form.replace('&', "\n&"))
    };
    html! {
        p { code { (verb) " " (chosen("uri")) } }
        p.dim { "Content-Type: " (kind) }
        pre tabindex="0" { (body) }
        p.hint { "A sample of " code { (event) } ". Real events hold what the call or document holds." }
    }
}

async fn with_secret(
    session: &Session<'_>,
    account: &str,
    id: &str,
    name: &str,
    secret: &str,
) -> Result<View, Problem> {
    let hooks = format!("/console/accounts/{account}/hooks");
    let path = format!("{hooks}/{id}");
    Ok(View {
        title: name.to_owned(),
        here: "hooks",
        account: Some(account_of(session, account).await?),
        trail: vec![("Hooks".into(), hooks)],
        live: None,
        body: html! {
            section.card {
                h2 { "The hook's secret" }
                p { "Give it to your system now. It is not shown again; a new one can be made at any time." }
                div.copied {
                    button.quiet data-copy="new-secret" hidden { "Copy" }
                    pre #new-secret tabindex="0" { (secret) }
                }
                div.actions {
                    (parts::button(session, &format!("{path}/test"), "Send a test", "main"))
                    a.button href={ (path) "?tab=verify" } { "How to verify" }
                    a.button href=(path) { "To the hook" }
                }
            }
        },
    })
}

/// `POST accounts/{A}/hooks/{H}/test`: sends a sample and shows the answer.
pub(in crate::console) async fn test(
    session: &Session<'_>,
    account: &str,
    hook: &str,
) -> Result<Outcome, Problem> {
    let of_hook = ["v2", "accounts", account, "webhooks", hook];
    let name = text(session.get(&of_hook, &[]).await?.data(), "name").to_owned();
    let response = session.send(Method::POST, &[&of_hook[..], &["test"]].concat(), json!({})).await?;
    let tested = response.data();
    let hooks = format!("/console/accounts/{account}/hooks");
    let path = format!("{hooks}/{hook}");
    Ok(Outcome::View(View {
        title: "Test".into(),
        here: "hooks",
        account: Some(account_of(session, account).await?),
        trail: vec![("Hooks".into(), hooks), (name, path.clone())],
        live: None,
        body: html! {
            section.card {
                p.sentence {
                    (parts::result(text(tested, "result"))) " "
                    strong { (test_outcome(tested)) } " after " (duration(number(tested, "duration_ms").unwrap_or(0)))
                    ". A test is sent beside the queue and changes nothing."
                }
                div.actions {
                    (parts::button(session, &format!("{path}/test"), "Send another", "main"))
                    a.button href={ (path) "?tab=verify" } { "How to verify" }
                    a.button href=(path) { "To the hook" }
                }
            }
            div.two { (side("Request", tested, "request")) (side("Answer", tested, "response")) }
        },
    }))
}

fn side(title: &str, tested: &Value, key: &str) -> Markup {
    let of = tested.get(key).unwrap_or(&Value::Null);
    if of.is_null() {
        return html! { section.card { h2 { (title) } p.dim { "None." } } };
    }
    let first = match number(of, "status") {
        Some(status) => format!("status {status}"),
        None => format!("{} {}", text(of, "method").to_uppercase(), text(of, "uri")),
    };
    message(title, &first, of, "headers", "body")
}

fn test_outcome(tested: &Value) -> String {
    let response = tested.get("response").unwrap_or(&Value::Null);
    let detail = text(tested, "client_error_detail");
    match number(response, "status") {
        Some(status) => format!("status {status}"),
        None if !detail.is_empty() => detail.to_owned(),
        None => in_words(text(tested, "client_error")),
    }
}
