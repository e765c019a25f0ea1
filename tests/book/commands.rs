//! Commands, their options, and exit codes.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use switchhook::cli::{DIFFERS, USAGE};

use crate::documents::{documents_of_today, parsed, read};

const PAGE: &str = "docs/reference/command-line.md";

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
    for path in documents_of_today() {
        let document = parsed(&read(&path));
        let lines = document
            .blocks
            .iter()
            .flat_map(|block| block.lines())
            .chain(document.code.iter().map(String::as_str));
        for line in lines {
            let words: Vec<&str> = line.split_whitespace().collect();
            let Some(at) = words.iter().position(|word| {
                *word == "switchhook" || word.ends_with("/switchhook") && !word.contains('=')
            }) else {
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

/// The options of a command, from its `--help`.
fn options(command: &str) -> BTreeSet<String> {
    let words: Vec<&str> = command.split(' ').collect();
    let help = Command::new(env!("CARGO_BIN_EXE_switchhook")).args(words).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    options_in(&help).filter(|option| option != "--help").collect()
}

/// Words such as `--data-dir` in a text.
fn options_in(text: &str) -> impl Iterator<Item = String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-';
    text.split(move |c| !is_part(c))
        .filter(|word| word.starts_with("--") && word.len() > 3)
        .map(str::to_owned)
}

#[test]
fn every_option_is_in_the_book_and_every_option_of_the_book_exists() {
    let options: BTreeMap<String, BTreeSet<String>> =
        commands().into_iter().map(|command| (command.clone(), options(&command))).collect();
    assert!(options["serve"].contains("--set") && options["log cat"].contains("--limit"), "{options:?}");
    let (mut named, mut invented) = (BTreeSet::new(), Vec::new());
    for path in documents_of_today() {
        let text = read(&path);
        named.extend(options_in(&text));
        let document = parsed(&text);
        // A command may go on in the next line.
        let blocks = document.blocks.iter().map(|block| block.replace("\\\n", " "));
        let lines = blocks.flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>());
        for line in lines.chain(document.code) {
            let Some((_, arguments)) = line.split_once("switchhook ") else { continue };
            let arguments = arguments.split(['#', '|', ';', '&']).next().unwrap();
            let command = options
                .iter()
                .find(|(command, _)| format!("{arguments} ").starts_with(&format!("{command} ")));
            let Some((_, known)) = command else { continue };
            let unknown =
                options_in(arguments).filter(|option| !known.contains(option) && option != "--help");
            invented.extend(unknown.map(|option| format!("{path}: {option} in: {line}")));
        }
    }
    assert!(invented.is_empty(), "options that do not exist:\n{}", invented.join("\n"));
    for (command, options) in &options {
        let lacking: Vec<&String> = options.difference(&named).collect();
        assert!(lacking.is_empty(), "the documents lack {lacking:?} of `switchhook {command}`");
    }
}

/// The rows of the table of exit codes.
fn documented_codes() -> BTreeSet<u8> {
    let page = read(PAGE);
    let table = page.split_once("## Exit codes").expect("a table of exit codes").1;
    let codes = table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    codes.filter_map(|code| code.parse().ok()).collect()
}

#[test]
fn the_documented_exit_codes_are_those_of_the_program() {
    let mut codes = BTreeSet::from([0, 1]);
    let main = read("src/main.rs") + &read("src/cli/mod.rs");
    for (at, call) in main.match_indices("ExitCode::from(") {
        let argument = main[at + call.len()..].split(')').next().unwrap();
        codes.insert(match argument {
            "USAGE" => USAGE,
            "DIFFERS" => DIFFERS,
            other => panic!("this test does not know the exit code {other}"),
        });
    }
    assert_eq!(main.matches("process::exit(").count(), 1, "one exit, with code 1, for the second signal");
    assert_eq!(documented_codes(), codes, "left: the table of {PAGE}; right: src/main.rs");
    for path in documents_of_today() {
        let text = read(&path);
        for (at, found) in text.match_indices("code ") {
            let number: String = text[at + found.len()..].chars().take_while(char::is_ascii_digit).collect();
            // Larger numbers are close codes of websockets.
            let is_other = number.parse::<u8>().is_ok_and(|code| !codes.contains(&code));
            assert!(!is_other, "{path} names the exit code {number}, which {PAGE} does not have");
        }
    }
}

#[test]
fn a_bad_command_line_and_a_failure_end_with_the_documented_exit_codes() {
    let code = |words: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_switchhook")).args(words).output().unwrap().status.code().unwrap()
    };
    assert_eq!(code(&["--version"]), 0);
    assert_eq!(code(&["log", "stat", "--data-dir", "/dev/null/none"]), 1);
    assert_eq!(code(&["no-such-command"]), 64);
    assert_eq!(code(&["serve", "--set", "no.such_key=1"]), 64);
}
