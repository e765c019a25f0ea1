//! The command line: what can be asked for, and the exit codes (0; 1 for failures; 2 for
//! differences that `shadow report` has found; 64 for a bad command line or
//! configuration).

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, ConfigError, Overlay, load};
use crate::model::{Mode, seconds_of};

/// Exit code for a bad command line or configuration (`EX_USAGE`).
pub const USAGE: u8 = 64;
/// Exit code when `shadow report` has found that the two systems differ.
pub const DIFFERS: u8 = 2;

/// Durable, ordered webhook delivery for KAZOO events.
#[derive(Debug, Parser)]
#[command(name = "switchhook", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be asked for.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    Serve(Settings),
    /// Show the whole product at work on this machine alone: calls, hooks, failures, recovery
    Demo(DemoArgs),
    /// Copy a data directory, while the program runs on it or not
    Backup {
        /// Where to: a new or empty directory
        to: PathBuf,
        /// The data directory
        #[arg(long, default_value = "data", value_name = "DIR")]
        data_dir: PathBuf,
    },
    /// Make a data directory of a backup
    Restore {
        /// The backup
        from: PathBuf,
        /// The data directory to make: new or empty
        data_dir: PathBuf,
    },
    /// What an installation has at the broker
    Amqp {
        /// What to do there.
        #[command(subcommand)]
        command: AmqpCommand,
    },
    /// Run beside a KAZOO: what would be delivered here against what KAZOO has delivered
    Shadow {
        /// What to do.
        #[command(subcommand)]
        command: ShadowCommand,
    },
    /// Take over the accounts and hooks of another system
    Import {
        /// From which one.
        #[command(subcommand)]
        command: ImportCommand,
    },
    /// Look into a data directory's logs while nothing runs on it
    Log {
        /// What to look for.
        #[command(subcommand)]
        command: LogCommand,
    },
}

/// How the demo runs.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Seconds to run; 0 runs until Ctrl-C
    #[arg(long, default_value_t = 0)]
    pub seconds: u64,
}

/// Where the configuration comes from.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// A file over the defaults (config/switchhook.toml shows every key)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// One key over everything else; may be repeated
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
}

impl Settings {
    /// The configuration that they make with the environment.
    pub fn load(&self) -> Result<Config, ConfigError> {
        // Keys that are no text cannot be ours.
        let env =
            std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        load(&Overlay { file: self.config.clone(), env: env.collect(), set: self.set.clone() })
    }
}

/// What can be done at the broker.
#[derive(Debug, Subcommand)]
pub enum AmqpCommand {
    /// Make the queue again with the configured bounds, without losing a message; the program must not run
    Renew {
        /// Where the broker, the queue's name and its bounds come from.
        #[command(flatten)]
        settings: Settings,
    },
    /// Take away the queue and its bindings when an installation ends; without --yes only show them
    Remove {
        /// Where the broker and the queue's name come from.
        #[command(flatten)]
        settings: Settings,
        /// Remove them, with all messages in the queue
        #[arg(long)]
        yes: bool,
    },
}

/// What can be done beside a KAZOO.
#[derive(Debug, Subcommand)]
pub enum ShadowCommand {
    /// Compare the attempts of both systems; exit code 2 when they differ
    Report(ReportArgs),
    /// Show what becomes of deliveries here, or change it
    Mode(ModeArgs),
    /// Deliver a time of the log again, to every hook; without --yes only count
    Replay(ReplayArgs),
}

/// Where the running program is.
#[derive(Debug, Clone, Args)]
pub struct Ours {
    /// Where its listener and its key come from.
    #[command(flatten)]
    pub settings: Settings,
    /// Its API; `http.listen` of the configuration unless given
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// A file with an API key of its master account; `SWITCHHOOK_API_KEY`, the configuration's, or master.key of its data
    /// directory unless given
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
}

