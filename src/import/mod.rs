//! `switchhook import kazoo`: reads a KAZOO, shows what would change, and imports it, either into a data directory
//! that no program uses, or over the API into a running program.
//!
//! Credentials come only from files and from the environment, and no message contains one.

mod progress;
mod report;
mod target;

use std::path::Path;

use anyhow::{Context as _, bail};

use self::progress::Bar;
use self::report::Report;
use self::target::Target;
use crate::app::has_data;
use crate::cli::KazooArgs;
use crate::config::Config;
use crate::model::{Clock, DocumentId};
use crate::onboarding::source::{
    self, Bounds, Couch, Credentials, Crossbar, Gone, Manner, Progress as _, Resume, Source, Stage,
};
use crate::onboarding::{self, Odd, OddKind, Plan, Profile, Reading, Rules, Snapshot};
use crate::remote;
use crate::state::{Kind, Mirror};

/// This many accounts or hooks may always be deleted at once, whatever their share of all.
const ALWAYS_MAY_GO: usize = 10;
/// The most changes of one write, and about the most bytes of their fields. A program that runs refuses a larger request.
const CHUNK: usize = 500;
const CHUNK_BYTES: usize = 1 << 20;

/// A KAZOO that was read.
struct Read {
    reading: Reading,
    /// The source to ask again; `None`: it was a file.
    asked: Option<Source>,
    /// The source's name for messages.
    name: String,
    /// The file that kept what was read, to be removed once everything is imported.
    resume: Option<Resume>,
}

/// Carries out the command.
pub async fn kazoo(args: &KazooArgs, config: &Config) -> anyhow::Result<()> {
    if let Some(path) = args.save.as_ref().filter(|path| path.exists()) {
        bail!("{} exists already; --save writes a new file", path.display());
    }
    let mut read = read(args, config).await?;
    let resume = read.resume.take();
    import_read(args, config, read).await?;
    // After a failure the file stays, so that the next attempt need not read everything again.
    Ok(resume.map_or(Ok(()), Resume::done)?)
}

async fn import_read(args: &KazooArgs, config: &Config, read: Read) -> anyhow::Result<()> {
    if let Some(path) = &args.save {
        source::save(path, &read.reading)?;
        return report::saved(path, &read.reading, args.json);
    }
    let Some(master) = read.reading.master() else {
        bail!("{} has no master account: no account there is without a parent", read.name);
    };
    let rules = rules(config);
    if args.dry_run && args.into.is_none() && !has_data(&config.data_dir) {
        let nothing = Snapshot::of(master);
        let plan = onboarding::plan(&read.reading, &nothing, &rules)?;
        let mut report = Report::of(&read.name, master, plan, true);
        report.warn_of(config.kazoo.mode, false);
        return report.print(args.json);
    }
    let target = match &args.into {
        Some(address) => {
            let key = remote::key(args.key_file.as_deref(), config)?;
            Target::remote(address, &key).await?
        }
        None => Target::stopped(config, master).await?,
    };
    let done = import(args, read, &target, &rules).await;
    let mode = target.mode(config).await;
    let closed = target.close().await;
    let mut report = done?;
    closed?;
    report.warn_of(mode?, args.into.is_some());
    report.print(args.json)?;
    if report.refused > 0 {
        bail!("{} changes were refused; see not_applied above", report.refused);
    }
    Ok(())
}

async fn import(args: &KazooArgs, read: Read, target: &Target, rules: &Rules) -> anyhow::Result<Report> {
    let Read { reading, asked, name, .. } = read;
    let (master, here) = (reading.master().unwrap_or_default(), target.master());
    if master != here {
        bail!(
            "the master account of {name} is {master}, but here it is {here}. The first start sets the master account's id in a \
             data directory: import into a new data_dir while no program uses it, or start the program on a new data_dir with \
             accounts.master_id = \"{master}\""
        );
    }
    let plan = target.plan(&reading, rules)?;
    // The plan has all that is needed of it.
    drop(reading);
    if args.dry_run {
        return Ok(Report::of(&name, master, plan, true));
    }
    carry_out(args, asked.as_ref(), target, Report::of(&name, master, plan, false)).await
}

async fn carry_out(
    args: &KazooArgs,
    asked: Option<&Source>,
    target: &Target,
    mut report: Report,
) -> anyhow::Result<Report> {
    let bar = Bar::new();
    let Plan { accounts, hooks, users, gone, .. } = std::mem::take(&mut report.plan);
    let of = accounts.len() + hooks.len() + users.len();
    let mut changes = accounts;
    changes.extend(hooks);
    report.note(&changes, &users, &gone);
    let (mut changes, mut done) = (changes.into_iter(), 0);
    loop {
        let chunk = next_chunk(&mut changes);
        if chunk.is_empty() {
            break;
        }
        done += chunk.len();
        report.add(target.put(chunk).await?);
        bar.at(Stage::Writing, done, Some(of));
    }
    for user in users {
        let change = tokio::task::spawn_blocking(move || user.finished()).await??;
        report.add(target.put(vec![change]).await?);
        done += 1;
        bar.at(Stage::Writing, done, Some(of));
    }
    delete(args, asked, target, &mut report, &gone).await?;
    Ok(report)
}

