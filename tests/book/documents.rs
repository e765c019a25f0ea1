//! The documents of the repository, parsed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Files below `folder` whose names end with one of `endings`, as paths from the root.
pub(crate) fn files(folder: &str, endings: &[&str]) -> Vec<String> {
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

/// All documents of the repository.
pub(crate) fn documents() -> Vec<String> {
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

/// The parts of a document that the checks need.
#[derive(Default)]
pub(crate) struct Document {
    pub(crate) links: Vec<String>,
    pub(crate) anchors: BTreeSet<String>,
    pub(crate) headings: Vec<String>,
    pub(crate) code: Vec<String>,
    pub(crate) blocks: Vec<String>,
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

pub(crate) fn parsed(text: &str) -> Document {
    let mut document = Document::default();
    let (mut heading, mut block) = (None::<String>, None::<String>);
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => {
                let heading = heading.take().unwrap();
                document.anchors.insert(anchor(&heading));
                document.headings.push(heading);
            }
            Event::Start(Tag::CodeBlock(_)) => block = Some(String::new()),
            Event::End(TagEnd::CodeBlock) => document.blocks.push(block.take().unwrap()),
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                document.links.push(dest_url.into_string());
            }
            Event::Code(code) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&code);
                }
                document.code.push(code.into_string());
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
    document
}

/// The documents about this program as it is now: without the change log, which names keys and routes that are gone, and
/// without the pages about KAZOO, which name KAZOO's own.
pub(crate) fn documents_of_today() -> Vec<String> {
    documents()
        .into_iter()
        .filter(|path| path != "CHANGELOG.md" && !path.starts_with("docs/kazoo/"))
        .collect()
}
