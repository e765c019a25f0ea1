//! `switchhook log …`: inspects a data directory while no program uses it. Changes nothing.

use std::io::Write;
use std::ops::ControlFlow;

use serde_json::{Value, json};

use crate::cli::{LogArgs, LogCommand};
use crate::disk::OsDisk;
use crate::log::Record;
use crate::log::inspect::{cat, stat, verify};
use crate::model::{Event, iso8601};
use crate::queues::LedgerRecord;

/// Writes the result of an inspection to `out`. Returns false when damage was found.
pub fn inspect(command: &LogCommand, out: &mut impl Write) -> anyhow::Result<bool> {
    match command {
        LogCommand::Stat(args) => print_stat(args, out),
        LogCommand::Cat { log, from, limit } => print_records(log, *from, *limit, out),
        LogCommand::Verify(args) => print_report(args, out),
    }
}

fn print_stat(args: &LogArgs, out: &mut impl Write) -> anyhow::Result<bool> {
    let segments = stat(&OsDisk, &args.data_dir.join(&args.log))?;
    for segment in &segments {
        let line = json!({
            "file": segment.file.file_name().map(|n| n.to_string_lossy()),
            "first": segment.first,
            "end": segment.end,
            "bytes": segment.bytes,
            "created": segment.created_us.map(iso8601),
            "version": segment.version,
            "indexed": segment.indexed,
        });
        writeln!(out, "{line}")?;
    }
    let bytes: u64 = segments.iter().map(|s| s.bytes).sum();
    writeln!(out, "{}", json!({ "segments": segments.len(), "bytes": bytes }))?;
    Ok(true)
}

fn print_records(args: &LogArgs, from: u64, limit: usize, out: &mut impl Write) -> anyhow::Result<bool> {
    let mut left = limit;
    let mut written = Ok(());
    let damage = cat(&OsDisk, &args.data_dir.join(&args.log), from, |record| {
        if left == 0 {
            return ControlFlow::Break(());
        }
        left -= 1;
        written = writeln!(out, "{}", record_json(&args.log, &record));
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    written?;
    for place in &damage {
        writeln!(out, "{}", json!({ "damage": place.to_string() }))?;
    }
    Ok(damage.is_empty())
}

fn record_json(log: &str, record: &Record) -> Value {
    let content = match log {
        "events" => Event::decode(&record.payload).map_or_else(
            |error| json!({ "unreadable": error.to_string() }),
            |event| {
                json!({
                    "category": event.category,
                    "name": event.name,
                    "account_id": event.account,
                    "subject": event.subject,
                    "quarantine": event.quarantine,
                    "body": String::from_utf8_lossy(event.body),
                })
            },
        ),
        "ledger" => LedgerRecord::decode(&record.payload).map_or_else(
            |error| json!({ "unreadable": error.to_string() }),
            |record| {
                serde_json::to_value(record)
                    .unwrap_or_else(|error| json!({ "unreadable": error.to_string() }))
            },
        ),
        "audit" | "audit-kept" => serde_json::from_slice(&record.payload)
            .unwrap_or_else(|error| json!({ "unreadable": error.to_string() })),
        // The journal contains hashes and signing secrets, so only the size of a record is shown.
        _ => json!({ "bytes": record.payload.len() }),
    };
    json!({ "offset": record.offset, "time": iso8601(record.time_us), "record": content })
}

fn print_report(args: &LogArgs, out: &mut impl Write) -> anyhow::Result<bool> {
    let report = verify(&OsDisk, &args.data_dir.join(&args.log))?;
    for damage in &report.damage {
        writeln!(out, "{}", json!({ "damage": damage.to_string() }))?;
    }
    let line = json!({
        "segments": report.segments,
        "records": report.records,
        "bytes": report.bytes,
        "damaged": report.damage.len(),
        "torn_bytes": report.torn_bytes,
        "without_index": report.without_index.len(),
    });
    writeln!(out, "{line}")?;
    Ok(report.is_sound())
}