/// Deletes what KAZOO confirms to be gone.
async fn delete(
    args: &KazooArgs,
    asked: Option<&Source>,
    target: &Target,
    report: &mut Report,
    gone: &[(Kind, DocumentId)],
) -> anyhow::Result<()> {
    for kind in [Kind::Hook, Kind::Account] {
        let ids: Vec<_> = gone.iter().filter(|(of, _)| *of == kind).map(|(_, id)| *id).collect();
        let most = (target.mirrored(kind)? * usize::from(args.max_gone) / 100).max(ALWAYS_MAY_GO);
        if ids.len() > most {
            let text = format!(
                "{} are missing in KAZOO, more than may be deleted at once ({most}), so none was deleted. If this is intended, \
                 import again with a larger --max-gone",
                ids.len()
            );
            report.odd(Odd::new(OddKind::Kept, format!("{} {}s", ids.len(), report::word(kind)), text));
            continue;
        }
        for id in ids {
            let owner = report.owner(&id.to_string());
            let is_gone = match asked {
                Some(source) => source.gone(kind, id, owner).await?,
                None => Gone::No,
            };
            let kept = match is_gone {
                Gone::Yes => match target.delete(kind, &id.to_string()).await? {
                    None => {
                        report.deleted += 1;
                        continue;
                    }
                    Some(why) => why,
                },
                Gone::OnlyHalf => {
                    "it is missing in the database 'accounts', but its own database exists (sup \
                     kapps_maintenance ensure_aggregate_accounts)"
                        .to_owned()
                }
                Gone::No if asked.is_none() => "a file cannot confirm that it was deleted".to_owned(),
                Gone::No => "KAZOO does not confirm that it was deleted".to_owned(),
            };
            report.odd(Odd::new(OddKind::Kept, id, format!("missing in KAZOO, and kept: {kept}")));
        }
    }
    Ok(())
}

/// The changes of the next write.
fn next_chunk(changes: &mut impl Iterator<Item = Mirror>) -> Vec<Mirror> {
    let mut bytes = 0;
    let mut chunk = Vec::new();
    while chunk.len() < CHUNK && bytes < CHUNK_BYTES {
        let Some(change) = changes.next() else { break };
        bytes += serde_json::to_vec(&change.set).map_or(0, |text| text.len());
        chunk.push(change);
    }
    chunk
}

fn rules(config: &Config) -> Rules {
    Rules {
        allow: config.delivery.allow_addresses.clone(),
        most_hooks: config.limits.max_hooks_per_account,
        most_bytes: config.limits.max_document_bytes,
        ..Rules::default()
    }
}

/// Reads the KAZOO.
async fn read(args: &KazooArgs, config: &Config) -> anyhow::Result<Read> {
    let profile = if args.kazoo == "4.3" { Profile::Classic } else { Profile::Current };
    let sync = &config.kazoo.sync;
    let bounds = Bounds { most_accounts: sync.max_accounts, most_hooks: sync.max_hooks };
    let manner = Manner::default();
    if let Some(path) = &args.file {
        let path = path.clone();
        let name = path.display().to_string();
        let reading = tokio::task::spawn_blocking(move || source::load(&path, bounds)).await??;
        return Ok(Read { reading, asked: None, name, resume: None });
    }
    let (source, name) = if let Some(address) = &args.couch {
        let credentials = secret(args.couch_credentials_file.as_deref(), "SWITCHHOOK_COUCH_CREDENTIALS")?;
        let credentials = credentials.map(|text| {
            Credentials::parse(&text).context("CouchDB's credentials must have the form name:password")
        });
        let couch = Couch::new(address, credentials.transpose()?, manner, profile, bounds)?;
        (Source::Couch(couch), address)
    } else {
        let address = args.crossbar.as_ref().context("name a source: --couch, --crossbar or --file")?;
        let key = secret(args.api_key_file.as_deref(), "SWITCHHOOK_KAZOO_API_KEY")?;
        let key = key.context("an API key of the KAZOO's master account is needed: --api-key-file FILE, or SWITCHHOOK_KAZOO_API_KEY in the environment")?;
        (Source::Crossbar(Crossbar::new(address, &key, manner, profile, bounds)?), address)
    };
    let bar = Bar::new();
    let now_s = Clock::system().now_us() / 1_000_000;
    let opened = args.resume.as_ref().map(|path| Resume::open(path, name, bounds, now_s));
    let mut resume = opened.transpose()?;
    let read = source.read(args.users, sync.step_accounts, &bar, resume.as_mut()).await;
    let kept = args.resume.as_deref().zip(resume.as_ref()).filter(|(_, resume)| resume.accounts() > 0);
    let reading = read.map_err(|error| {
        let rest = match kept {
            Some((file, resume)) => format!(
                "; {} accounts have been read and are kept in {}: run the same command again to read only the others",
                resume.accounts(),
                file.display()
            ),
            None if bar.has_lists() && args.resume.is_none() => {
                "; with --resume FILE the next attempt would continue where this one ended".to_owned()
            }
            None => String::new(),
        };
        anyhow::Error::new(error).context(format!("reading {name}: nothing was changed{rest}"))
    })?;
    Ok(Read { reading, asked: Some(source), name: name.clone(), resume })
}

/// A secret from a file or from the environment.
pub(crate) fn secret(file: Option<&Path>, variable: &str) -> anyhow::Result<Option<String>> {
    if let Some(path) = file {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        return Ok(Some(text.trim().to_owned()));
    }
    Ok(std::env::var(variable).ok().filter(|text| !text.is_empty()))
}
