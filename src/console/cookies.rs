//! The console's two cookies: the session with its API token, which scripts cannot read, and the theme that the
//! person chose.

use warp::http::HeaderMap;

const SESSION: &str = "switchhook_console";
const THEME: &str = "switchhook_theme";

/// Light, dark, or the browser's preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Theme {
    System,
    Light,
    Dark,
}

impl Theme {
    /// The name in the cookie and in the page.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// The theme with a name.
    pub(super) fn named(name: &str) -> Self {
        match name {
            "light" => Self::Light,
            "dark" => Self::Dark,
            _ => Self::System,
        }
    }
}

/// The session's token.
pub(super) fn session(headers: &HeaderMap) -> Option<&str> {
    value(headers, SESSION).filter(|token| !token.is_empty())
}

/// The chosen theme.
pub(super) fn theme(headers: &HeaderMap) -> Theme {
    Theme::named(value(headers, THEME).unwrap_or_default())
}

/// `Set-Cookie` for a token. The browser deletes it when it is closed.
pub(super) fn set_session(token: &str, is_https: bool) -> String {
    format!("{SESSION}={token}; Path=/console; HttpOnly; SameSite=Strict{}", secure(is_https))
}

/// `Set-Cookie` that ends a session.
pub(super) fn end_session(is_https: bool) -> String {
    format!("{SESSION}=; Path=/console; Max-Age=0; HttpOnly; SameSite=Strict{}", secure(is_https))
}

/// `Set-Cookie` for a theme, for a year.
pub(super) fn set_theme(theme: Theme, is_https: bool) -> String {
    let name = theme.name();
    format!("{THEME}={name}; Path=/console; Max-Age=31536000; HttpOnly; SameSite=Strict{}", secure(is_https))
}

fn secure(is_https: bool) -> &'static str {
    if is_https { "; Secure" } else { "" }
}

fn value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all("cookie").iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
}
