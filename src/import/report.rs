//! The report of an import: what it did or would do, as a table for people or as JSON for programs.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use serde::Serialize;
use serde_json::json;

use crate::model::{AccountId, DocumentId, Mode};
use crate::onboarding::{Counts, Odd, OddKind, Outcome, Plan, Reading, UserChange};
use crate::state::{Kind, Mirror};

/// The most lines of one sort in a table.
const MOST_LINES: usize = 40;

/// One change.
#[derive(Debug, Clone, Serialize)]
struct ReportLine {
    action: &'static str,
    kind: Kind,
    id: String,
    /// The account's name, or the account of the hook or user.
    of: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<String>,
}

/// A report.
#[derive(Debug)]
pub(super) struct Report {
    source: String,
    master: AccountId,
    is_dry: bool,
    /// The changes that remain to be made.
    pub(super) plan: Plan,
    counts: BTreeMap<Kind, Counts>,
    names: BTreeMap<String, String>,
    lines: Vec<ReportLine>,
    odd: Vec<Odd>,
    warning: Option<&'static str>,
    made: usize,
    /// The number of documents that were deleted.
    pub(super) deleted: usize,
    /// The number of changes that were refused.
    pub(super) refused: usize,
}

/// The word for a kind of document.
pub(super) fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Account => "account",
        Kind::Hook => "hook",
        _ => "user",
    }
}

impl Report {
    pub(super) fn of(source: &str, master: AccountId, mut plan: Plan, is_dry: bool) -> Self {
        let mut report = Self {
            source: source.to_owned(),
            master,
            is_dry,
            counts: std::mem::take(&mut plan.counts),
            names: std::mem::take(&mut plan.names),
            odd: std::mem::take(&mut plan.odd),
            plan: Plan::default(),
            lines: Vec::new(),
            warning: None,
            made: 0,
            deleted: 0,
            refused: 0,
        };
        if is_dry {
            let Plan { accounts, hooks, users, gone, .. } = plan;
            report.note(&[accounts, hooks].concat(), &users, &gone);
        } else {
            report.plan = plan;
        }
        report
    }

    /// Adds changes to the report.
    pub(super) fn note(&mut self, changes: &[Mirror], users: &[UserChange], gone: &[(Kind, DocumentId)]) {
        let users = users.iter().map(|user| &user.change);
        for change in changes.iter().chain(users) {
            let is_new = change.rev.is_none();
            let shown = |field: &&String| !matches!(field.as_str(), "pvt_kazoo" | "pvt_account_id");
            let fields = change.set.keys().chain(&change.unset).filter(shown).filter(|_| !is_new).cloned();
            let of = self.names.get(&change.id).cloned().unwrap_or_default();
            let action = if is_new { "new" } else { "changed" };
            let fields = fields.collect();
            self.lines.push(ReportLine { action, kind: change.kind, id: change.id.clone(), of, fields });
        }
        for (kind, id) in gone {
            let id = id.to_string();
            let of = self.names.get(&id).cloned().unwrap_or_default();
            self.lines.push(ReportLine { action: "gone", kind: *kind, id, of, fields: Vec::new() });
        }
    }

    /// The account of a hook.
    pub(super) fn owner(&self, hook: &str) -> Option<AccountId> {
        self.names.get(hook)?.parse().ok()
    }

    pub(super) fn add(&mut self, outcome: Outcome) {
        self.made += outcome.made;
        self.refused += outcome.refused.len();
        self.odd.extend(outcome.refused);
    }

    pub(super) fn odd(&mut self, odd: Odd) {
        self.odd.push(odd);
    }

    /// Warns that the imported hooks get deliveries from this program while KAZOO still makes them.
    pub(super) fn warn_of(&mut self, mode: Mode, is_running: bool) {
        let has_new_hooks = self.counts.get(&Kind::Hook).is_some_and(|counts| counts.new > 0);
        self.warning = match (mode, is_running) {
            (Mode::Live, true) if has_new_hooks => Some(
                "The mode is live: the program delivers to the new hooks, and so does KAZOO while its webhooks application \
                 runs. To compare first: switchhook shadow mode shadow",
            ),
            (Mode::Live, false) if has_new_hooks => Some(
                "The mode is live: once the program runs, it delivers to the new hooks, and so does KAZOO while its webhooks \
                 application runs. To compare first, set kazoo.mode = \"shadow\" before the start.",
            ),
            _ => None,
        };
    }

