//! Routes: a generated page lists all of them, and no document names another one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use serde_json::Value;

use crate::documents::{documents_of_today, files, parsed, read, root};

/// Every operation that the program describes: method and path to its summary.
fn routes() -> BTreeMap<(String, String), String> {
    let mut routes = BTreeMap::new();
    for path in files("src/http/openapi/paths", &[".json"]) {
        let resource: Value = serde_json::from_str(&read(&path)).unwrap();
        let Some(paths) = resource.get("paths").and_then(Value::as_object) else { continue };
        for (route, methods) in paths {
            for (method, operation) in methods.as_object().unwrap() {
                let summary = operation.get("summary").and_then(Value::as_str).unwrap().to_owned();
                routes.insert((route.clone(), method.to_uppercase()), summary);
            }
        }
    }
    routes
}

#[test]
fn the_page_of_routes_lists_every_route_that_the_program_has() {
    let mut page = String::from(
        "# All routes\n\nMade from the program's own description, `/openapi.json`, which has every field, refusal and an example of each \
         request. [The API](api.md) explains them.\n\n| Path | Method | What it does |\n| --- | --- | --- |\n",
    );
    for ((path, method), summary) in routes() {
        writeln!(page, "| `{path}` | {method} | {summary} |").unwrap();
    }
    let path = root().join("docs/reference/routes.md");
    if std::env::var_os("SWITCHHOOK_BOOK").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == page, "routes have changed: run `SWITCHHOOK_BOOK=write cargo test --test book`");
}

/// Methods and paths that a document names in backticks: `GET accounts/{A}/events`, `…/pause`, `/admin/status`. The path is
/// the segments after `/v2`, of which the first is `…` if the path begins so.
fn named(code: &str) -> Option<(Option<&str>, Vec<String>)> {
    let (method, path) = match code.split_once(' ') {
        Some((method, path)) if METHODS.contains(&method) => (Some(method), path),
        Some(_) => return None,
        None => (None, code),
    };
    let is_path = method.is_some() || path.starts_with("…/") || OWN.iter().any(|own| path.starts_with(own));
    let path = path.split(['?', ' ']).next().unwrap().trim_start_matches("/v2/").trim_start_matches("$API/");
    is_path.then(|| (method, path.trim_matches('/').split('/').map(str::to_owned).collect()))
}

const METHODS: &[&str] = &["GET", "PUT", "POST", "PATCH", "DELETE"];

/// How paths of this program begin, if no method stands before them.
const OWN: &[&str] = &["/admin/", "/health/", "/v2/", "/metrics", "/openapi.json"];

/// Whether a path of a document means this route. Words in capitals, variables and braces stand for ids, and `account` for
/// `accounts/{account_id}`.
fn means(path: &[String], route: &str) -> bool {
    let route: Vec<&str> = route.trim_start_matches("/v2/").trim_matches('/').split('/').collect();
    let mut path: Vec<&str> = path.iter().map(String::as_str).collect();
    let is_end = path.first() == Some(&"…");
    if is_end {
        path.remove(0);
    }
    if path.first() == Some(&"account") {
        path.splice(0..1, ["accounts", "{A}"]);
    }
    let is_id =
        |word: &str| word.starts_with(['{', '$']) || word.chars().all(|c| c.is_ascii_uppercase() || c == ':');
    let fits = |word: &str, part: &str| if part.starts_with('{') { is_id(word) } else { word == part };
    let Some(before) = route.len().checked_sub(path.len()) else { return false };
    (before == 0 || is_end) && path.iter().zip(&route[before..]).all(|(word, part)| fits(word, part))
}

#[test]
fn every_route_that_a_document_names_exists() {
    let routes = routes();
    let exists = |method: Option<&str>, path: &[String]| {
        routes.keys().any(|(route, known)| method.is_none_or(|method| method == known) && means(path, route))
    };
    let (mut found, mut invented) = (0, Vec::new());
    for path in documents_of_today() {
        for code in parsed(&read(&path)).code {
            let Some((method, segments)) = named(&code) else { continue };
            found += 1;
            if !exists(method, &segments) {
                invented.push(format!("{path}: {code}"));
            }
        }
    }
    assert!(found > 100, "documents name {found} routes");
    assert!(invented.is_empty(), "routes that do not exist:\n{}", invented.join("\n"));
}
