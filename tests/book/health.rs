//! What an operator reads at night: faults of health with their cures, codes of failed attempts, and metrics.
//! `tests/it/operator.rs` compares the page of metrics with a scrape.

use std::collections::BTreeSet;

use crate::documents::{documents_of_today, parsed, read};

#[test]
fn every_fault_of_health_has_its_cure() {
    let is_name = |word: &&str| word.len() > 3 && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let mut named = BTreeSet::new();
    for path in ["src/app/watch.rs", "src/app/threads.rs", "src/http/health.rs"] {
        let text = read(path);
        // Faults are pairs of a name and a reason: `("name", …)`, or `fault("name", …)`.
        for at in text.match_indices("(\"").map(|(at, _)| at + 2) {
            let name = text[at..].split('"').next().unwrap();
            if text[at + name.len()..].starts_with("\",") && is_name(&name) {
                named.insert(name.to_owned());
            }
        }
    }
    assert!(named.contains("broker") && named.contains("disk_full"), "{named:?}");
    let cured: BTreeSet<String> = parsed(&read("docs/operating/faults.md"))
        .headings
        .into_iter()
        .filter(|heading| is_name(&heading.as_str()))
        .collect();
    assert_eq!(named, cured, "left: what health can name; right: the sections of docs/operating/faults.md");
}

#[test]
fn every_code_of_a_failed_attempt_is_explained() {
    let text = read("src/model/attempt.rs");
    let codes: BTreeSet<&str> = text
        .match_indices("=> \"")
        .map(|(at, arrow)| text[at + arrow.len()..].split('"').next().unwrap())
        // The codes of shortages, and of deliveries that can never be sent, contain their reason.
        .map(|code| if code.starts_with("switchhook:") { "switchhook: …" } else { code })
        .map(|code| if code.starts_with("unsendable:") { "unsendable: …" } else { code })
        .collect();
    assert!(codes.contains("forbidden_address") && codes.len() > 20, "{codes:?}");
    let explained = parsed(&read("docs/reference/deliveries.md")).code;
    let missing: Vec<&&str> =
        codes.iter().filter(|code| !explained.iter().any(|known| known == **code)).collect();
    assert!(missing.is_empty(), "docs/reference/deliveries.md lacks {missing:?}");
}

/// The metrics in a text: words that begin with `switchhook_`, without what is added to a histogram's name.
fn metrics(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_part(c)).filter(|word| word.starts_with("switchhook_"));
    words
        .map(|word| {
            ["_bucket", "_sum", "_count"].iter().fold(word, |word, end| word.trim_end_matches(end)).to_owned()
        })
        .collect()
}

#[test]
fn every_metric_that_a_document_names_is_on_the_page_of_metrics() {
    let listed = metrics(&read("docs/reference/metrics.md"));
    assert!(listed.contains("switchhook_log_sync_seconds") && listed.len() > 40, "{listed:?}");
    // `switchhook_kazoo_sync_*` means all metrics that begin so.
    let is_known = |name: &String| {
        listed.contains(name) || name.ends_with('_') && listed.iter().any(|metric| metric.starts_with(name))
    };
    for path in documents_of_today() {
        let invented: Vec<String> =
            metrics(&read(&path)).into_iter().filter(|name| !is_known(name)).collect();
        assert!(invented.is_empty(), "{path} names metrics that do not exist: {invented:?}");
    }
}
