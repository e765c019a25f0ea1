//! The layout of every page: head, navigation, a notice of the last action, and help for the keyboard.

use maud::{DOCTYPE, Markup, html};

use super::assets;
use super::cookies::Theme;
use super::parts;
use super::reply::{Problem, View};
use super::session::Session;

/// The whole page.
pub(super) fn page(view: &View, session: Option<&Session<'_>>, theme: Theme) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" data-theme=(theme.name()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (view.title) " · Switchhook" }
                link rel="icon" href=(assets::ICON.path()) type="image/svg+xml";
                link rel="stylesheet" href=(assets::STYLE.path());
                script type="module" src=(assets::MODULE.path()) {}
            }
            body data-live=[view.live.as_ref().map(|live| live.every_ms)]
                data-told=[view.live.as_ref().map(|live| live.told_ms)]
                data-watch=[view.live.as_ref().map(|live| live.watch.join(" "))] {
                a.skip href="#main" { "Skip to content" }
                @if let Some(session) = session {
                    div.frame {
                        (side(view, session, theme))
                        div.content { (main(view, session)) }
                    }
                    (help())
                } @else {
                    main.alone #main { (view.body) }
                }
            }
        }
    }
}

fn main(view: &View, session: &Session<'_>) -> Markup {
    html! {
        @if !view.trail.is_empty() {
            nav.trail aria-label="Where you are" {
                @for (name, path) in &view.trail { a href=(path) { (name) } span aria-hidden="true" { "›" } }
                span aria-current="page" { (view.title) }
            }
        }
        p.offline #offline role="status" hidden { "Not up to date: the program does not answer. Trying again …" }
        main #main tabindex="-1" {
            @if let Some(text) = parts::notice(session.query("done")) {
                p.notice role="status" { (text) }
            }
            h1 { (view.title) }
            (view.body)
        }
    }
}

fn side(view: &View, session: &Session<'_>, theme: Theme) -> Markup {
    let (account, name) = match &view.account {
        Some((id, name)) => (id.as_str(), name.as_str()),
        None => (session.account.as_str(), session.account_name.as_str()),
    };
    let link = |id: &'static str, path: String, text: &str| {
        let is_here = id == view.here;
        html! { li { a href=(path) aria-current=[is_here.then_some("page")] { (text) } } }
    };
    let of = |part: &str| format!("/console/accounts/{account}/{part}");
    html! {
        header.side {
            a.brand href="/console/" {
                img src=(assets::ICON.path()) alt="" width="20" height="20";
                "Switchhook"
            }
            // On a phone the rest is a menu, which the browser opens and closes by itself.
            span.whose { (if name.is_empty() { account } else { name }) }
            button.menu popovertarget="menu" { "Menu" }
            div.rest #menu popover="auto" {
            nav aria-label="Pages" {
                ul { (link("overview", "/console/".into(), "Overview")) }
                p.group title=(account) { "Account " strong { (if name.is_empty() { account } else { name }) } }
                ul {
                    (link("hooks", of("hooks"), "Hooks"))
                    @if session.is_admin {
                        (link("events", of("events"), "Events"))
                        (link("accounts", of("below"), "Accounts"))
                        (link("users", of("users"), "Users"))
                        (link("keys", of("keys"), "API keys"))
                        (link("links", of("links"), "Links"))
                        (link("sessions", of("sessions"), "Websockets"))
                        (link("quarantine", of("quarantine"), "Quarantine"))
                        (link("audit", of("audit"), "Audit"))
                    }
                }
                @if session.is_operator {
                    p.group { "Installation" }
                    ul {
                        (link("all", "/console/admin/hooks".into(), "All hooks"))
                        (link("log", "/console/admin/log".into(), "Logs and disk"))
                        (link("all-quarantine", "/console/admin/quarantine".into(), "All quarantine"))
                        (link("all-audit", "/console/admin/audit".into(), "All audit"))
                        (link("config", "/console/admin/config".into(), "Configuration"))
                    }
                }
            }
            div.foot {
                p.who { "Logged in for " strong { (session.account_name) } @if !session.is_admin { " (may look)" } }
                (themes(theme, &session.visit.path))
                form method="post" action="/console/logout" {
                    (parts::token(session))
                    button.quiet { "Log out" }
                }
            }
            }
        }
    }
}

/// The switch between themes; works without the module.
fn themes(theme: Theme, back: &str) -> Markup {
    html! {
        form.themes method="post" action="/console/theme" {
            input type="hidden" name="back" value=(back);
            @for (each, label) in [(Theme::System, "Auto"), (Theme::Light, "Light"), (Theme::Dark, "Dark")] {
                button.quiet name="theme" value=(each.name()) aria-pressed=(each == theme) { (label) }
            }
        }
    }
}

fn help() -> Markup {
    let keys = [
        ("/", "Search"),
        ("j / k", "Next, previous row"),
        ("Enter", "Open the row"),
        ("g h", "Hooks"),
        ("g e", "Events"),
        ("g o", "Overview"),
        ("?", "This help"),
    ];
    html! {
        dialog #help aria-labelledby="help-title" {
            h2 #help-title { "Keyboard" }
            dl.keys { @for (key, text) in keys { dt { kbd { (key) } } dd { (text) } } }
            form method="dialog" { button { "Close" } }
        }
    }
}

/// A page with the reason why nothing was done. Without a session, the page has no other heading.
pub(super) fn problem(problem: &Problem, is_alone: bool) -> View {
    View {
        title: problem.title.clone(),
        here: "",
        account: None,
        trail: Vec::new(),
        live: None,
        body: html! {
            @if is_alone { h1 { (problem.title) } }
            div.problem role="alert" {
                p { (problem.text) }
                (parts::faults(&problem.fields))
            }
            @if let Some(back) = &problem.back { p { a.button href=(back) { "Back to the list" } } }
            p { a href="/console/" { "Overview" } }
        },
    }
}

/// The refusal of a form that may come from another site.
pub(super) fn foreign_form() -> Problem {
    Problem::new(
        403,
        "Not sent from here",
        "The form did not come from a page of this console, so nothing was changed. Open the console in this \
         browser and send the form from there.",
    )
}