/// What is compared.
#[derive(Debug, Clone, Args)]
pub struct ReportArgs {
    /// KAZOO's API: scheme, host and port of its crossbar
    #[arg(long, value_name = "URL")]
    pub crossbar: String,
    /// A file with an API key of KAZOO's master account; `SWITCHHOOK_KAZOO_API_KEY` unless given
    #[arg(long, value_name = "FILE")]
    pub api_key_file: Option<PathBuf>,
    /// Where the running program is.
    #[command(flatten)]
    pub ours: Ours,
    /// The first moment, such as 2026-11-28T14:00:00Z or seconds since 1970; an hour before --to unless given
    #[arg(long, value_name = "TIME", value_parser = second)]
    pub from: Option<u64>,
    /// The last moment; a minute ago unless given
    #[arg(long, value_name = "TIME", value_parser = second)]
    pub to: Option<u64>,
    /// Seconds by which the two times of one delivery may differ
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub tolerance: u64,
    /// A field of bodies that does not count; may be repeated
    #[arg(long, value_name = "FIELD")]
    pub ignore: Vec<String>,
    /// Only this account; may be repeated
    #[arg(long, value_name = "ID")]
    pub account: Vec<String>,
    /// Compare what was really delivered here, too, not only the shadow attempts
    #[arg(long)]
    pub all: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

/// What becomes of deliveries.
#[derive(Debug, Clone, Args)]
pub struct ModeArgs {
    /// shadow, handover or live; without one the mode is shown
    pub mode: Option<Mode>,
    /// In a handover: the first moment of the system that takes over, such as 2026-11-28T14:00:00Z
    #[arg(long, value_name = "TIME", value_parser = second, requires = "mode")]
    pub from: Option<u64>,
    /// Where the running program is.
    #[command(flatten)]
    pub ours: Ours,
}

/// What is delivered again.
#[derive(Debug, Clone, Args)]
pub struct ReplayArgs {
    /// The first moment, such as 2026-11-28T14:00:00Z or seconds since 1970
    #[arg(long, value_name = "TIME", value_parser = second)]
    pub from: u64,
    /// The last moment; its whole second counts
    #[arg(long, value_name = "TIME", value_parser = second)]
    pub to: u64,
    /// Deliver
    #[arg(long)]
    pub yes: bool,
    /// Where the running program is.
    #[command(flatten)]
    pub ours: Ours,
}

fn second(text: &str) -> Result<u64, String> {
    seconds_of(text).ok_or_else(|| "must be such as 2026-11-28T14:00:00Z, or seconds since 1970".to_owned())
}

/// Whose accounts and hooks can be imported.
#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// A KAZOO's: accounts, hooks, failure limits, and users if asked for
    Kazoo(Box<KazooArgs>),
}

/// Where a KAZOO is read, and where its accounts and hooks go.
#[derive(Debug, Clone, Args)]
#[command(group = clap::ArgGroup::new("source").required(true).args(["couch", "crossbar", "file"]))]
pub struct KazooArgs {
    /// Read the KAZOO's CouchDB at this address
    #[arg(long, value_name = "URL")]
    pub couch: Option<String>,
    /// A file with "name:password" for CouchDB (or `SWITCHHOOK_COUCH_CREDENTIALS` in the environment)
    #[arg(long, value_name = "FILE", requires = "couch")]
    pub couch_credentials_file: Option<PathBuf>,
    /// Read the KAZOO's API at this address
    #[arg(long, value_name = "URL")]
    pub crossbar: Option<String>,
    /// A file with an API key of the KAZOO's master account (or `SWITCHHOOK_KAZOO_API_KEY` in the environment)
    #[arg(long, value_name = "FILE", requires = "crossbar")]
    pub api_key_file: Option<PathBuf>,
    /// Read what --save wrote
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Only write what was read to a new file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["file", "users", "dry_run", "into"])]
    pub save: Option<PathBuf>,
    /// Import into the program that runs at this address; else into the data directory, while no program runs on it
    #[arg(long, value_name = "URL")]
    pub into: Option<String>,
    /// A file with the API key of the master account here (or `SWITCHHOOK_API_KEY`; else `DATA_DIR/master.key`)
    #[arg(long, value_name = "FILE", requires = "into")]
    pub key_file: Option<PathBuf>,
    /// Show what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON instead of tables
    #[arg(long)]
    pub json: bool,
    /// Import users, too, with what is kept of their passwords (CouchDB only)
    #[arg(long, requires = "couch")]
    pub users: bool,
    /// The KAZOO's version: it decides what makes an account disabled
    #[arg(long, value_name = "VERSION", default_value = "5", value_parser = ["4.3", "5"])]
    pub kazoo: String,
    /// Percent of the imported accounts, or hooks, that may go at once; ten of each may always go
    #[arg(long, value_name = "PERCENT", default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub max_gone: u8,
    /// The configuration: the data directory, the addresses that hooks may name, the limits.
    #[command(flatten)]
    pub settings: Settings,
}

/// What can be asked of a data directory's logs.
#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Segments, offsets, sizes
    Stat(LogArgs),
    /// Records, one JSON line each
    Cat {
        /// Which log.
        #[command(flatten)]
        log: LogArgs,
        /// First offset
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// Records at most
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Check every record of every segment
    Verify(LogArgs),
}

/// Which log of which data directory.
#[derive(Debug, Clone, Args)]
pub struct LogArgs {
    /// The data directory
    #[arg(long, default_value = "data", value_name = "DIR")]
    pub data_dir: PathBuf,
    /// events, ledger, journal, audit or audit-kept
    #[arg(default_value = "events", value_parser = ["events", "ledger", "journal", "audit", "audit-kept"])]
    pub log: String,
}

/// Reads the command line; `Err` is the exit code after the message has been shown.
pub fn parse() -> Result<Cli, ExitCode> {
    Cli::try_parse().map_err(|error| {
        let shown = error.print();
        if shown.is_ok() && !error.use_stderr() { ExitCode::SUCCESS } else { ExitCode::from(USAGE) }
    })
}
