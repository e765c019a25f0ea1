//! Which page a path names, and which form may be sent to it.

use warp::http::Method;

use super::log_in;
use super::pages::{self, Sent};
use super::reply::{Outcome, Problem, View};
use super::session::Session;

type Shown = Result<View, Problem>;
type Done = Result<Outcome, Problem>;

/// The page, or what came of the form.
pub(super) async fn answer(session: &Session<'_>, rest: &[&str]) -> Outcome {
    if session.visit.method == Method::POST {
        let sent = Sent::of(session.visit);
        if let Err(error) = session.take_form(sent.text("form")) {
            return Outcome::Problem(log_in::form_problem(error));
        }
        return Box::pin(act(session, rest, &sent)).await.unwrap_or_else(Outcome::Problem);
    }
    if let Some(path) = elsewhere(rest) {
        return Outcome::See(path);
    }
    match Box::pin(show(session, rest)).await {
        Ok(view) => Outcome::View(view),
        Err(problem) => Outcome::Problem(problem),
    }
}

fn elsewhere(rest: &[&str]) -> Option<String> {
    match rest {
        ["accounts", account] => Some(format!("/console/accounts/{account}/hooks")),
        _ => None,
    }
}

async fn show(session: &Session<'_>, rest: &[&str]) -> Shown {
    match rest {
        [] => pages::overview::show(session).await,
        ["accounts", account, below @ ..] => of_account(session, account, below).await,
        _ => Err(Problem::not_found()),
    }
}

async fn of_account(session: &Session<'_>, account: &str, below: &[&str]) -> Shown {
    match below {
        ["hooks"] => pages::hooks::show(session, account).await,
        ["hooks", hook] => pages::hook::show(session, account, hook).await,
        _ => Err(Problem::not_found()),
    }
}

async fn act(session: &Session<'_>, rest: &[&str], sent: &Sent) -> Done {
    match rest {
        ["logout"] => pages::log_out(session).await,
        ["accounts", account, "hooks", hook, action] => {
            pages::hook_actions::act(session, account, hook, action, sent).await
        }
        _ => Err(Problem::not_found()),
    }
}
