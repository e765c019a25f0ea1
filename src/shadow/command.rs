//! The commands: they determine the two systems and the range of time, and the exit code.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::compare::{Rules, compare};
use super::replay::replay;
use super::report::Report;
use super::seen::deliveries;
use crate::cli::{ModeArgs, Ours, ReportArgs, ShadowCommand};
use crate::model::{Clock, GREGORIAN_OFFSET_S, iso8601};
use crate::onboarding::source::SourceError;
use crate::remote::{self, Remote, RemoteError};

/// Environment variables for keys when no file is given. Other users of the machine can see a command line, but not
/// this.
const KAZOO_KEY: &str = "SWITCHHOOK_KAZOO_API_KEY";
/// The default length of the compared range, in seconds.
const SPAN_S: u64 = 3600;
/// The default end of the range is this long ago, in seconds, because later attempts may still be under way.
const SETTLING_S: u64 = 60;
/// The longest range that both systems list in one request, in seconds.
const MOST_SPAN_S: u64 = 31 * 86_400;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum ShadowError {
    /// A key cannot be read, or this program cannot be asked.
    #[error("Switchhook: {0}")]
    Ours(#[from] RemoteError),
    /// The file with KAZOO's key cannot be read.
    #[error("{0}")]
    KazooKey(RemoteError),
    /// Nothing says which key KAZOO takes.
    #[error("--api-key-file or {KAZOO_KEY} must name an API key of KAZOO's master account")]
    NoKazooKey,
    /// The requested range cannot be compared.
    #[error("{0}")]
    Range(String),
    /// A system gave no usable answer.
    #[error("{system}: {reason}")]
    Source {
        /// `KAZOO` or `Switchhook`.
        system: &'static str,
        /// Why.
        reason: String,
    },
    /// The output cannot be written.
    #[error("output: {0}")]
    Output(#[from] std::io::Error),
}

/// The result of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The command succeeded; a report found no differences.
    Fine,
    /// The systems deliver differently.
    Differs,
    /// There was nothing to compare.
    Nothing,
}

pub(super) fn of(system: &'static str) -> impl Fn(SourceError) -> ShadowError {
    move |error| ShadowError::Source { system, reason: error.to_string() }
}

/// Runs a command and writes its result to stdout.
pub async fn run(command: &ShadowCommand, clock: &Clock) -> Result<Verdict, ShadowError> {
    match command {
        ShadowCommand::Report(args) => report(args, clock).await,
        ShadowCommand::Mode(args) => mode(args).await,
        ShadowCommand::Replay(args) => replay(args).await,
    }
}

async fn mode(args: &ModeArgs) -> Result<Verdict, ShadowError> {
    let ours = log_in(&args.ours).await?;
    let from = args.from.map(|second| second + GREGORIAN_OFFSET_S);
    let answer = match args.mode {
        None => ours.get("admin/mode", &[]).await,
        Some(mode) => ours.post("admin/mode", &json!({"mode": mode.id(), "from": from})).await,
    };
    let answer = answer.map_err(of("Switchhook"))?;
    writeln!(std::io::stdout(), "{answer:#}")?;
    Ok(Verdict::Fine)
}

async fn report(args: &ReportArgs, clock: &Clock) -> Result<Verdict, ShadowError> {
    let (from, to) = range(args, clock.now_us() / 1_000_000)?;
    let rules = Rules {
        tolerance_s: args.tolerance,
        ignored: args.ignore.iter().cloned().collect(),
        range: (from, to),
    };
    let kazoo = Remote::log_in(&args.crossbar, &kazoo_key(args.api_key_file.as_deref())?)
        .await
        .map_err(of("KAZOO"))?;
    let ours = log_in(&args.ours).await?;
    let mut accounts = accounts(&ours).await?;
    if !args.account.is_empty() {
        accounts.retain(|account, _| args.account.contains(account));
    }
    let second = |second: u64| iso8601(second.saturating_mul(1_000_000));
    let mut report = Report { from: second(from), to: second(to), ..Report::default() };
    let around = [
        ("created_from", from.saturating_sub(args.tolerance) + GREGORIAN_OFFSET_S),
        ("created_to", to.saturating_add(args.tolerance) + GREGORIAN_OFFSET_S),
    ];
    let query = around.map(|(name, second)| (name, second.to_string()));
    let only = if args.all { None } else { Some("shadow") };
    for (account, hooks) in accounts {
        let path = format!("v2/accounts/{account}/webhooks/attempts");
        let here = ours.rows(&path, &query).await.map_err(of("Switchhook"))?;
        let there = kazoo.rows(&path, &query).await.map_err(of("KAZOO"))?;
        let (here, mut there) = (deliveries(&here, only), deliveries(&there, None));
        report.here += here.len();
        report.there += there.len();
        report.successes_listed |= there.iter().any(|seen| seen.succeeded);
        let before = there.len();
        there.retain(|seen| hooks.contains(&seen.hook));
        report.of_unknown_hooks += before - there.len();
        report.add(compare(here, there, &rules));
    }
    let text = if args.json { format!("{:#}\n", json!(report)) } else { report.text() };
    std::io::stdout().write_all(text.as_bytes())?;
    if report.is_empty() {
        return Ok(Verdict::Nothing);
    }
    Ok(if report.differs() { Verdict::Differs } else { Verdict::Fine })
}

/// The first and last second of the range.
fn range(args: &ReportArgs, now_s: u64) -> Result<(u64, u64), ShadowError> {
    let to = args.to.unwrap_or_else(|| now_s.saturating_sub(SETTLING_S));
    let from = args.from.unwrap_or_else(|| to.saturating_sub(SPAN_S));
    if from > to {
        return Err(ShadowError::Range("--from must not be later than --to".to_owned()));
    }
    if (to - from).saturating_add(2 * args.tolerance) > MOST_SPAN_S {
        return Err(ShadowError::Range("the range from --from to --to may have at most 31 days".to_owned()));
    }
    Ok((from, to))
}

/// All accounts that have hooks here, with the ids of their hooks.
pub(super) async fn accounts(ours: &Remote) -> Result<BTreeMap<String, BTreeSet<String>>, ShadowError> {
    let rows = ours.rows("admin/hooks", &[]).await.map_err(of("Switchhook"))?;
    let mut accounts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let text =
        |row: &Map<String, Value>, name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
    for row in rows {
        if let (Some(account), Some(hook)) = (text(&row, "account_id"), text(&row, "id")) {
            accounts.entry(account).or_default().insert(hook);
        }
    }
    Ok(accounts)
}

/// This program, as the command line or its configuration say where it is.
pub(super) async fn log_in(ours: &Ours) -> Result<Remote, ShadowError> {
    Ok(Remote::of(ours).await?)
}

fn kazoo_key(file: Option<&Path>) -> Result<String, ShadowError> {
    match file {
        Some(file) => remote::key_in(file).map_err(ShadowError::KazooKey),
        None => std::env::var(KAZOO_KEY).map_err(|_| ShadowError::NoKazooKey),
    }
}
