//! Finds the page for a path, and the action for a form.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use warp::http::Method;

use super::log_in;
use super::pages::quarantine::Of;
use super::pages::{self, Sent};
use super::reply::{Outcome, Problem, View};
use super::session::Session;

/// What is encoded in a segment of a path.
const IN_A_SEGMENT: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'/').add(b'?').add(b'#').add(b'%');

type Rendered = Result<View, Problem>;
type Done = Result<Outcome, Problem>;

/// The page, or the result of the form.
pub(super) async fn answer(session: &Session<'_>, rest: &[&str]) -> Outcome {
    if session.visit.method == Method::POST {
        let sent = Sent::of(session.visit);
        // Before anything is done: a form that was sent twice must not act twice.
        if let Err(error) = session.take_form(sent.text("form")) {
            return Outcome::Problem(log_in::form_problem(error));
        }
        return Box::pin(act(session, rest, &sent)).await.unwrap_or_else(Outcome::Problem);
    }
    if let Some(path) = elsewhere(session, rest) {
        return Outcome::See(path);
    }
    match Box::pin(show(session, rest)).await {
        Ok(view) => Outcome::View(view),
        Err(problem) => Outcome::Problem(problem),
    }
}

fn elsewhere(session: &Session<'_>, rest: &[&str]) -> Option<String> {
    match rest {
        // A person has typed in an id.
        ["accounts", account, "events", "find"] => {
            let id: String =
                url::form_urlencoded::byte_serialize(session.query("id").trim().as_bytes()).collect();
            let account = utf8_percent_encode(account, IN_A_SEGMENT);
            Some(format!("/console/accounts/{account}/events/{id}"))
        }
        // Not checked yet. Decoded slashes and dots would lead out of the console.
        ["accounts", account] => {
            Some(format!("/console/accounts/{}/hooks", utf8_percent_encode(account, IN_A_SEGMENT)))
        }
        _ => None,
    }
}

async fn show(session: &Session<'_>, rest: &[&str]) -> Rendered {
    match rest {
        [] => pages::overview::show(session).await,
        ["accounts", account, below @ ..] => Box::pin(of_account(session, account, below)).await,
        ["admin", "hooks"] => pages::installation::all_hooks(session).await,
        ["admin", "log"] => pages::installation::logs(session).await,
        ["admin", "config"] => pages::installation::configuration(session).await,
        ["admin", "audit"] => pages::audit::of_all(session).await,
        ["admin", "quarantine"] => pages::quarantine::show(session, Of::All).await,
        ["admin", "quarantine", id] => pages::quarantine::one(session, Of::All, id).await,
        _ => Err(Problem::not_found()),
    }
}

async fn of_account(session: &Session<'_>, account: &str, below: &[&str]) -> Rendered {
    // A form that the API would refuse is not shown.
    if let ["first"] | ["hooks", "new"] | ["hooks", _, "edit" | "replay"] = below
        && !session.is_admin
    {
        return Err(Problem::forbidden());
    }
    match below {
        ["hooks"] => pages::hooks::show(session, account).await,
        ["hooks", "new"] => pages::hook_edit::new(session, account).await,
        ["hooks", hook, "edit"] => pages::hook_edit::edit(session, account, hook).await,
        ["hooks", hook, "replay"] => pages::replay::show(session, account, hook).await,
        ["hooks", hook, "attempts", delivery] => pages::attempt::show(session, account, hook, delivery).await,
        ["hooks", hook] => pages::hook::show(session, account, hook).await,
        ["events"] => pages::events::show(session, account).await,
        ["events", "tail"] => pages::events::tail(session, account).await,
        ["events", id] => pages::event::show(session, account, id).await,
        ["call"] => pages::events::timeline(session, account).await,
        ["below"] => pages::accounts::show(session, account).await,
        ["account"] => pages::accounts::one(session, account).await,
        ["users"] => pages::users::show(session, account).await,
        ["users", user] => pages::users::one(session, account, user).await,
        ["keys"] => pages::keys::show(session, account).await,
        ["links"] => pages::links::show(session, account).await,
        ["first"] => pages::first::show(session, account).await,
        ["sessions"] => pages::sockets::show(session, account).await,
        ["audit"] => pages::audit::of_account(session, account).await,
        ["quarantine"] => pages::quarantine::show(session, Of::Account(account)).await,
        ["quarantine", id] => pages::quarantine::one(session, Of::Account(account), id).await,
        _ => Err(Problem::not_found()),
    }
}

async fn act(session: &Session<'_>, rest: &[&str], sent: &Sent) -> Done {
    // Of a form that the API would refuse, not even a count or a preview is made. A user may change their own document.
    if !session.is_admin && !matches!(rest, ["logout"] | ["accounts", _, "users", _, "save"]) {
        return Err(Problem::forbidden());
    }
    match rest {
        ["logout"] => pages::log_out(session).await,
        ["admin", "log", "retention"] => pages::installation::retain(session).await,
        ["admin", "quarantine", id, "release"] => pages::quarantine::release(session, Of::All, id).await,
        ["accounts", account, "hooks", below @ ..] => {
            Box::pin(act_on_hook(session, account, below, sent)).await
        }
        ["accounts", account, below @ ..] => Box::pin(act_on_account(session, account, below, sent)).await,
        _ => Err(Problem::not_found()),
    }
}

async fn act_on_hook(session: &Session<'_>, account: &str, below: &[&str], sent: &Sent) -> Done {
    match below {
        ["new"] => pages::hook_edit::save(session, account, None, sent).await,
        [hook, "edit"] => pages::hook_edit::save(session, account, Some(hook), sent).await,
        [hook, "test"] => pages::hook_edit::test(session, account, hook).await,
        [hook, "inbox"] => pages::first::test(session, account, hook).await,
        [hook, "replay"] => pages::replay::send(session, account, hook, sent).await,
        [hook, "replays", replay, action] => {
            pages::replay::act(session, pages::replay::OnReplay { account, hook, replay, action }).await
        }
        [hook, "attempts", delivery, "again"] => {
            pages::hook_actions::again(session, account, hook, delivery).await
        }
        [hook, action] => pages::hook_actions::act(session, account, hook, action, sent).await,
        _ => Err(Problem::not_found()),
    }
}

async fn act_on_account(session: &Session<'_>, account: &str, below: &[&str], sent: &Sent) -> Done {
    match below {
        ["bulk"] => pages::bulk::act(session, account, sent).await,
        ["below"] => pages::accounts::create(session, account, sent).await,
        ["account", action] => pages::accounts::act(session, account, action, sent).await,
        ["users"] => pages::users::create(session, account, sent).await,
        ["users", id, action] => {
            pages::users::act(session, pages::users::OnUser { account, id, action }, sent).await
        }
        ["first"] => pages::first::make(session, account, sent).await,
        ["links"] => pages::links::create(session, account, sent).await,
        ["links", link, "revoke"] => pages::links::revoke(session, account, link).await,
        ["keys"] => pages::keys::create(session, account, sent).await,
        ["keys", id, action] => pages::keys::act(session, pages::keys::OnKey { account, id, action }).await,
        ["sessions", id, "close"] => pages::sockets::close(session, account, id).await,
        ["quarantine", id, "release"] => pages::quarantine::release(session, Of::Account(account), id).await,
        _ => Err(Problem::not_found()),
    }
}