    /// Prints the report on stdout.
    pub(super) fn print(&self, as_json: bool) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        if as_json {
            writeln!(out, "{}", self.json())?;
        } else {
            self.table(&mut out)?;
        }
        out.flush()?;
        Ok(())
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "source": self.source, "master": self.master, "dry_run": self.is_dry, "counts": self.counts,
            "changes": self.lines, "odd": self.odd, "made": self.made, "deleted": self.deleted,
            "refused": self.refused, "warning": self.warning,
        })
    }

    fn table(&self, out: &mut impl Write) -> std::io::Result<()> {
        writeln!(out, "KAZOO {}, master account {}\n", plain(&self.source), self.master)?;
        writeln!(out, "{:10}{:>8}{:>9}{:>8}{:>8}{:>10}", "", "new", "changed", "gone", "same", "left out")?;
        for (kind, counts) in &self.counts {
            let Counts { new, changed, gone, same, left_out } = counts;
            let name = format!("{}s", word(*kind));
            writeln!(out, "{name:10}{new:>8}{changed:>9}{gone:>8}{same:>8}{left_out:>10}")?;
        }
        for action in ["new", "changed", "gone"] {
            let lines: Vec<_> = self.lines.iter().filter(|line| line.action == action).collect();
            if !lines.is_empty() {
                writeln!(out)?;
            }
            for ReportLine { action, kind, id, of, fields } in lines.iter().take(MOST_LINES) {
                let of = if *kind == Kind::Account { plain(of) } else { format!("of account {}", plain(of)) };
                let fields = if fields.is_empty() {
                    String::new()
                } else {
                    format!("  ({})", plain(&fields.join(", ")))
                };
                writeln!(out, "{action:8} {:8} {id}  {of}{fields}", word(*kind))?;
            }
            rest(out, lines.len())?;
        }
        if !self.odd.is_empty() {
            writeln!(out, "\nOdd:")?;
        }
        let mut by_kind: BTreeMap<OddKind, Vec<&Odd>> = BTreeMap::new();
        for odd in &self.odd {
            by_kind.entry(odd.what).or_default().push(odd);
        }
        for (what, odds) in by_kind {
            let what = json!(what).as_str().unwrap_or_default().to_owned();
            for odd in odds.iter().take(MOST_LINES) {
                writeln!(out, "{what:20} {}  {}", plain(&odd.id), plain(&odd.text))?;
            }
            rest(out, odds.len())?;
        }
        writeln!(out)?;
        if let Some(warning) = self.warning {
            writeln!(out, "Warning: {warning}\n")?;
        }
        if self.is_dry {
            writeln!(out, "Nothing was changed (--dry-run).")
        } else {
            writeln!(
                out,
                "{} documents written, {} deleted, {} refused.",
                self.made, self.deleted, self.refused
            )
        }
    }
}

fn rest(out: &mut impl Write, count: usize) -> std::io::Result<()> {
    match count.saturating_sub(MOST_LINES) {
        0 => Ok(()),
        more => writeln!(out, "… and {more} more (--json lists all)"),
    }
}

/// Foreign text without control characters, which could control a terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(400).collect()
}

/// Reports the result of `--save`.
pub(super) fn saved(path: &Path, reading: &Reading, as_json: bool) -> anyhow::Result<()> {
    let (accounts, hooks, odd) = (reading.accounts.len(), reading.hooks.len(), &reading.odd);
    let mut out = std::io::stdout().lock();
    if as_json {
        writeln!(out, "{}", json!({"saved": path, "accounts": accounts, "hooks": hooks, "odd": odd}))?;
    } else {
        writeln!(out, "saved {accounts} accounts and {hooks} hooks to {}", path.display())?;
    }
    Ok(())
}
