//! Files, folders, tests, types and functions that a document names: each exists.

use std::collections::BTreeMap;
use std::path::Path;

use crate::documents::{documents_of_today, files, parsed, read, root};

/// The Rust sources by path, without their comments.
fn sources() -> BTreeMap<String, String> {
    let folders = ["src", "tests", "benches", "examples", "fuzz/fuzz_targets"];
    let paths = folders.iter().flat_map(|folder| files(folder, &[".rs"]));
    // These tests name parts that do not exist.
    let paths = paths.filter(|path| !path.starts_with("tests/book/"));
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let code = |path: &str| read(path).lines().filter(is_code).collect::<Vec<_>>().join("\n");
    paths.map(|path| (path.clone(), code(&path))).collect()
}

/// Whether a file or folder exists under one of the folders from which documents name files.
fn exists(path: &str) -> bool {
    ["", "src", "tests/it", "docs"].iter().any(|folder| root().join(folder).join(path).exists())
}

/// Whether a text has this word, with no letter, digit or underscore beside it. A word that ends with `…` may go on.
fn has_word(text: &str, word: &str) -> bool {
    let (word, is_whole) = word.strip_suffix('…').map_or((word, true), |start| (start, false));
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let (before, after) = (text[..at].chars().next_back(), text[at + word.len()..].chars().next());
        !before.is_some_and(is_part) && (!is_whole || !after.is_some_and(is_part))
    })
}

/// Whether `path` (`attack::files`, `Queue::take`, `attack::doors::a_request_…`) names something that exists: the longest
/// beginning that is a file or a folder, and in it the words that are left. A type may be in any file.
fn is_known(path: &str, sources: &BTreeMap<String, String>) -> bool {
    let parts: Vec<&str> = path.split("::").collect();
    if parts[0].starts_with(char::is_uppercase) {
        let of_type = sources.values().filter(|text| has_word(text, parts[0]));
        return of_type.into_iter().any(|text| parts[1..].iter().all(|part| has_word(text, part)));
    }
    (1..=parts.len()).rev().any(|length| {
        let file = parts[..length].join("/");
        let in_file = |path: &String| {
            ["src/", "tests/it/", "benches/"].iter().any(|folder| {
                path.strip_prefix(folder)
                    .is_some_and(|path| path == format!("{file}.rs") || path.starts_with(&format!("{file}/")))
            })
        };
        sources
            .iter()
            .any(|(path, text)| in_file(path) && parts[length..].iter().all(|part| has_word(text, part)))
    })
}

/// What is wrong with a word of code in a document, if it names a part of the source.
fn fault(word: &str, sources: &BTreeMap<String, String>) -> Option<&'static str> {
    let is_path = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    if word.chars().all(is_path) && Path::new(word).extension().is_some_and(|kind| kind == "rs") {
        let is_known = exists(word)
            || !word.contains('/') && sources.keys().any(|path| path.ends_with(&format!("/{word}")));
        return (!is_known).then_some("no such file");
    }
    let folders = ["src/", "tests/", "benches/", "docs/", "examples/", "config/", "packaging/", "fuzz/"];
    if word.chars().all(is_path) && folders.iter().any(|folder| word.starts_with(folder)) {
        return (!root().join(word).exists()).then_some("no such file or folder");
    }
    let is_named = |c: char| c.is_ascii_alphanumeric() || "_:…".contains(c);
    if word.contains("::") && word.chars().all(is_named) && !word.ends_with(':') {
        return (!is_known(word, sources)).then_some("no such test, type or function");
    }
    None
}

