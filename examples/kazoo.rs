//! A stand-in KAZOO for trying an import or a sync by hand: its CouchDB and its API on one port of 127.0.0.1, with as many
//! accounts and hooks as you like. It is the one of the tests, so what it does wrong, it does wrong on demand.
//!
//! ```sh
//! cargo run --example kazoo -- --port 5984 --accounts 1000 --hooks 500
//! ```
//!
//! It prints its credentials and ids. Then it reads commands from the terminal; `help` lists them.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a program of the command line, for tests"
)]

#[path = "../tests/it/support"]
#[expect(
    dead_code,
    unreachable_pub,
    clippy::indexing_slicing,
    reason = "shared with the tests, which use more of it"
)]
mod support {
    pub(crate) mod kazoo;
    mod port;
    pub(crate) mod receiver;
    mod receiver_http;
}

use std::process::ExitCode;

use clap::Parser;
use serde_json::json;

use self::support::kazoo::{Data, Fault, KAZOO_KEY, Kazoo, READER, Version};

/// A stand-in KAZOO.
#[derive(Parser)]
struct Args {
    /// The port for CouchDB and the API; 0: a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// How many accounts it has below the master account.
    #[arg(long, default_value_t = 10)]
    accounts: usize,
    /// How many hooks it has, one for each account.
    #[arg(long, default_value_t = 5)]
    hooks: usize,
    /// Where the hooks point.
    #[arg(long, default_value = "https://crm.example.net/hook")]
    uri: String,
    /// It is a KAZOO 4.3.
    #[arg(long)]
    classic: bool,
}

const HELP: &str = "\
account PARENT NAME    make an account
hook ACCOUNT URI       make a hook
rename ACCOUNT NAME    rename an account
enable ACCOUNT, disable ACCOUNT
limits ACCOUNT COUNT   set an account's failure limit
delete ACCOUNT         delete an account with its hooks
fail PATH STATUS       answer requests whose path contains PATH with STATUS (403: no permission)
hang PATH              never answer them
mend                   answer everything again";

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let version = if args.classic { Version::V43 } else { Version::V50 };
    let kazoo = Kazoo::start_closed_at(version, args.port).await;
    kazoo.with(|data| data.fill(args.accounts, args.hooks, &args.uri));
    println!("CouchDB and API    {}", kazoo.uri());
    println!("CouchDB reader     {READER}");
    println!("API key            {KAZOO_KEY}");
    println!("master account     {}", kazoo.with(|data| data.master.clone()));
    for account in kazoo.with(|data| data.accounts()).iter().take(3) {
        println!("an account         {account}");
    }
    let (lines, mut commands) = tokio::sync::mpsc::channel(16);
    // A thread of its own: reading a terminal cannot be interrupted.
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    while let Some(line) = commands.recv().await {
        let words: Vec<_> = line.split_whitespace().collect();
        if !words.is_empty() && !carry_out(&kazoo, &words) {
            eprintln!("{HELP}");
        }
    }
    // Without a terminal it runs until it is stopped.
    std::future::pending::<()>().await;
    ExitCode::SUCCESS
}

/// Carries out a command; `false`: there is no such command or account.
fn carry_out(kazoo: &Kazoo, words: &[&str]) -> bool {
    let is_known = |data: &Data, account: &str| data.is_account(account);
    match *words {
        ["account", parent, ref name @ ..] => kazoo.with(|data| {
            let made = is_known(data, parent).then(|| data.account(parent, &name.join(" ")));
            made.inspect(|id| println!("{id}")).is_some()
        }),
        ["hook", account, uri] => kazoo.with(|data| {
            let made = is_known(data, account).then(|| data.hook(account, json!({"uri": uri})));
            made.inspect(|id| println!("{id}")).is_some()
        }),
        ["rename", account, ref name @ ..] => edit(kazoo, account, |data| {
            data.edit_account(account, |doc| drop(doc.insert("name".into(), name.join(" ").into())));
        }),
        ["enable", account] => edit(kazoo, account, |data| data.enable(account, true)),
        ["disable", account] => edit(kazoo, account, |data| data.enable(account, false)),
        ["limits", account, count] => edit(kazoo, account, |data| {
            let count: u64 = count.parse().unwrap_or(6);
            data.limits(account, json!({"attempt_failure_count": count}));
        }),
        // KAZOO refuses to delete an account with descendants.
        ["delete", account] if kazoo.with(|data| data.below(account).is_empty()) => {
            edit(kazoo, account, |data| data.delete_account(account))
        }
        ["fail", path, status] => {
            let Ok(status) = status.parse() else { return false };
            kazoo.fault(path, Fault::Status(status), usize::MAX);
            true
        }
        ["hang", path] => {
            kazoo.fault(path, Fault::Hang, usize::MAX);
            true
        }
        ["mend"] => {
            kazoo.mend();
            true
        }
        _ => false,
    }
}

fn edit(kazoo: &Kazoo, account: &str, change: impl FnOnce(&mut Data)) -> bool {
    kazoo.with(|data| {
        let is_there = data.is_account(account);
        if is_there {
            change(data);
        }
        is_there
    })
}
