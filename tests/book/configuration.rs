//! Configuration keys: `config/switchhook.toml`, which is a page of the book, has exactly the keys of the program, and no
//! document names another key.

use std::collections::BTreeSet;

use switchhook::config::Config;

use crate::documents::{documents_of_today, parsed, read};

/// `section.key` of every key in `config/switchhook.toml`, including keys that are commented out.
fn documented() -> BTreeSet<String> {
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
fn the_documented_keys_are_those_of_the_program() {
    assert!(read("docs/reference/configuration.md").contains("{{#include ../../config/switchhook.toml}}"));
    let documented: BTreeSet<String> =
        documented().into_iter().filter(|key| key.contains('.') || !is_section(key)).collect();
    let program: BTreeSet<String> = Config::keys().into_iter().collect();
    let invented: Vec<&String> = documented.difference(&program).filter(|key| !is_section(key)).collect();
    assert!(
        invented.is_empty(),
        "config/switchhook.toml has keys that the program does not know: {invented:?}"
    );
    let lacking: Vec<&String> = program.difference(&documented).collect();
    assert!(lacking.is_empty(), "config/switchhook.toml lacks {lacking:?}");
}

/// Whether a name is a section, or a part of one.
fn is_section(name: &str) -> bool {
    let below = format!("{name}.");
    Config::keys().iter().any(|key| key.starts_with(&below))
}

/// Texts of the form `section.key` that are not keys: routing keys, and fields of documents and responses.
const OTHER: &[&str] = &[
    "configuration.doc_type_update.webhook",
    "kazoo_sync.reading",
    "object.doc_edited.webhook",
    "pvt_kazoo.limits",
    "websockets.get",
    "websockets.set",
];

/// The endings of file names.
const ENDINGS: &[&str] = &[
    "rs", "md", "json", "toml", "html", "log", "index", "js", "key", "service", "ini", "sh", "py", "php",
    "go", "mjs",
];

fn is_name(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') && !word.is_empty()
}

/// The keys that a document names: words such as `log.reserve_bytes` in backticks, `--set` and variables in commands, and
/// the keys of TOML blocks.
fn named(text: &str) -> Vec<String> {
    let document = parsed(text);
    let mut named = Vec::new();
    for code in &document.code {
        let word = code.split([' ', '=']).next().unwrap();
        let parts: Vec<&str> = word.split('.').collect();
        let is_file = parts.last().is_some_and(|ending| ENDINGS.contains(ending));
        if parts.len() > 1 && parts.iter().all(|part| is_name(part)) && !is_file && !OTHER.contains(&word) {
            named.push(word.to_owned());
        }
    }
    for block in &document.blocks {
        let words: Vec<&str> = block.split_whitespace().collect();
        let set = words.windows(2).filter(|pair| pair[0] == "--set").map(|pair| pair[1]);
        named.extend(
            set.filter_map(|pair| pair.split_once('=')).map(|(key, _)| key.trim_matches('\'').to_owned()),
        );
        if let Ok(table) = block.parse::<toml::Table>() {
            collect("", &table, &mut named);
        }
    }
    for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
        if let Some(key) = word.strip_prefix("SWITCHHOOK__") {
            named.push(key.to_lowercase().replace("__", "."));
        }
    }
    named
}

/// The keys of a table, with those of the tables in it. An array of tables, such as `amqp.zones`, is one key.
fn collect(section: &str, table: &toml::Table, named: &mut Vec<String>) {
    for (key, value) in table {
        let key = if section.is_empty() { key.clone() } else { format!("{section}.{key}") };
        match value {
            toml::Value::Table(table) => collect(&key, table, named),
            _ => named.push(key),
        }
    }
}

#[test]
fn a_configuration_key_that_a_document_names_exists() {
    let keys: BTreeSet<String> = Config::keys().into_iter().collect();
    let mut invented = Vec::new();
    for path in documents_of_today() {
        for key in named(&read(&path)) {
            if !keys.contains(&key) && !is_section(&key) {
                invented.push(format!("{path}: {key}"));
            }
        }
    }
    assert!(invented.is_empty(), "keys that the program does not know:\n{}", invented.join("\n"));
}

#[test]
fn a_key_is_found_in_every_form_in_which_a_document_can_name_it() {
    let text = "`log.a` and `log.b = 1`, not `x.rs`\n\n```sh\nswitchhook serve --set log.c=1\nSWITCHHOOK__LOG__D=1\n```\n\n\
                ```toml\ne = 1\n[log]\nf = 1\n```\n";
    assert_eq!(named(text), ["log.a", "log.b", "log.c", "e", "log.f", "log.d"]);
}
