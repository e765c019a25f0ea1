//! Tables for people: columns as wide as their cells, and nothing in a cell that moves the cursor of a terminal.

use std::io::Write as _;

/// The longest cell.
const MOST_CHARS: usize = 120;

/// Prints rows below a heading, and how many there are.
pub(super) fn print<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> std::io::Result<()> {
    let heading = heading.map(str::to_owned);
    let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(|cell| plain(cell))).collect();
    let mut widths = [0; N];
    for row in rows.iter().chain([&heading]) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut out = std::io::stdout().lock();
    for row in [&heading].into_iter().chain(&rows) {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    out.flush()
}

fn plain(cell: &str) -> String {
    let text = cell.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    text.take(MOST_CHARS).collect()
}
