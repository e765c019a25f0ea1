//! The command line and the exit codes: 0; 1 for failures; 2 if `shadow report` has found differences; 64 for a bad
//! command line or configuration.

mod manage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, ConfigError, Overlay, load};
use crate::model::{Mode, seconds_of};

pub use manage::{
    EnableArgs, HooksCommand, HooksListArgs, ResetArgs, Scope, Sessions, SessionsCloseArgs, SessionsCommand,
    SessionsListArgs,
};

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

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    Serve(Settings),
    /// Demonstrate the whole product on this machine alone: calls, hooks, failures, recovery
    Demo(DemoArgs),
    /// Copy a data directory, while the program runs on it or not
    Backup {
        /// The target: a new or empty directory
        to: PathBuf,
        /// The data directory
        #[arg(long, default_value = "data", value_name = "DIR")]
        data_dir: PathBuf,
    },
    /// Create a data directory from a backup
    Restore {
        /// The backup
        from: PathBuf,
        /// The data directory to create: new or empty
        data_dir: PathBuf,
    },
    /// Commands for the installation's queue at the broker
    Amqp {
        /// What to do there.
        #[command(subcommand)]
        command: AmqpCommand,
    },
    /// Run beside a KAZOO: compare deliveries, and change the mode
    Shadow {
        /// What to do.
        #[command(subcommand)]
        command: ShadowCommand,
    },
    /// The hooks of a running program, of all accounts
    Hooks {
        /// What to do with them.
        #[command(subcommand)]
        command: HooksCommand,
    },
    /// The websocket sessions of a running program, of all accounts
    Sessions {
        /// What to do with them.
        #[command(subcommand)]
        command: SessionsCommand,
    },
    /// Import the accounts and hooks of another system
    Import {
        /// The other system.
        #[command(subcommand)]
        command: ImportCommand,
    },
    /// Inspect a data directory's logs while no program uses it
    Log {
        /// The inspection.
        #[command(subcommand)]
        command: LogCommand,
    },
}

/// Arguments of the demo.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Seconds to run; 0 runs until Ctrl-C
    #[arg(long, default_value_t = 0)]
    pub seconds: u64,
}

/// The sources of the configuration.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// A file that overrides the defaults (config/switchhook.toml shows every key)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// One key that overrides all other sources; may be repeated
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
}

impl Settings {
    /// Loads the configuration from these sources and the environment.
    pub fn load(&self) -> Result<Config, ConfigError> {
        // Variables that are not valid text cannot be ours.
        let env =
            std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        load(&Overlay { file: self.config.clone(), env: env.collect(), set: self.set.clone() })
    }
}

/// Commands for the queue at the broker.
#[derive(Debug, Subcommand)]
pub enum AmqpCommand {
    /// Recreate the queue with the configured bounds, without losing a message; the program must not run
    Renew {
        /// The configuration with the broker, the queue's name and its bounds.
        #[command(flatten)]
        settings: Settings,
    },
    /// Remove the queue and its bindings when an installation ends; without --yes only show them
    Remove {
        /// The configuration with the broker and the queue's name.
        #[command(flatten)]
        settings: Settings,
        /// Remove them, with all messages in the queue
        #[arg(long)]
        yes: bool,
    },
}

/// Commands beside a KAZOO.
#[derive(Debug, Subcommand)]
pub enum ShadowCommand {
    /// Compare the attempts of both systems; exit code 2 when they differ
    Report(ReportArgs),
    /// Show the mode of deliveries here, or change it
    Mode(ModeArgs),
    /// Deliver a range of time of the log again, to every hook; without --yes only count
    Replay(ReplayArgs),
}

/// The running program.
#[derive(Debug, Clone, Args)]
pub struct Ours {
    /// The configuration with its listener and its key.
    #[command(flatten)]
    pub settings: Settings,
    /// The URL of its API; by default `http.listen` of the configuration
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// A file with an API key of its master account; by default `SWITCHHOOK_API_KEY`, the key in the configuration,
    /// or master.key of its data directory
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
}