#[test]
fn every_part_of_the_source_that_a_document_names_exists() {
    let sources = sources();
    let (mut found, mut wrong) = (0, Vec::new());
    for path in documents_of_today() {
        for code in parsed(&read(&path)).code {
            found += usize::from(code.contains(".rs") || code.contains("::"));
            if let Some(fault) = fault(&code, &sources) {
                wrong.push(format!("{path}: `{code}`: {fault}"));
            }
        }
    }
    assert!(found > 150, "documents name {found} files, tests, types and functions");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Words in code in `ARCHITECTURE.md` that do not name a part of the source.
const OTHER: &[&str] = &["fdatasync", "unsafe"];

#[test]
fn every_folder_file_type_and_function_that_the_architecture_names_exists() {
    let sources = sources();
    let all: String =
        sources.iter().filter(|(path, _)| path.starts_with("src/")).map(|(_, text)| text.as_str()).collect();
    let manifest = read("Cargo.toml");
    let is_folder =
        |name: &str| exists(name) || sources.keys().any(|path| path.contains(&format!("/{name}/")));
    let mut wrong = Vec::new();
    for code in parsed(&read("ARCHITECTURE.md")).code {
        let is_name = |word: &str| word.chars().all(|c| c.is_alphanumeric() || c == '_') && !word.is_empty();
        if let Some(folder) = code.strip_suffix('/').filter(|folder| folder.split('/').all(is_name)) {
            if !is_folder(folder) {
                wrong.push(format!("`{code}`: no such folder"));
            }
        } else if is_name(&code) && !OTHER.contains(&code.as_str()) {
            let is_file =
                sources.keys().any(|path| path.ends_with(&format!("/{code}.rs"))) || is_folder(&code);
            if !is_file && !has_word(&all, &code) && !has_word(&manifest, &code) {
                wrong.push(format!("`{code}`: no such file, type or function"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The functions and types that a text places in a file, as `Type::function` (`folder/file.rs`).
fn placed(text: &str) -> Vec<(&str, &str)> {
    let parts: Vec<&str> = text.split('`').collect();
    // Code is at the odd positions: `name` (`file`).
    let pairs = parts.windows(3).skip(1).step_by(2).filter(|part| part[1].trim() == "(");
    let is_source = |name: &str| Path::new(name).extension().is_some_and(|kind| kind == "rs");
    pairs.filter(|part| is_source(part[2])).map(|part| (part[0], part[2])).collect()
}

/// Whether a source defines this, which may be a type, or a function with or without its type.
fn defines(source: &str, name: &str) -> bool {
    let last = name.rsplit("::").next().unwrap();
    ["fn", "struct", "enum", "trait", "const"].iter().any(|kind| has_word(source, &format!("{kind} {last}")))
}

#[test]
fn what_the_architecture_places_in_a_file_is_defined_there() {
    let text = read("ARCHITECTURE.md");
    let placed = placed(&text);
    assert!(placed.len() > 8, "{placed:?}");
    let is_wrong = |(name, file): &&(&str, &str)| !defines(&read(&format!("src/{file}")), name);
    let wrong: Vec<_> = placed.iter().filter(is_wrong).collect();
    assert!(wrong.is_empty(), "defined elsewhere: {wrong:?}");
}

#[test]
fn a_name_that_does_not_exist_is_reported() {
    let sources = sources();
    let fault = |word| fault(word, &sources);
    assert_eq!(fault("queues/queue_model.rs"), Some("no such file"));
    assert_eq!(fault("src/queues/simulation/"), Some("no such file or folder"));
    assert_eq!(fault("Queue::never_was"), Some("no such test, type or function"));
    assert_eq!(fault("attack::never_was"), Some("no such test, type or function"));
    assert_eq!(fault("attack::files::never_was_…"), Some("no such test, type or function"));
    assert_eq!(
        placed("see `Queue::take` (`queues/queue/intake.rs`) and `x`"),
        [("Queue::take", "queues/queue/intake.rs")]
    );
    assert!(!defines(&read("src/queues/queue/intake.rs"), "Queue::retry"));
    for word in ["log/writer.rs", "tests/it/crash.rs", "writer.rs", "Queue::take", "attack::files", "GET /x"]
    {
        assert_eq!(fault(word), None, "{word}");
    }
}
