//! Compares the documents with the program: every link leads somewhere, everything that is named exists, and nothing is
//! missing.
//!
//! `SWITCHHOOK_BOOK=write cargo test --test book` writes the generated page (`docs/reference/routes.md`) again.

#![expect(
    clippy::unwrap_used,
    reason = "helpers fail the test that called them; clippy exempts only #[test] functions themselves"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Files below `folder` whose names end with one of `endings`, as paths from the root.
fn files(folder: &str, endings: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                if name != "node_modules" {
                    folders.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// Every document of the repository.
fn documents() -> Vec<String> {
    let at_root =
        fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut all: Vec<String> =
        at_root.filter(|name| Path::new(name).extension().is_some_and(|kind| kind == "md")).collect();
    for folder in ["docs", "benches", "data", "examples"] {
        if root().join(folder).exists() {
            all.extend(files(folder, &[".md"]));
        }
    }
    all
}

/// What the checks need of a document.
#[derive(Default)]
struct Read {
    links: Vec<String>,
    anchors: BTreeSet<String>,
    headings: Vec<String>,
    code: Vec<String>,
    blocks: Vec<String>,
}

/// The anchor that GitHub and mdBook give a heading.
fn anchor(heading: &str) -> String {
    let kept = heading
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .collect::<String>();
    kept.replace(' ', "-")
}

fn parsed(text: &str) -> Read {
    let mut read = Read::default();
    let (mut heading, mut block) = (None::<String>, None::<String>);
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => {
                let heading = heading.take().unwrap();
                read.anchors.insert(anchor(&heading));
                read.headings.push(heading);
            }
            Event::Start(Tag::CodeBlock(_)) => block = Some(String::new()),
            Event::End(TagEnd::CodeBlock) => read.blocks.push(block.take().unwrap()),
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                read.links.push(dest_url.into_string());
            }
            Event::Code(code) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&code);
                }
                read.code.push(code.into_string());
            }
            Event::Text(text) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
                if let Some(block) = &mut block {
                    block.push_str(&text);
                }
            }
            _ => {}
        }
    }
    read
}

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
    let documents: BTreeMap<String, Read> =
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

#[test]
fn every_document_that_a_comment_names_exists() {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "./_-#".contains(c);
    let mut anchors: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut missing = Vec::new();
    for folder in ["src", "tests", "benches", "config", "fuzz/fuzz_targets"] {
        for path in files(folder, &[".rs", ".toml"]) {
            for (at, line) in read(&path).lines().enumerate() {
                let line = line.trim_start();
                if !line.starts_with("//") && !line.starts_with('#') {
                    continue;
                }
                for word in line.split(|c| !is_part(c)).map(|word| word.trim_end_matches('.')) {
                    let (file, fragment) = word.split_once('#').unwrap_or((word, ""));
                    if Path::new(file).extension().is_none_or(|kind| kind != "md") {
                        continue;
                    }
                    let is_there = root().join(file).is_file()
                        && (fragment.is_empty()
                            || anchors
                                .entry(file.to_owned())
                                .or_insert_with(|| parsed(&read(file)).anchors)
                                .contains(fragment));
                    if !is_there {
                        missing.push(format!("{path}:{}: {word}", at + 1));
                    }
                }
            }
        }
    }
    assert!(missing.is_empty(), "documents or headings that do not exist:\n{}", missing.join("\n"));
}

/// `section.key` of every key in `config/switchhook.toml`, those that are commented out included.
fn keys() -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    let mut section = String::new();
    for line in read("config/switchhook.toml").lines() {
        let line = line.strip_prefix("# ").unwrap_or(line);
        if let Some(name) = line.strip_prefix('[') {
            name.trim_start_matches('[').split(']').next().unwrap().clone_into(&mut section);
            keys.insert(section.clone());
        } else if let Some((key, _)) = line.split_once(" =")
            && key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        {
            keys.insert(if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") });
        }
    }
    keys
}

