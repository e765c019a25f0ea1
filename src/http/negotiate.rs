//! Content negotiation: JSON, or CSV for lists (`docs/kazoo/webhooks.md#requests`).

use super::request::Request;

/// The form of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accepted {
    Json,
    Csv,
    /// None of the supported forms.
    Nothing,
}

/// Whether CSV is requested.
pub(super) fn asks_for_csv(request: &Request) -> bool {
    accepted(request) == Accepted::Csv
}

/// The client's preferred form: `accept` in the query string, otherwise the header (RFC 9110, 12.5.1). Of equal
/// preferences, the first one counts.
pub(super) fn accepted(request: &Request) -> Accepted {
    match request.query("accept") {
        Some("csv" | "text/csv") => return Accepted::Csv,
        Some("json" | "application/json") => return Accepted::Json,
        _ => {}
    }
    let Some(header) = request.header("accept").filter(|header| !header.trim().is_empty()) else {
        return Accepted::Json;
    };
    let mut best = (Accepted::Nothing, 0);
    for range in header.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let form = form(&parts.next().unwrap_or_default().to_ascii_lowercase());
        let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(1000, weight);
        if form != Accepted::Nothing && weight > best.1 {
            best = (form, weight);
        }
    }
    best.0
}

fn form(range: &str) -> Accepted {
    match range {
        // A response with `jsonp` is a script.
        "*/*"
        | "application/*"
        | "application/json"
        | "application/x-json"
        | "application/javascript"
        | "text/javascript" => Accepted::Json,
        "text/csv" | "text/comma-separated-values" | "text/*" => Accepted::Csv,
        _ => Accepted::Nothing,
    }
}

/// The weight of a preference in thousandths. An unreadable one counts fully.
fn weight(text: &str) -> u32 {
    let weight: f32 = text.parse().unwrap_or(1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "held between 0 and 1000")]
    let thousandths = (weight.clamp(0.0, 1.0) * 1000.0) as u32;
    thousandths
}

#[cfg(test)]
mod tests {
    use warp::http::{HeaderMap, HeaderValue, Method};

    use super::*;

    #[test]
    fn the_preferred_form_is_chosen() {
        for (header, expected) in [
            ("", Accepted::Json),
            ("*/*", Accepted::Json),
            ("application/json", Accepted::Json),
            ("text/csv", Accepted::Csv),
            ("TEXT/CSV; charset=utf-8", Accepted::Csv),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Accepted::Json),
            ("application/json;q=0.5, text/csv", Accepted::Csv),
            ("text/csv;q=0.2, application/json;q=0.9", Accepted::Json),
            ("application/json, text/csv", Accepted::Json),
            ("application/json;q=0", Accepted::Nothing),
            ("image/png", Accepted::Nothing),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("accept", HeaderValue::from_static(header));
            let request = Request::new(Method::GET, "/", "", headers);
            assert_eq!(accepted(&request), expected, "{header}");
        }
    }

    #[test]
    fn the_query_string_takes_precedence_over_the_header() {
        let mut headers = HeaderMap::new();
        headers.insert("accept", HeaderValue::from_static("application/json"));
        for (query, csv) in [("accept=csv", true), ("accept=text/csv", true), ("accept=other", false)] {
            assert_eq!(asks_for_csv(&Request::new(Method::GET, "/", query, headers.clone())), csv, "{query}");
        }
    }
}
