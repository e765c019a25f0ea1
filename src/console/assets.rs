//! The files that pages load (style, module, icon) are parts of the program. Their addresses contain a hash of their
//! content, so browsers may keep them forever, and a new version is used at once.

use std::sync::LazyLock;

use super::reply;
use crate::http::{Content, Page, Visit};

/// A file that is part of the program.
pub(super) struct Asset {
    name: &'static str,
    content_type: &'static str,
    text: &'static str,
    hash: LazyLock<String>,
}

pub(super) static STYLE: Asset = Asset {
    name: "console.css",
    content_type: "text/css; charset=utf-8",
    text: include_str!("assets/console.css"),
    hash: LazyLock::new(|| hash(include_str!("assets/console.css"))),
};
pub(super) static MODULE: Asset = Asset {
    name: "console.js",
    content_type: "text/javascript; charset=utf-8",
    text: include_str!("assets/console.js"),
    hash: LazyLock::new(|| hash(include_str!("assets/console.js"))),
};
pub(super) static ICON: Asset = Asset {
    name: "icon.svg",
    content_type: "image/svg+xml",
    text: include_str!("assets/icon.svg"),
    hash: LazyLock::new(|| hash(include_str!("assets/icon.svg"))),
};

impl Asset {
    /// The address for the present content.
    pub(super) fn path(&self) -> String {
        format!("/console/assets/{}?{}", self.name, *self.hash)
    }
}

/// Answers the file with a name.
pub(super) fn answer(name: &str, visit: &Visit) -> Page {
    let Some(asset) = [&STYLE, &MODULE, &ICON].into_iter().find(|asset| asset.name == name) else {
        return reply::plain(404, "no such file");
    };
    let is_current = visit.query.iter().any(|(hash, _)| *hash == *asset.hash);
    let kept = if is_current { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = [
        ("content-type", asset.content_type),
        ("cache-control", kept),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-resource-policy", "same-origin"),
        ("content-security-policy", "default-src 'none'"),
    ];
    let headers = headers.map(|(name, value)| (name, value.to_owned())).into();
    Page { status: 200, headers, content: Content::Fixed(asset.text), caller: None }
}

fn hash(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().take(8).fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}