#[test]
fn a_configuration_key_that_a_document_names_exists() {
    let keys = keys();
    let sections: BTreeSet<&str> =
        keys.iter().filter_map(|key| key.split_once('.')).map(|(section, _)| section).collect();
    let is_key = |word: &str| {
        word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '.'))
    };
    let mut invented = Vec::new();
    // The change log tells of keys that may be gone.
    for path in documents().iter().filter(|path| *path != "CHANGELOG.md") {
        for code in parsed(&read(path)).code {
            let word = code.split([' ', '=']).next().unwrap();
            let is_of_ours = word.split_once('.').is_some_and(|(section, rest)| {
                sections.contains(section)
                    && !rest.is_empty()
                    && !["rs", "md", "json", "toml", "html", "log", "js", "key"].contains(&rest)
            });
            if is_of_ours && is_key(word) && !word.ends_with('.') && !keys.contains(word) {
                invented.push(format!("{path}: {word}"));
            }
        }
    }
    assert!(invented.is_empty(), "keys that config/switchhook.toml does not have:\n{}", invented.join("\n"));
}

/// What `switchhook WORDS --help` lists as commands.
fn commands_below(words: &[&str]) -> Vec<String> {
    let help = Command::new(env!("CARGO_BIN_EXE_switchhook")).args(words).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| line.starts_with("  ")).filter(|line| !line.starts_with("   "));
    listed
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .filter(|name| name != "help")
        .collect()
}

/// Every command with its words.
fn commands() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for first in commands_below(&[]) {
        let below = commands_below(&[&first]);
        if below.is_empty() {
            all.insert(first.clone());
        }
        all.extend(below.into_iter().map(|second| format!("{first} {second}")));
    }
    all
}

#[test]
fn every_command_is_in_the_book_and_every_command_of_the_book_exists() {
    let commands = commands();
    assert!(commands.contains("serve") && commands.contains("log cat"), "{commands:?}");
    let page = read("docs/reference/command-line.md");
    let left_out: Vec<&String> =
        commands.iter().filter(|command| !page.contains(&format!("switchhook {command}"))).collect();
    assert!(left_out.is_empty(), "docs/reference/command-line.md lacks {left_out:?}");

    let mut invented = Vec::new();
    for path in documents().iter().filter(|path| path.starts_with("docs/") || *path == "README.md") {
        let document = parsed(&read(path));
        let lines = document
            .blocks
            .iter()
            .flat_map(|block| block.lines())
            .chain(document.code.iter().map(String::as_str));
        for line in lines {
            let words: Vec<&str> = line.split_whitespace().collect();
            let Some(at) =
                words.iter().position(|word| *word == "switchhook" || word.ends_with("/switchhook"))
            else {
                continue;
            };
            // Only commands that are run: a command comes first, or after something like `sudo -u NAME`.
            let is_word = |word: &&&str| word.chars().all(|c| c.is_ascii_lowercase());
            let (Some(first), second) =
                (words.get(at + 1).filter(is_word), words.get(at + 2).filter(is_word))
            else {
                continue;
            };
            let exists = commands.contains(*first)
                || second.is_some_and(|second| commands.contains(&format!("{first} {second}")))
                || (second.is_none()
                    && commands.iter().any(|command| command.starts_with(&format!("{first} "))));
            if at == 0 && !exists {
                invented.push(format!("{path}: {line}"));
            }
        }
    }
    assert!(invented.is_empty(), "commands that do not exist:\n{}", invented.join("\n"));
}

#[test]
fn a_bad_command_line_and_a_failure_end_with_the_documented_exit_codes() {
    let page = read("docs/reference/command-line.md");
    assert!(page.contains("Exit codes: 0; 1 for a failure") && page.contains("64 for a bad command line"));
    let code = |words: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_switchhook")).args(words).output().unwrap().status.code().unwrap()
    };
    assert_eq!(code(&["--version"]), 0);
    assert_eq!(code(&["log", "stat", "--data-dir", "/dev/null/none"]), 1);
    assert_eq!(code(&["no-such-command"]), 64);
    assert_eq!(code(&["serve", "--set", "no.such_key=1"]), 64);
}

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
        // Shortages and what can never be sent say themselves what they are.
        .map(|code| if code.starts_with("switchhook:") { "switchhook: …" } else { code })
        .map(|code| if code.starts_with("unsendable:") { "unsendable: …" } else { code })
        .collect();
    assert!(codes.contains("forbidden_address") && codes.len() > 20, "{codes:?}");
    let explained = parsed(&read("docs/reference/deliveries.md")).code;
    let missing: Vec<&&str> =
        codes.iter().filter(|code| !explained.iter().any(|known| known == **code)).collect();
    assert!(missing.is_empty(), "docs/reference/deliveries.md lacks {missing:?}");
}