/// Arguments of the report.
#[derive(Debug, Clone, Args)]
pub struct ReportArgs {
    /// KAZOO's API: scheme, host and port of its crossbar
    #[arg(long, value_name = "URL")]
    pub crossbar: String,
    /// A file with an API key of KAZOO's master account; by default `SWITCHHOOK_KAZOO_API_KEY`
    #[arg(long, value_name = "FILE")]
    pub api_key_file: Option<PathBuf>,
    /// The running program.
    #[command(flatten)]
    pub ours: Ours,
    /// Start of the range, for example 2026-11-28T14:00:00Z, or seconds since 1970; by default an hour before --to
    #[arg(long, value_name = "TIME", value_parser = second)]
    pub from: Option<u64>,
    /// End of the range; by default a minute ago
    #[arg(long, value_name = "TIME", value_parser = second)]
    pub to: Option<u64>,
    /// The largest difference between the two times of one delivery, in seconds
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub tolerance: u64,
    /// A field of bodies to ignore; may be repeated
    #[arg(long, value_name = "FIELD")]
    pub ignore: Vec<String>,
    /// Only this account; may be repeated
    #[arg(long, value_name = "ID")]
    pub account: Vec<String>,
    /// Compare deliveries that were really sent here, too, not only the shadow attempts
    #[arg(long)]
    pub all: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of the mode.
#[derive(Debug, Clone, Args)]
pub struct ModeArgs {
    /// shadow, handover or live; without it the mode is shown
    pub mode: Option<Mode>,
    /// In a handover: the time from which events belong to the system that takes over, for example 2026-11-28T14:00:00Z
    #[arg(long, value_name = "TIME", value_parser = second, requires = "mode")]
    pub from: Option<u64>,
    /// The running program.
    #[command(flatten)]
    pub ours: Ours,
}

/// Arguments of the replay.
#[derive(Debug, Clone, Args)]
pub struct ReplayArgs {
    /// Start of the range, for example 2026-11-28T14:00:00Z, or seconds since 1970
    #[arg(long, value_name = "TIME", value_parser = second)]
    pub from: u64,
    /// End of the range, including its whole second
    #[arg(long, value_name = "TIME", value_parser = second)]
    pub to: u64,
    /// Deliver
    #[arg(long)]
    pub yes: bool,
    /// The running program.
    #[command(flatten)]
    pub ours: Ours,
}

fn second(text: &str) -> Result<u64, String> {
    seconds_of(text).ok_or_else(|| "must be like 2026-11-28T14:00:00Z, or seconds since 1970".to_owned())
}

/// Systems to import from.
#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// A KAZOO: accounts, hooks, failure limits, and optionally users
    Kazoo(Box<KazooArgs>),
}

/// The source and the target of an import.
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
    /// Read a file that --save has written
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Only write what was read to a new file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["file", "users", "dry_run", "into"])]
    pub save: Option<PathBuf>,
    /// Keep what has been read in this file until the import is done; after an interruption the same command continues there
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    pub resume: Option<PathBuf>,
    /// Import into the program that runs at this address; by default into the data directory, which no program may use
    #[arg(long, value_name = "URL")]
    pub into: Option<String>,
    /// A file with an API key of the master account here; by default `SWITCHHOOK_API_KEY` or `DATA_DIR/master.key`
    #[arg(long, value_name = "FILE", requires = "into")]
    pub key_file: Option<PathBuf>,
    /// Show what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON instead of tables
    #[arg(long)]
    pub json: bool,
    /// Import users too, with the stored hashes of their passwords (CouchDB only)
    #[arg(long, requires = "couch")]
    pub users: bool,
    /// The KAZOO's version, which decides when an account counts as disabled
    #[arg(long, value_name = "VERSION", default_value = "5", value_parser = ["4.3", "5"])]
    pub kazoo: String,
    /// The most imported accounts, or hooks, that may be deleted at once, in percent; ten of each may always be deleted
    #[arg(long, value_name = "PERCENT", default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub max_gone: u8,
    /// The configuration: the data directory, the addresses that hooks may name, the limits.
    #[command(flatten)]
    pub settings: Settings,
}

/// Inspections of a data directory's logs.
#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Segments, offsets, sizes
    Stat(LogArgs),
    /// Records, one JSON line each
    Cat {
        /// The log.
        #[command(flatten)]
        log: LogArgs,
        /// The first offset
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// The most records
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Check every record of every segment
    Verify(LogArgs),
}

/// A log of a data directory.
#[derive(Debug, Clone, Args)]
pub struct LogArgs {
    /// The data directory
    #[arg(long, default_value = "data", value_name = "DIR")]
    pub data_dir: PathBuf,
    /// events, ledger, journal, audit or audit-kept
    #[arg(default_value = "events", value_parser = ["events", "ledger", "journal", "audit", "audit-kept"])]
    pub log: String,
}

/// Parses the command line. On `Err`, the message has been shown and the value is the exit code.
pub fn parse() -> Result<Cli, ExitCode> {
    Cli::try_parse().map_err(|error| {
        let shown = error.print();
        if shown.is_ok() && !error.use_stderr() { ExitCode::SUCCESS } else { ExitCode::from(USAGE) }
    })
}
