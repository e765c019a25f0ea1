//! The form of documents that readers rely on: a short README, a change log by version, and complete records of decisions.

use std::collections::BTreeSet;
use std::path::Path;

use crate::documents::{parsed, read, root};

#[test]
fn the_readme_is_read_in_two_minutes_and_shows_the_console() {
    let text = read("README.md");
    assert!(text.lines().count() <= 150, "README.md has {} lines", text.lines().count());
    let is_picture = |link: &String| Path::new(link).extension().is_some_and(|kind| kind == "png");
    let pictures = parsed(&text).links.into_iter().filter(is_picture);
    assert!(
        pictures.filter(|picture| root().join(picture).is_file()).count() > 0,
        "README.md has no picture"
    );
}

/// Whether a text is a date such as `2026-11-28`.
fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    lengths == [4, 2, 2] && parts.iter().all(|part| part.chars().all(|c| c.is_ascii_digit()))
}

#[test]
fn the_change_log_keeps_its_form() {
    let kinds = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"];
    let mut lines = BTreeSet::new();
    for line in read("CHANGELOG.md").lines() {
        if let Some(version) = line.strip_prefix("## ") {
            let is_released = version.split_once("] - ").is_some_and(|(_, date)| is_date(date));
            assert!(version == "[Unreleased]" || version.starts_with('[') && is_released, "{line}");
        } else if let Some(kind) = line.strip_prefix("### ") {
            assert!(kinds.contains(&kind), "{line}");
        } else if line.starts_with("- ") {
            assert!(lines.insert(line.split(':').next().unwrap().to_owned()), "twice: {line}");
        }
    }
}

#[test]
fn every_decision_has_its_date_and_its_reason() {
    let text = read("docs/internals/decisions.md");
    let records: Vec<&str> = text.split("\n### ").skip(1).collect();
    assert!(records.len() > 60, "{}", records.len());
    for record in records {
        let (title, body) = record.split_once("\n\n").unwrap();
        let body = body.split("\n## ").next().unwrap();
        let date = body.strip_prefix("**").and_then(|rest| rest.split(".**").next());
        assert!(date.is_some_and(is_date), "{title}: no date");
        assert!(body.contains("*Why"), "{title}: no reason");
    }
}
