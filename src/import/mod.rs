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
use crate::onboarding::source::{
    self, Bounds, Couch, Credentials, Crossbar, Gone, Manner, Progress as _, Source, Stage,
};
use crate::onboarding::{self, Odd, OddKind, Plan, Profile, Reading, Rules, Snapshot};
use crate::remote;
use crate::state::Kind;

/// This many accounts or hooks may always be deleted at once, whatever their share of all.
const ALWAYS_MAY_GO: usize = 10;
/// The number of changes in one write.
const CHUNK: usize = 500;

/// Carries out the command.
pub async fn kazoo(args: &KazooArgs, config: &Config) -> anyhow::Result<()> {
    let (reading, asked, name) = read(args, config).await?;
    if let Some(path) = &args.save {
        source::save(path, &reading)?;
        return report::saved(path, &reading, args.json);
    }
    let Some(master) = reading.master() else {
        bail!("{name} has no master account: no account there is without a parent");
    };
    let rules = rules(config);
    if args.dry_run && args.into.is_none() && !has_data(&config.data_dir) {
        let nothing = Snapshot { master, ..Snapshot::default() };
        let plan = onboarding::plan(&reading, &nothing, &rules)?;
        return Report::of(&name, master, plan, true).print(args.json);
    }
    let target = match &args.into {
        Some(address) => {
            let key = remote::key(args.key_file.as_deref(), config)?;
            Target::remote(address, &key).await?
        }
        None => Target::stopped(config, master).await?,
    };
    let done = import(args, (&reading, asked.as_ref(), &name), &target, &rules).await;
    let closed = target.close().await;
    let report = done?;
    closed?;
    report.print(args.json)?;
    if report.refused > 0 {
        bail!("{} changes were refused; see not_applied above", report.refused);
    }
    Ok(())
}

type From<'a> = (&'a Reading, Option<&'a Source>, &'a str);

async fn import(args: &KazooArgs, from: From<'_>, target: &Target, rules: &Rules) -> anyhow::Result<Report> {
    let (reading, asked, name) = from;
    let (master, here) = (reading.master().unwrap_or_default(), target.master());
    if master != here {
        bail!(
            "the master account of {name} is {master}, but here it is {here}. The first start sets the master account's id in a \
             data directory: import into a new data_dir while no program uses it, or start the program on a new data_dir with \
             accounts.master_id = \"{master}\""
        );
    }
    let plan = target.plan(reading, rules)?;
    if args.dry_run {
        return Ok(Report::of(name, master, plan, true));
    }
    carry_out(args, asked, target, Report::of(name, master, plan, false)).await
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
    let mut done = 0;
    for chunk in changes.chunks(CHUNK) {
        report.add(target.put(chunk.to_vec()).await?);
        done += chunk.len();
        bar.at(Stage::Writing, done, Some(of));
    }
    for user in users {
        let change = tokio::task::spawn_blocking(move || user.finished()).await??;
        report.add(target.put(vec![change]).await?);
        done += 1;
        bar.at(Stage::Writing, done, Some(of));
    }
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
    Ok(report)
}

fn rules(config: &Config) -> Rules {
    Rules {
        allow: config.delivery.allow_addresses.clone(),
        most_hooks: config.limits.max_hooks_per_account,
        most_bytes: config.limits.max_document_bytes,
        ..Rules::default()
    }
}

/// The content of the KAZOO, the source to ask again, and the source's name for messages.
async fn read(args: &KazooArgs, config: &Config) -> anyhow::Result<(Reading, Option<Source>, String)> {
    let profile = if args.kazoo == "4.3" { Profile::Classic } else { Profile::Current };
    let sync = &config.kazoo.sync;
    let bounds = Bounds { most_accounts: sync.max_accounts, most_hooks: sync.max_hooks };
    let manner = Manner::default();
    if let Some(path) = &args.file {
        let path = path.clone();
        let name = path.display().to_string();
        let reading = tokio::task::spawn_blocking(move || source::load(&path, bounds)).await??;
        return Ok((reading, None, name));
    }
    let (source, name) = if let Some(address) = &args.couch {
        let credentials = secret(args.couch_credentials_file.as_deref(), "SWITCHHOOK_COUCH_CREDENTIALS")?;
        let credentials = credentials.map(|text| {
            Credentials::parse(&text).context("CouchDB's credentials must have the form name:password")
        });
        let couch = Couch::new(address, credentials.transpose()?, manner, (profile, bounds))?;
        (Source::Couch(couch), address)
    } else {
        let address = args.crossbar.as_ref().context("name a source: --couch, --crossbar or --file")?;
        let key = secret(args.api_key_file.as_deref(), "SWITCHHOOK_KAZOO_API_KEY")?;
        let key = key.context("an API key of the KAZOO's master account is needed: --api-key-file FILE, or SWITCHHOOK_KAZOO_API_KEY in the environment")?;
        (Source::Crossbar(Crossbar::new(address, &key, manner, (profile, bounds))?), address)
    };
    let bar = Bar::new();
    let reading = source.read(args.users, &bar).await.with_context(|| format!("reading {name}"))?;
    Ok((reading, Some(source), name.clone()))
}

/// A secret from a file or from the environment.
pub(crate) fn secret(file: Option<&Path>, variable: &str) -> anyhow::Result<Option<String>> {
    if let Some(path) = file {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        return Ok(Some(text.trim().to_owned()));
    }
    Ok(std::env::var(variable).ok().filter(|text| !text.is_empty()))
}
