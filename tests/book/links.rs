//! Links between documents, the table of contents, and the documents that the source names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use crate::documents::{Document, documents, files, parsed, read, root};

/// `path` without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

#[test]
fn every_link_of_a_document_leads_to_something_that_exists() {
    let documents: BTreeMap<String, Document> =
        documents().into_iter().map(|path| (path.clone(), parsed(&read(&path)))).collect();
    let mut broken = Vec::new();
    for (path, document) in &documents {
        for link in &document.links {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                PathBuf::from(path)
            } else {
                plain(&Path::new(path).parent().unwrap().join(file))
            };
            let is_there = root().join(&target).exists();
            let anchors = documents.get(target.to_str().unwrap()).map(|document| &document.anchors);
            if !is_there
                || (!fragment.is_empty() && !anchors.is_some_and(|anchors| anchors.contains(fragment)))
            {
                broken.push(format!("{path}: {link}"));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn every_page_is_in_the_table_of_contents_once() {
    let listed = parsed(&read("docs/SUMMARY.md")).links;
    let mut seen = BTreeSet::new();
    for page in &listed {
        assert!(seen.insert(page.clone()), "docs/SUMMARY.md lists {page} twice");
    }
    let pages: BTreeSet<String> = files("docs", &[".md"])
        .into_iter()
        .map(|path| path.strip_prefix("docs/").unwrap().to_owned())
        .filter(|path| path != "SUMMARY.md")
        .collect();
    assert_eq!(seen, pages, "left: docs/SUMMARY.md; right: the files below docs/");
}

/// The files that may name documents. In tests only comments are read, because tests also name documents of their own.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for folder in ["src", "config", "benches", "examples", "packaging", "fuzz/fuzz_targets", "tests"] {
        for path in
            files(folder, &[".rs", ".toml", ".json", ".js", ".mjs", ".html", ".css", ".sh", ".service"])
        {
            let text = read(&path);
            let is_comment = |line: &&str| line.trim_start().starts_with("//");
            let text = if path.starts_with("tests/")
                && Path::new(&path).extension().is_some_and(|kind| kind == "rs")
            {
                text.lines().filter(is_comment).collect::<Vec<_>>().join("\n")
            } else {
                text
            };
            found.push((path, text));
        }
    }
    found.push(("test".to_owned(), read("test")));
    found
}

#[test]
fn every_document_that_the_source_names_exists() {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "./_-#".contains(c);
    let mut anchors: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let (mut named, mut missing) = (0, Vec::new());
    for (path, text) in sources() {
        for word in text.split(|c| !is_part(c)).map(|word| word.trim_end_matches('.')) {
            let (file, fragment) = word.split_once('#').unwrap_or((word, ""));
            if Path::new(file).extension().is_none_or(|kind| kind != "md") {
                continue;
            }
            named += 1;
            // A file may also include a document of its own folder.
            let beside = root().join(&path).with_file_name(file);
            let exists = (root().join(file).is_file() || beside.is_file())
                && (fragment.is_empty()
                    || anchors
                        .entry(file.to_owned())
                        .or_insert_with(|| parsed(&read(file)).anchors)
                        .contains(fragment));
            if !exists {
                missing.push(format!("{path}: {word}"));
            }
        }
    }
    assert!(named > 70, "the source names {named} documents");
    assert!(missing.is_empty(), "documents or headings that do not exist:\n{}", missing.join("\n"));
}
