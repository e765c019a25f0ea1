//! The paths below `/admin`, and the methods of each.

use warp::http::Method;

/// The endpoints below `/admin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admin {
    /// `status`
    Status,
    /// `overview`
    Overview,
    /// `log`
    Log,
    /// `hooks`
    Hooks,
    /// `retention`
    Retention,
    /// `audit`
    Audit,
    /// `mode`
    Mode,
    /// `import`
    Import,
    /// `config`
    Config,
    /// `websockets`
    Websockets,
}

/// Every path below `/admin`.
pub(super) const ROUTES: [(&str, Admin); 10] = [
    ("status", Admin::Status),
    ("overview", Admin::Overview),
    ("log", Admin::Log),
    ("hooks", Admin::Hooks),
    ("retention", Admin::Retention),
    ("audit", Admin::Audit),
    ("mode", Admin::Mode),
    ("import", Admin::Import),
    ("config", Admin::Config),
    ("websockets", Admin::Websockets),
];

/// The endpoint of a path below `/admin`.
pub(super) fn route(rest: &[String]) -> Option<Admin> {
    let [name] = rest else { return None };
    ROUTES.into_iter().find(|(known, _)| known == name).map(|(_, what)| what)
}

impl Admin {
    pub(super) fn methods(self) -> &'static [Method] {
        match self {
            Self::Status
            | Self::Overview
            | Self::Log
            | Self::Hooks
            | Self::Audit
            | Self::Config
            | Self::Websockets => &[Method::GET],
            Self::Retention => &[Method::POST],
            Self::Mode | Self::Import => &[Method::GET, Method::POST],
        }
    }
}
